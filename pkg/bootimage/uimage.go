package bootimage

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/gokexec/gokexec/internal/decompress"
)

const (
	uImageMagic  = "\x27\x05\x19\x56"
	uImageHeader = 64
	uImageKernel = 2 // ih_type IH_TYPE_KERNEL
	uImageNoLoad = 14
)

// uImageCodecs is ih_comp (u-boot include/image.h); 0 is none.
var uImageCodecs = [256]string{1: "gzip", 2: "bzip2", 3: "lzma", 4: "lzo", 5: "lz4", 6: "zstd"}

// wrapUImage returns the kernel in a legacy image of U-Boot, nil when h is the
// beginning of something else. The payload's own magic tells its compression,
// so a compressed one counts as a second wrapping.
func wrapUImage(src source, h []byte) error {
	if len(h) < uImageHeader || string(h[:4]) != uImageMagic {
		return nil
	}
	be := binary.BigEndian
	sum := append([]byte(nil), h[:uImageHeader]...)
	copy(sum[4:8], "\x00\x00\x00\x00")
	if got, want := crc32.ChecksumIEEE(sum), be.Uint32(h[4:]); got != want {
		return fmt.Errorf("uImage: %w: header checksum is %#08x, want %#08x", ErrCorrupt, got, want)
	}
	if t := h[30]; t != uImageKernel && t != uImageNoLoad {
		return fmt.Errorf("%w: a U-Boot image (uImage) of type %d, a kernel has %d", ErrNotKernel, t, uImageKernel)
	}
	size, want := int64(be.Uint32(h[12:])), be.Uint32(h[24:])
	if size > src.size-uImageHeader {
		return fmt.Errorf("uImage: %w: %d bytes, the header says %d", ErrTruncated, src.size, size+uImageHeader)
	}
	return &wrapped{name: "uimage", open: func(limit int64) (source, error) {
		s := src.section(uImageHeader, size)
		b, err := s.bytes(limit)
		if err != nil {
			return source{}, err
		}
		if got := crc32.ChecksumIEEE(b); got != want {
			return source{}, fmt.Errorf("%w: data checksum is %#08x, want %#08x", ErrCorrupt, got, want)
		}
		if name := uImageCodecs[h[31]]; name != "" {
			if c := decompress.Of(b); c == nil || c.Name != name {
				return source{}, fmt.Errorf("%w: the header says %s, the data is not", ErrCorrupt, name)
			}
		}
		return memory(b), nil
	}}
}
