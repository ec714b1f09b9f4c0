package stack

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/disktest"
)

func image(size int, contents ...func([]byte)) []byte {
	b := make([]byte, size)
	for _, c := range contents {
		c(b)
	}
	return b
}

// sealed writes the checksum of a label or of the header of an area again.
func sealed(b []byte, sum, from int) {
	binary.LittleEndian.PutUint32(b[sum:], ^crc32.Update(^uint32(0xf597a6cf), crc32.IEEETable, b[from:512]))
}

func TestReadPhysicalVolume(t *testing.T) {
	id := disktest.LVMID("pv0")
	text := testGroup().Text()
	old := testGroup()
	old.Seqno = 3
	area := func(start int, text string) disktest.MetadataArea {
		return disktest.MetadataArea{Start: start, Size: 16 << 10, Text: text}
	}
	ignored, wrapped := area(4096, text), area(4096, text)
	ignored.Ignored = true
	wrapped.At = 16<<10 - 1000
	flip := func(at int) func([]byte) { return func(b []byte) { b[at] ^= 1 } }
	label := func(at int, bytes ...byte) func([]byte) {
		return func(b []byte) { copy(b[512+at:], bytes); sealed(b[512:1024], 16, 20) }
	}
	header := func(at int, bytes ...byte) func([]byte) {
		return func(b []byte) { copy(b[4096+at:], bytes); sealed(b[4096:4608], 0, 4) }
	}
	one := disktest.PhysicalVolume(id, area(4096, text))
	two := disktest.PhysicalVolume(id, area(4096, old.Text()), area(65536-16<<10, text))
	const seven, three = "7", "3"
	for _, tt := range []struct {
		name string
		disk []func([]byte)
		// want are the counts of changes in the texts, "free", "silent" or a part of an error.
		want string
	}{
		{"one area", []func([]byte){one}, seven},
		{"wrapped", []func([]byte){disktest.PhysicalVolume(id, wrapped)}, seven},
		{"at the very end", []func([]byte){disktest.PhysicalVolume(id, disktest.MetadataArea{Start: 4096, Size: 16 << 10, At: 16<<10 - 1 - len(text), Text: text})}, seven},
		{"two areas", []func([]byte){two}, three + " " + seven},
		{"two areas that agree", []func([]byte){disktest.PhysicalVolume(id, area(4096, text), area(32768, text))}, seven},
		{"one of two damaged", []func([]byte){two, flip(4096 + 600)}, seven},
		{"the other one damaged", []func([]byte){two, flip(65536 - 16<<10 + 30)}, three},
		{"one of two ignored", []func([]byte){disktest.PhysicalVolume(id, ignored, area(32768, old.Text()))}, three},
		{"no area", []func([]byte){disktest.PhysicalVolume(id)}, "silent"},
		{"ignored", []func([]byte){disktest.PhysicalVolume(id, ignored)}, "silent"},
		{"no group", []func([]byte){disktest.PhysicalVolume(id, area(4096, ""))}, "free"},
		{"no group, and ignored", []func([]byte){disktest.PhysicalVolume(id, area(32768, ""), ignored)}, "free"},
		{"the label in sector 3", []func([]byte){one, func(b []byte) {
			copy(b[3*512:], b[512:1024])
			clear(b[512:1024])
			b[3*512+8] = 3
			sealed(b[3*512:4*512], 16, 20)
		}}, seven},
		{"no label", nil, "there is none"},
		{"damaged label", []func([]byte){one, flip(512 + 40)}, "label of LVM in sector 1: checksum"},
		{"label of another sector", []func([]byte){one, label(8, 2)}, "calls itself that of sector 2"},
		{"label of another type", []func([]byte){one, label(24, 'X')}, `type "XVM2 001"`},
		{"header beyond the label", []func([]byte){one, label(20, 0xff, 1)}, "with a header at 511"},
		{"no UUID", []func([]byte){one, label(32, 0)}, "is no UUID"},
		{"too many areas", []func([]byte){one, func(b []byte) {
			for i := range 20 {
				b[512+72+16*i] = 1
			}
			sealed(b[512:1024], 16, 20)
		}}, "more than 8 areas"},
		{"a list without an end", []func([]byte){one, func(b []byte) {
			copy(b[512+20:], []byte{0xc0, 1})
			copy(b[512+0x1c0:], id)
			sealed(b[512:1024], 16, 20)
		}}, "without an end"},
		{"an area beyond the end", []func([]byte){one, label(32+40+32, 0, 0, 0, 1)}, "beyond the end"},
		{"damaged header", []func([]byte){one, flip(4096 + 30)}, "metadata area at 4096: checksum"},
		{"another magic", []func([]byte){one, header(5, 'X')}, "magic"},
		{"another version", []func([]byte){one, header(20, 2)}, "version 2"},
		{"a header of elsewhere", []func([]byte){one, header(24, 0, 0x20)}, "calls itself that at 8192"},
		{"an area that is too large", []func([]byte){one, header(32, 0, 0, 0, 1)}, "16777216 bytes of a device of 65536"},
		{"an area that is too small", []func([]byte){one, header(32, 0, 2)}, "512 bytes of a device"},
		{"a text that is too large", []func([]byte){one, header(48, 0, 0x80)}, "text of 32768 bytes"},
		{"an empty text", []func([]byte){one, header(48, 0, 0)}, "text of 0 bytes"},
		{"a text in the header", []func([]byte){one, header(40, 8, 0)}, "at 8 of 16384"},
		{"a text beyond the area", []func([]byte){one, header(40, 0, 0x40)}, "at 16384 of 16384"},
		{"damaged text", []func([]byte){one, flip(4096 + 700)}, "text with checksum"},
		{"a damaged text that wraps", []func([]byte){disktest.PhysicalVolume(id, wrapped), flip(4096 + 512)}, "text with checksum"},
	} {
		pv, err := readPhysicalVolume(bytes.NewReader(image(65536, tt.disk...)), 65536)
		var got []string
		switch {
		case err != nil:
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s: %v; want %q", tt.name, err, tt.want)
			}
			continue
		case pv.uuid != id:
			t.Errorf("%s: UUID %q", tt.name, pv.uuid)
		case pv.free:
			got = append(got, "free")
		case len(pv.texts) == 0:
			got = append(got, "silent")
		}
		for _, text := range pv.texts {
			g, err := parseVolumeGroup(text)
			if err != nil {
				t.Fatalf("%s: %v", tt.name, err)
			}
			got = append(got, string('0'+rune(g.seqno)))
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%s: %v; want %s", tt.name, got, tt.want)
		}
	}
	if _, err := readPhysicalVolume(bytes.NewReader(nil), 100); err == nil {
		t.Error("a device of 100 bytes is read")
	}
}

