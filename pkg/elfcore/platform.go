package elfcore

import (
	"debug/elf"
	"encoding/binary"

	"github.com/gokexec/gokexec/pkg/memmap"
)

// Platform is how a dead machine lays out its data.
type Platform struct {
	Machine elf.Machine
	Order   binary.ByteOrder
	Word    int // bytes of an unsigned long and of a pointer: 4 or 8
}

// Platform returns how the machine of the dump lays out its data. The ELF class alone
// doesn't tell: the dump of a 32-bit machine with more than 4 GiB (PAE, LPAE) is ELF64.
func (f *File) Platform() Platform {
	p := Platform{Machine: f.Machine, Order: f.Order, Word: 8}
	switch f.Machine {
	case elf.EM_386, elf.EM_ARM, elf.EM_PPC, elf.EM_SH:
		p.Word = 4
	}
	if f.Class == elf.ELFCLASS32 {
		p.Word = 4
	}
	return p
}

// PhysReader reads the memory of a dead machine by physical address. ReadPhysAt returns how many
// bytes it has read; the error says why that is less than len(b).
type PhysReader interface {
	ReadPhysAt(b []byte, addr memmap.PhysAddr) (int, error)
}
