package pagefilter

import (
	"debug/elf"
	"fmt"

	"github.com/gokexec/gokexec/pkg/vmcore"
)

// arch is what must be known of an architecture beyond VMCOREINFO.
type arch struct {
	// stackAt is the offset of the stack pointer in elf_prstatus.
	stackAt int
	// sparse returns SECTION_SIZE_BITS and MAX_PHYSMEM_BITS for kernels that do not export them.
	sparse func(v *vmcore.VMCoreInfo) (section, phys uint)
	// image returns where the kernel image and nothing else is mapped with one offset, last
	// inclusive; ok is false where that isn't known.
	image func(v *vmcore.VMCoreInfo, stext uint64) (first, last uint64, ok bool)
}

// archOf is the table of architectures whose filter has been tried.
func archOf(m elf.Machine) (a arch, known bool) {
	switch m {
	case elf.EM_X86_64:
		return x86, true
	case elf.EM_AARCH64:
		return arm64, true
	case elf.EM_RISCV:
		return riscv, true
	}
	return arch{}, false
}

// sparseBits returns log2 of the bytes of a section and of all physical addresses.
func sparseBits(m elf.Machine, v *vmcore.VMCoreInfo) (section, phys uint, err error) {
	if a, ok := archOf(m); ok {
		section, phys = a.sparse(v)
	}
	if n, ok := v.Number("SECTION_SIZE_BITS"); ok && n > 0 && n < 64 {
		section = uint(n)
	}
	if n, ok := v.Number("MAX_PHYSMEM_BITS"); ok && n > 0 && n < 64 {
		phys = uint(n)
	}
	page := uint(0)
	for 1<<page < v.PageSize {
		page++
	}
	if section < page+8 || section > 40 || phys < section || phys > 57 {
		return 0, 0, fmt.Errorf("sections of %d bits in physical addresses of %d bits: VMCOREINFO lacks NUMBER(SECTION_SIZE_BITS) and NUMBER(MAX_PHYSMEM_BITS), or has impossible ones", section, phys)
	}
	return section, phys, nil
}
