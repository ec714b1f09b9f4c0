package blkid

import (
	"bytes"
	"testing"

	"github.com/gokexec/gokexec/internal/disktest"
)

func dosDisk(b []byte) {
	copy(b[510:], "\x55\xaa")
	b[450] = 0x83
	le.PutUint32(b[454:], 8)
	le.PutUint32(b[458:], 16)
	le.PutUint32(b[440:], 0xdeadbeef)
}

func TestTable(t *testing.T) {
	tests := []struct {
		name   string
		disk   func([]byte)
		number uint32
		want   Partition // zero: none of this number
	}{
		{"GPT", disktest.GPT(512), 3, Partition{3, disktest.UUID, "c\u00e9", 40 * 512, 8 * 512}},
		{"GPT, blocks of 4096", disktest.GPT(4096), 3, Partition{3, disktest.UUID, "c\u00e9", 40 * 4096, 8 * 4096}},
		{"GPT, unused", disktest.GPT(512), 4, Partition{}},
		{"GPT, number 0", disktest.GPT(512), 0, Partition{}},
		{"GPT, beyond the table", disktest.GPT(512), 129, Partition{}},
		{"MBR", dosDisk, 1, Partition{1, "deadbeef-01", "", 8 * 512, 16 * 512}},
		{"MBR, logical", dosDisk, 5, Partition{5, "deadbeef-05", "", 0, 0}},
		{"MBR, unused", dosDisk, 2, Partition{}},
		{"blank", func([]byte) {}, 1, Partition{}},
	}
	for _, tt := range tests {
		b := make([]byte, 1<<20)
		tt.disk(b)
		c, err := Probe(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		var got Partition
		if c.Table != nil {
			got, _ = c.Table.Partition(tt.number)
		}
		if got != tt.want {
			t.Errorf("%s: partition %d = %+v; want %+v", tt.name, tt.number, got, tt.want)
		}
	}
}
