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

// ErrNoParmArea means that a kernel for s390x lacks the place for its parameters.
var ErrNoParmArea = errors.New("has no parameter area")

// Of a kernel for s390x (arch/s390/include/asm/setup.h, PARMAREA and
// COMMAND_LINE_SIZE; arch/s390/boot/head.S, the kdump entry): offsets in bytes from
// its beginning.
const (
	s390KdumpEntry = 0x10010
	s390ParmEnd    = 0x10400 + 0x80 + 4096
)

// CheckKexecS390 returns ErrNoParmArea for a vmlinux that kexec_file_load on s390x
// takes and oopses on: it writes the parameters at a fixed distance from the
// beginning of the PT_LOAD with the entry, without looking whether there is one and how
// long it is (arch/s390/kernel/kexec_elf.c, kexec_file_add_kernel_elf). Since the code that
// boots is apart, in arch/s390/boot, vmlinux begins at 1 MiB and has none: a crash load
// then writes to a null pointer and leaves the kexec lock taken, and an ordinary one
// writes over code.
func (f *ELF) CheckKexecS390(crash bool) error {
	entry := f.Entry
	if crash {
		entry = s390KdumpEntry
	}
	for _, p := range f.Loads {
		if p.PhysAddr == 0 && p.FileSize >= s390ParmEnd && entry < p.MemSize {
			return nil
		}
	}
	return fmt.Errorf("ELF: %w: no PT_LOAD holds %#x to %#x and the entry %#x", ErrNoParmArea, 0, s390ParmEnd, entry)
}
