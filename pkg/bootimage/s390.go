package bootimage

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// S390Image is what the parameter area of a bzImage for s390x says (arch/s390/include/asm/setup.h, struct parmarea).
type S390Image struct {
	// CmdlineSize is the room for the command line, in bytes with the NUL.
	CmdlineSize uint64
}

// Places in a bzImage for s390x, and in the memory of the kernel that begins at 0: offsets in bytes from its
// beginning (arch/s390/include/asm/setup.h, PARMAREA and COMMAND_LINE_SIZE; arch/s390/boot/head.S). Numbers are
// big-endian, of 64 bits.
const (
	S390Start       = 0x10000 // where the kernel begins, and an ordinary boot enters it
	S390KdumpEntry  = 0x10010 // where a crash kernel is entered
	S390InitrdStart = 0x10408
	S390InitrdSize  = 0x10410
	S390OldMemBase  = 0x10418 // the crash memory, as a capture kernel is told
	S390OldMemSize  = 0x10420
	s390CmdlineSize = 0x10430
	S390Cmdline     = 0x10480

	s390MaxCmdline = 4096 // COMMAND_LINE_SIZE
	s390OldCmdline = 896  // of kernels that don't say (ARCH_COMMAND_LINE_SIZE before 5.17)
	s390ParmEnd    = S390Cmdline + s390MaxCmdline
	s390MagicAt    = 0x10008 // EP_OFFSET
	s390Magic      = "S390EP"
)

func parseS390(src source) (*S390Image, error) {
	if src.size < s390ParmEnd {
		return nil, fmt.Errorf("s390 image: %w: %d bytes, the parameter area ends at %#x", ErrTruncated, src.size, s390ParmEnd)
	}
	b, err := src.section(s390CmdlineSize, 8).bytes(8)
	if err != nil {
		return nil, fmt.Errorf("s390 image: %w", err)
	}
	size := binary.BigEndian.Uint64(b)
	switch {
	case size == 0:
		size = s390OldCmdline
	case size > s390MaxCmdline:
		return nil, fmt.Errorf("s390 image: room for a command line of %d bytes; at most %d are known", size, s390MaxCmdline)
	}
	return &S390Image{CmdlineSize: size}, nil
}

// ErrNoParmArea means that a kernel for s390x lacks the place for its parameters.
var ErrNoParmArea = errors.New("has no parameter area")

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
		entry = S390KdumpEntry
	}
	for _, p := range f.Loads {
		if p.PhysAddr == 0 && p.FileSize >= s390ParmEnd && entry < p.MemSize {
			return nil
		}
	}
	return fmt.Errorf("ELF: %w: no PT_LOAD holds %#x to %#x and the entry %#x", ErrNoParmArea, 0, s390ParmEnd, entry)
}
