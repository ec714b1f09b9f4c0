package bootimage

import (
	"errors"
	"fmt"
)

// ErrNoImageSize is the error of CheckImageSize.
var ErrNoImageSize = errors.New("image_size is 0")

const (
	linuxPEMagic    = "\xcd\x23\x82\x81" // LINUX_PE_MAGIC, include/linux/pe.h
	imageHeaderSize = 64                 // arm64, riscv and loongarch
)

// ARM64Image is the header of an arm64 Image
// (Documentation/arch/arm64/booting.rst). Sizes are in bytes.
type ARM64Image struct {
	Code0, Code1 uint32
	TextOffset   uint64 // from a 2 MiB aligned base to the image
	ImageSize    uint64 // memory needed from the start of the image; 0 before Linux 3.17
	Flags        uint64
}

// BigEndian reports a big-endian kernel (flags bit 0).
func (h *ARM64Image) BigEndian() bool { return h.Flags&1 != 0 }

// PageSize returns the kernel's page size in bytes: 4096, 16384 or 65536, or 0
// when the header does not say (flags bits 1 and 2).
func (h *ARM64Image) PageSize() uint64 {
	return [4]uint64{0, 4 << 10, 16 << 10, 64 << 10}[h.Flags>>1&3]
}

// AnyPlacement reports that the image may lie anywhere in physical memory; if
// not, its 2 MiB aligned base should be as close as possible to the start of
// memory (flags bit 3).
func (h *ARM64Image) AnyPlacement() bool { return h.Flags>>3&1 != 0 }

// CheckImageSize returns ErrNoImageSize for an image whose header does not say
// how much memory it needs; kexec_file_load refuses it
// (arch/arm64/kernel/kexec_image.c, image_load).
func (h *ARM64Image) CheckImageSize() error {
	if h.ImageSize == 0 {
		return fmt.Errorf("arm64 Image: %w: the kernel is older than Linux 3.17", ErrNoImageSize)
	}
	return nil
}

func parseARM64(src source, h []byte, pe *peFile) (*ARM64Image, error) {
	if err := checkImageHeader("arm64 Image", src, h, pe); err != nil {
		return nil, err
	}
	return &ARM64Image{
		Code0:      le.Uint32(h),
		Code1:      le.Uint32(h[4:]),
		TextOffset: le.Uint64(h[8:]),
		ImageSize:  le.Uint64(h[16:]),
		Flags:      le.Uint64(h[24:]),
	}, nil
}

// checkImageHeader holds the file against what an Image, which may be a PE
// program too, says about its own size.
func checkImageHeader(name string, src source, h []byte, pe *peFile) error {
	if len(h) < imageHeaderSize {
		return fmt.Errorf("%s: %w: %d bytes, the header has %d", name, ErrTruncated, len(h), imageHeaderSize)
	}
	if pe != nil {
		if err := pe.checkBounds(src.size); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}
