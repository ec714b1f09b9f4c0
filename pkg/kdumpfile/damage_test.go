package kdumpfile_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/dumptest"
	"github.com/gokexec/gokexec/pkg/kdumpfile"
	"github.com/gokexec/gokexec/pkg/memmap"
)

// TestOpenRefuses has headers that make no sense.
func TestOpenRefuses(t *testing.T) {
	k := kdump(dumptest.Archs[0], 6)
	good := k.Bytes()
	put := func(at int, v uint32) []byte {
		b := bytes.Clone(good)
		binary.LittleEndian.PutUint32(b[at:], v)
		return b
	}
	put64 := func(at int, v uint64) []byte {
		b := bytes.Clone(good)
		binary.LittleEndian.PutUint64(b[at:], v)
		return b
	}
	for _, tt := range []struct {
		name string
		b    []byte
		want string
		is   error
	}{
		{"empty", nil, "it begins with", kdumpfile.ErrFormat},
		{"text", []byte("hello, this is no dump"), `it begins with "hello, this is n"`, kdumpfile.ErrFormat},
		{"diskdump", append([]byte("DISKDUMP"), make([]byte, 1000)...), "a diskdump of Linux 2.4", kdumpfile.ErrFormat},
		{"signature only", good[:8], "read the header", io.ErrUnexpectedEOF},
		{"cut in the header", good[:460], "read the header", io.ErrUnexpectedEOF},
		{"cut in the sub header", good[:4200-1][:4096+50], "read the sub header", io.ErrUnexpectedEOF},
		{"cut in the bitmaps", good[:3*4096], "its bitmaps end at", io.ErrUnexpectedEOF},
		{"version 0", put(8, 0), "header version is 0; 1 to 6 are known", nil},
		{"version 7", put(8, 7), "header version is 7; 1 to 6 are known", nil},
		{"block size 0", put(428, 0), "block_size is 0, no power of 2", nil},
		{"block size odd", put(428, 4097), "block_size is 4097, no power of 2", nil},
		{"block size huge", put(428, 1<<30), "block_size is 1073741824, no power of 2", nil},
		{"no sub header", put(432, 0), "sub_hdr_size is 0 blocks", nil},
		{"negative sub header", put(432, 1<<32-1), "sub_hdr_size is -1 blocks", nil},
		{"no bitmap", put(436, 0), "bitmap_blocks is 0", nil},
		{"huge bitmap", put(436, 1<<32-1), "its bitmaps end at ", io.ErrUnexpectedEOF},
		{"bitmap too small", put64(4096+96, 1<<30), "are too small for 1073741824 pages", nil},
		{"no pages", put64(4096+96, 0), "max_mapnr is 0", nil},
		{"too many pages", put64(4096+96, 1<<60), "max_mapnr is 1152921504606846976", nil},
		{"flattened garbage", dumptest.Flatten(dumptest.FlatRecord{Data: []byte("garbage, more garbage")}), "it begins with", kdumpfile.ErrFormat},
		{"flattened nothing", dumptest.Flatten(), "it begins with", kdumpfile.ErrFormat},
		{"flattened flattened", dumptest.FlattenFile(dumptest.FlattenFile(good, 4096), 4096), "it begins with", kdumpfile.ErrFormat},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d, err := tryOpen(tt.b)
			if err == nil || !strings.Contains(err.Error(), tt.want) || tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("Open() = %v, %v; want %q", d, err, tt.want)
			}
		})
	}
	if _, err := kdumpfile.Open(); !errors.Is(err, kdumpfile.ErrFormat) {
		t.Errorf("Open(nothing) = %v", err)
	}
}

