package pagefilter

import (
	"debug/elf"
	"fmt"

	"github.com/gokexec/gokexec/pkg/vmcore"
)

// arch is what must be known of an architecture beyond VMCOREINFO.
type arch struct {
	machine elf.Machine
	// stackAt is the offset of the stack pointer in elf_prstatus.
	stackAt int
	// taskAt is the offset there of a register that has the address of the task_struct while the kernel runs;
	// 0: there is none.
	taskAt int
	// sparse returns SECTION_SIZE_BITS and MAX_PHYSMEM_BITS for kernels that do not export them.
	sparse func(v *vmcore.VMCoreInfo) (section, phys uint)
	// image returns where the kernel image and nothing else is mapped with one offset, last
	// inclusive; ok is false where that isn't known. Nil: it lies in the direct map.
	image func(v *vmcore.VMCoreInfo, stext uint64) (first, last uint64, ok bool)
}

// arches has the architectures whose filter has been tried.
var arches = [...]*arch{&x86, &arm64, &riscv, &loongArch, &ppc64}

// archOf looks a machine up, nil for none.
func archOf(m elf.Machine) *arch {
	for _, a := range arches {
		if a.machine == m {
			return a
		}
	}
	return nil
}

// sparseBits returns log2 of the bytes of a section and of all physical addresses.
func sparseBits(m elf.Machine, v *vmcore.VMCoreInfo) (section, phys uint, err error) {
	if a := archOf(m); a != nil {
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
