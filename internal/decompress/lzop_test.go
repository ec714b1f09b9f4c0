package decompress

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/imagetest"
)

// lzopBlock returns an lzop file with one block of the claimed sizes, and
// without checksums or end mark.
func lzopBlock(size, packed uint32, data []byte) []byte {
	b := lzopHead(0, nil)
	b = binary.BigEndian.AppendUint32(b, size)
	b = binary.BigEndian.AppendUint32(b, packed)
	return append(b, data...)
}

// lzopHead returns an lzop header with a CRC-32, and extra as its extra field.
func lzopHead(flags uint32, extra []byte) []byte {
	be := binary.BigEndian
	head := []byte{0x10, 0x40, 0x20, 0xa0, 0x09, 0x40, 1, 5}
	head = be.AppendUint32(head, flags|lzopCRC32Header)
	head = append(head, make([]byte, 13)...) // mode, mtime, no name
	b := be.AppendUint32(append([]byte(lzopMagic), head...), crc32.ChecksumIEEE(head))
	if flags&lzopExtraField != 0 {
		b = be.AppendUint32(b, uint32(len(extra)))
		b = be.AppendUint32(append(b, extra...), crc32.ChecksumIEEE(extra))
	}
	return b
}

func TestLzop(t *testing.T) {
	want := append(imagetest.Filler(1000), make([]byte, 1000)...)
	packed := imagetest.LZO1X(want)
	be := binary.BigEndian
	all := lzopHead(lzopCRC32Data|lzopCRC32Compressed|lzopExtraField, []byte("extra"))
	for _, v := range []uint32{uint32(len(want)), uint32(len(packed)), crc32.ChecksumIEEE(want), crc32.ChecksumIEEE(packed)} {
		all = be.AppendUint32(all, v)
	}
	all = be.AppendUint32(append(all, packed...), 0)

	change := func(at int, to byte) []byte {
		b := append([]byte(nil), all...)
		b[at] = to
		return b
	}
	data := len(all) - 4 - len(packed)
	tests := []struct {
		name    string
		file    []byte
		want    error
		message string
	}{
		{"good", all, nil, ""},
		{"data", change(len(all)-10, 0xee), ErrCorrupt, "block 0: CRC-32 is"},
		{"checksum of the data", change(data-5, 0xee), ErrCorrupt, "block 0: CRC-32 is"},
		{"header", change(30, 0xee), ErrCorrupt, "header checksum is"},
		{"version needed", change(13, 0x20), ErrCorrupt, "lzop is needed"},
		{"method", change(15, 9), ErrCorrupt, "compression method 9"},
		{"filter", lzopHead(lzopFilter, nil), ErrCorrupt, "filter"},
		{"no end mark", all[:len(all)-4], ErrTruncated, "ends early"},
		{"cut block", all[:len(all)-5], ErrTruncated, "ends early"},
		{"cut header", all[:20], ErrTruncated, "ends early"},
		{"block larger when packed", lzopBlock(10, 11, make([]byte, 11)), ErrCorrupt, "block 0 has 10 bytes, 11 compressed"},
		{"block too large", lzopBlock(64<<20+1, 64<<20, nil), ErrCorrupt, "at most 67108864 are possible"},
		{"block impossible", lzopBlock(64<<20, 8, make([]byte, 8)), ErrCorrupt, "block 0 has 67108864 bytes, 8 compressed"},
		{"short block", lzopBlock(uint32(len(want))+1, uint32(len(packed)), packed), ErrCorrupt, "block 0 unpacks to 2000 bytes, want 2001"},
		{"no LZO", lzopBlock(100, 20, bytes.Repeat([]byte{0xff}, 20)), ErrCorrupt, "block 0: lzo: "},
	}
	for _, tt := range tests {
		got, err := unpack(codecFor("lzo"), tt.file, 0, maxUnpacked)
		if !errors.Is(err, tt.want) || err != nil && !strings.Contains(err.Error(), tt.message) {
			t.Errorf("%s: unpack = %v; want %v with %q", tt.name, err, tt.want, tt.message)
		}
		if tt.want == nil && !bytes.Equal(got, want) {
			t.Errorf("%s: unpack = %d bytes; want %d", tt.name, len(got), len(want))
		}
	}
}
