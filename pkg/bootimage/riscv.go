package bootimage

import "fmt"

// RISCVImage is the header of a riscv Image
// (Documentation/arch/riscv/boot-image-header.rst). Sizes are in bytes. 32 and
// 64-bit kernels have the same header.
type RISCVImage struct {
	TextOffset uint64 // from the start of memory, 2 MiB for 64-bit kernels
	ImageSize  uint64 // memory needed from the start of the image
	Flags      uint64
	Version    uint32 // of the header: major in bits 16 to 31, minor in 0 to 15
}

// BigEndian reports a big-endian kernel (flags bit 0).
func (h *RISCVImage) BigEndian() bool { return h.Flags&1 != 0 }

func parseRISCV(src source, h []byte, pe *peFile) (*RISCVImage, error) {
	if err := checkImageHeader("riscv Image", src, h, pe); err != nil {
		return nil, err
	}
	r := &RISCVImage{
		TextOffset: le.Uint64(h[8:]),
		ImageSize:  le.Uint64(h[16:]),
		Flags:      le.Uint64(h[24:]),
		Version:    le.Uint32(h[32:]),
	}
	if r.ImageSize == 0 {
		return nil, fmt.Errorf("riscv Image: image_size is 0")
	}
	return r, nil
}

// LoongArchImage is the header of a loongarch Image, a PE program
// (arch/loongarch/kernel/head.S). Sizes are in bytes.
type LoongArchImage struct {
	Entry      uint64 // kernel entry point
	ImageSize  uint64 // memory needed
	LoadOffset uint64 // from the start of memory
}

func parseLoongArch(src source, h []byte, pe *peFile) (*LoongArchImage, error) {
	if err := checkImageHeader("loongarch Image", src, h, pe); err != nil {
		return nil, err
	}
	l := &LoongArchImage{
		Entry:      le.Uint64(h[8:]),
		ImageSize:  le.Uint64(h[16:]),
		LoadOffset: le.Uint64(h[24:]),
	}
	if l.ImageSize == 0 {
		return nil, fmt.Errorf("loongarch Image: image size is 0")
	}
	return l, nil
}