// TestDamaged reads dumps of which a part is wrong: the rest is read, and the dump says so.
func TestDamaged(t *testing.T) {
	k := kdump(dumptest.Archs[0], 6)
	good := k.Bytes()
	phys := k.Core.Loads[0].Phys
	descs := int(1+binary.LittleEndian.Uint32(good[432:])+binary.LittleEndian.Uint32(good[436:])) * 4096
	pages := 0
	for _, l := range k.Core.Loads {
		pages += (len(l.Data) + 4095) / 4096
	}
	change := func(at int, v ...byte) []byte {
		b := bytes.Clone(good)
		copy(b[at:], v)
		return b
	}
	second := descs + 24 // the descriptor of a zlib page
	data := int(binary.LittleEndian.Uint64(good[second:]))
	marked := bytes.Clone(good)
	marked[424] |= 8
	for _, tt := range []struct {
		name       string
		b          []byte
		page       int // that can't be read
		want       string
		incomplete bool
	}{
		{"marked as incomplete", marked, -1, "marked it as incomplete", true},
		{"last byte is missing", good[:len(good)-1], pages - 1, "unexpected EOF", true},
		{"descriptors are missing", good[:descs+24*pages-20], pages - 1, "unexpected EOF", true},
		{"descriptor not written", change(second, 0, 0, 0, 0, 0, 0, 0, 0), 1, "was not written", true},
		{"descriptor beyond the file", change(second+5, 1), 1, "the file has", true},
		{"size 0", change(second+8, 0, 0, 0, 0), 1, "is for 0 bytes", false},
		{"size too large", change(second+8, 1, 16), 1, "is for 4097 bytes; a page has 4096", false},
		{"unknown codec", change(second+12, 3), 1, "unknown flags 0x3", false},
		{"zlib is garbage", change(data, 'x', 'y', 'z'), 1, "unpack", false},
		{"zlib checksum", change(data+int(binary.LittleEndian.Uint32(good[second+8:]))-1, 0xee), 1, "unpack", false},
		{"zlib cut", change(second+8, 9, 0), 1, "a page has 4096", false},
		{"raw too short", change(descs+8, 1, 0), 0, "unpacks to 1 bytes", false},
		{"lzo as zlib", change(second+24+12, 1), 2, "unpack", false},
		{"lzo as snappy", change(second+24+12, 4), 2, "snappy", false},
		{"lzo as zstd", change(second+24+12, 0x20), 2, "zstd", false},
		{"zlib as lzo", change(second+12, 2), 1, "lzo", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := open(t, tt.b)
			if got := d.Incomplete(); got != tt.incomplete {
				t.Errorf("Incomplete() = %v; Damage() = %v", got, d.Damage())
			}
			if tt.page < 0 {
				if len(d.Damage()) == 0 || !strings.Contains(d.Damage()[0].Error(), tt.want) {
					t.Errorf("Damage() = %v; want %q", d.Damage(), tt.want)
				}
				checkMemory(t, d, k.Core, nil)
				return
			}
			at := phys + uint64(tt.page)*4096
			if tt.page == pages-1 {
				l := k.Core.Loads[1]
				at = l.Phys + uint64(len(l.Data)) - 4096
			}
			b := make([]byte, 4096)
			n, err := d.ReadPhysAt(b, memmap.PhysAddr(at))
			if n != 0 || err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("ReadPhysAt(%#x) = %d, %v; want %q", at, n, err, tt.want)
			}
			if n, err := d.ReadPhysAt(b[:100], memmap.PhysAddr(at+5)); n != 0 || err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("ReadPhysAt(%#x, a part) = %d, %v; want %q", at+5, n, err, tt.want)
			}
			if len(tt.b) < descs+24*pages {
				return // there are no pages at all
			}
			// The other pages are not touched by that.
			for _, other := range []uint64{phys + 4096*uint64(tt.page+3), phys + 4096*7} {
				if tt.page == pages-1 {
					other = phys
				}
				if n, err := d.ReadPhysAt(b, memmap.PhysAddr(other)); n != len(b) || err != nil || !bytes.Equal(b, k.Core.Loads[0].Data[other-phys:][:4096]) {
					t.Errorf("ReadPhysAt(%#x) = %d, %v", other, n, err)
				}
			}
		})
	}
}
