package bootimage

import (
	"errors"
	"fmt"
)

// ErrWrongEntry means that a kernel would be entered elsewhere than it says.
var ErrWrongEntry = errors.New("would be entered at a wrong address")

// CheckKexecRISCV returns ErrWrongEntry for a vmlinux that kexec_file_load on riscv
// takes and that never starts: the entry is reckoned from the lowest p_vaddr of any
// PT_LOAD, also of one without memory, which the build of 7.x leaves at address 0 where
// .modinfo was (arch/riscv/kernel/kexec_elf.c, elf_find_pbase; scripts/Makefile.vmlinux).
func (f *ELF) CheckKexecRISCV() error {
	base, _ := f.Span()
	lowest := ^uint64(0)
	for _, p := range f.Loads {
		lowest = min(lowest, p.VirtAddr)
	}
	for _, p := range f.Empty {
		base, lowest = min(base, p.PhysAddr), min(lowest, p.VirtAddr)
	}
	for _, p := range f.Loads {
		if f.Entry-p.VirtAddr < p.MemSize && f.Entry-lowest != f.Entry-p.VirtAddr+p.PhysAddr-base {
			return fmt.Errorf("ELF: %w: kexec_file_load takes its first address for %#x, and the entry for %#x bytes behind that", ErrWrongEntry, lowest, f.Entry-lowest)
		}
	}
	return nil
}
