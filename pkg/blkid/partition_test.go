package blkid

import (
	"bytes"
	"testing"
)

// gptDisk puts a GPT with one partition, number 3, on a disk of a logical block size.
func gptDisk(b []byte, block int) {
	h := b[block:]
	copy(h, "EFI PART")
	le.PutUint64(h[72:], 2)
	le.PutUint32(h[80:], 128)
	le.PutUint32(h[84:], 128)
	e := b[2*block+2*128:]
	copy(e[16:], []byte{0x67, 0x45, 0x23, 0x01, 0xab, 0x89, 0xef, 0xcd, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef})
	le.PutUint64(e[32:], 40)
	le.PutUint64(e[40:], 47)
	copy(e[56:], "c\x00\xe9\x00")
}

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
		{"GPT", func(b []byte) { gptDisk(b, 512) }, 3, Partition{3, testUUID, "c\u00e9", 40 * 512, 8 * 512}},
		{"GPT, blocks of 4096", func(b []byte) { gptDisk(b, 4096) }, 3, Partition{3, testUUID, "c\u00e9", 40 * 4096, 8 * 4096}},
		{"GPT, unused", func(b []byte) { gptDisk(b, 512) }, 4, Partition{}},
		{"GPT, number 0", func(b []byte) { gptDisk(b, 512) }, 0, Partition{}},
		{"GPT, beyond the table", func(b []byte) { gptDisk(b, 512) }, 129, Partition{}},
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
