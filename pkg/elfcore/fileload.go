package elfcore

import (
	"debug/elf"

	"github.com/gokexec/gokexec/pkg/memmap"
)

// Load is a PT_LOAD segment: a piece of the machine's memory.
type Load struct {
	Phys     memmap.PhysAddr // p_paddr
	Virt     uint64          // p_vaddr in the crashed kernel; 0 when not given
	Offset   uint64          // p_offset: in a dump bytes into the file, in an elfcorehdr the physical address
	FileSize uint64          // p_filesz, bytes; less than MemSize where a filter left memory out
	MemSize  uint64          // p_memsz, bytes
	Flags    elf.ProgFlag    // p_flags
}

func newLoad(p progHeader) Load {
	return Load{
		Phys: memmap.PhysAddr(p.paddr), Virt: p.vaddr, Offset: p.off,
		FileSize: p.filesz, MemSize: p.memsz, Flags: elf.ProgFlag(p.flags),
	}
}
