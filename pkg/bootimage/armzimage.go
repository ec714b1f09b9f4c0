package bootimage

import (
	"encoding/binary"
	"fmt"
)

const (
	armMagicLE    = "\x18\x28\x6f\x01" // 0x016f2818
	armMagicBE    = "\x01\x6f\x28\x18"
	armHeaderSize = 0x34
)

// ARMzImage is the header of a 32-bit ARM zImage
// (arch/arm/boot/compressed/head.S). It does not say how much memory the
// unpacked kernel needs.
type ARMzImage struct {
	Start uint32 // address the zImage is linked to, 0 when it may lie anywhere
	End   uint32 // end address (exclusive) of the zImage
	Order binary.ByteOrder
}

func parseARMzImage(src source, h []byte) (*ARMzImage, error) {
	if len(h) < armHeaderSize {
		return nil, fmt.Errorf("ARM zImage: %w: %d bytes, the header has %d", ErrTruncated, len(h), armHeaderSize)
	}
	z := &ARMzImage{Order: binary.LittleEndian}
	if string(h[0x24:0x28]) == armMagicBE {
		z.Order = binary.BigEndian
	}
	z.Start, z.End = z.Order.Uint32(h[0x28:]), z.Order.Uint32(h[0x2c:])
	if z.End <= z.Start {
		return nil, fmt.Errorf("ARM zImage: it ends at %#x, before its start %#x", z.End, z.Start)
	}
	if want := int64(z.End) - int64(z.Start); src.size < want {
		return nil, fmt.Errorf("ARM zImage: %w: %d bytes, the header says %d", ErrTruncated, src.size, want)
	}
	return z, nil
}
