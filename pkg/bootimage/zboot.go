package bootimage

import (
	"fmt"
	"strings"

	"github.com/gokexec/gokexec/internal/decompress"
)

// Layout of the header of an EFI zboot program
// (drivers/firmware/efi/libstub/zboot-header.S).
const (
	zbootOffset   = 0x08 // u32, of the payload in the file
	zbootSize     = 0x0c // u32, bytes of payload
	zbootType     = 0x18 // NUL-terminated name of the compression
	zbootTypeSize = 0x20
	zbootHeader   = 0x40
)

// wrapZboot returns the payload of the EFI zboot program that begins with h.
func wrapZboot(src source, h []byte) error {
	if len(h) < zbootHeader {
		return fmt.Errorf("zboot: %w: %d bytes, the header has %d", ErrTruncated, len(h), zbootHeader)
	}
	off, size := int64(le.Uint32(h[zbootOffset:])), int64(le.Uint32(h[zbootSize:]))
	name := printable(cString(h[zbootType : zbootType+zbootTypeSize]))
	if off < zbootHeader || size == 0 {
		return fmt.Errorf("zboot: payload of %d bytes at offset %#x, inside the header of %#x bytes or empty", size, off, zbootHeader)
	}
	if off+size > src.size {
		return fmt.Errorf("zboot: %w: %d bytes, the payload ends at %d", ErrTruncated, src.size, off+size)
	}
	c := codecByZbootName(name)
	if c == nil {
		return fmt.Errorf("zboot: compression %q is unknown", name)
	}
	return &wrapped{name: "zboot(" + c.Name + ")", open: func(limit int64) (source, error) {
		// The unpacked size lies behind the payload, save for gzip, which
		// ends with it.
		trailer := off + size
		if c.Name == "gzip" {
			trailer -= sizeTrailer
		}
		return unpack(c, src.section(off, size), src.sizeHint(trailer), limit)
	}}
}

// codecByZbootName maps the names that the kernel's Makefile.zboot writes:
// those of the kbuild compression commands.
func codecByZbootName(name string) *decompress.Codec {
	switch {
	case strings.HasPrefix(name, "xz"): // "xzkern", "xzkern_with_size"
		name = "xz"
	case strings.HasPrefix(name, "zstd"): // "zstd22"
		name = "zstd"
	default:
		name = strings.TrimSuffix(name, "_with_size")
	}
	return decompress.Named(name)
}