// What a device says of itself is never more than what is on it, and has its checksum.
func FuzzReadPhysicalVolume(f *testing.F) {
	label := make([]byte, 100) // from its offset on
	copy(label, "\x20\x00\x00\x00LVM2 001"+disktest.LVMID("pv0"))
	label[12+32+8+1], label[12+32+8+32+1] = 0x20, 0x10 // 8192, 4096
	header := make([]byte, 44)                         // from its start on
	header[1], header[9], header[17], header[24] = 0x10, 0x08, 0x02, 3
	f.Add(label, header, []byte("abc"), int64(8192))
	header = bytes.Clone(header)
	header[17], header[16], header[36] = 0x07, 0xfe, 1
	f.Add(label, header, []byte(""), int64(5000))
	f.Fuzz(func(t *testing.T, label, header, text []byte, size int64) {
		if size < 0 || size > 16384 {
			return
		}
		disk := make([]byte, 16384)
		copy(disk[4096+512:], text)
		copy(disk[512:532], "LABELONE\x01")
		copy(disk[532:1024], label)
		sealed(disk[512:1024], 16, 20)
		copy(disk[4100:4120], areaMagic+"\x01\x00\x00\x00")
		copy(disk[4120:4608], header)
		if n := binary.LittleEndian.Uint64(disk[4096+48:]); n <= 4096 {
			binary.LittleEndian.PutUint32(disk[4096+56:], lvmChecksum(disk[4608:][:n]))
		}
		sealed(disk[4096:4608], 0, 4)
		disk = disk[:size]
		pv, err := readPhysicalVolume(bytes.NewReader(disk), int64(len(disk)))
		if err != nil {
			return
		}
		if len(pv.uuid) != 32 || pv.free && len(pv.texts) > 0 || len(pv.texts) > maxAreas {
			t.Fatalf("UUID %q, free %v, %d texts", pv.uuid, pv.free, len(pv.texts))
		}
		for _, text := range pv.texts {
			if text == "" || len(text) > len(disk) || strings.HasSuffix(text, "\x00") {
				t.Fatalf("a text of %d bytes on a device of %d", len(text), len(disk))
			}
			if g, err := parseVolumeGroup(text); err == nil && (len(g.id) != 32 || g.seqno < 0) {
				t.Fatalf("group %q, %d", g.id, g.seqno)
			}
		}
	})
}
