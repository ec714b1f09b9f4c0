package elfcore

import (
	"debug/elf"
	"encoding/binary"
	"math"

	"github.com/gokexec/gokexec/pkg/memmap"
)

// KernelMap says where a kernel maps its memory.
type KernelMap struct {
	Machine elf.Machine
	Class   elf.Class
	Order   binary.ByteOrder

	// Direct is what to add to a physical address to have its virtual address
	// in the direct map, modulo 2^64, or 2^32 for ELFCLASS32: PAGE_OFFSET on
	// x86. It also holds for memory that /proc/kcore doesn't have: on 6.1, a
	// DIMM that was added but is not online.
	Direct uint64

	// LowEnd is the first byte of memory that is not in the direct map, where
	// there is such: high memory, on 32-bit machines. 0 means all is in it.
	LowEnd memmap.PhysAddr

	// Text is the kernel image where it is mapped apart from the direct map,
	// from _text to _end. MemSize is 0 where it isn't.
	Text Load
}

// Virt returns the address of a in the direct map: all ones if it has none.
func (m *KernelMap) Virt(a memmap.PhysAddr) uint64 {
	v := uint64(a) + m.Direct
	if m.Class != elf.ELFCLASS32 {
		return v
	}
	if m.LowEnd != 0 && a >= m.LowEnd {
		return math.MaxUint32
	}
	return v & math.MaxUint32
}

// TextLoad returns the PT_LOAD of a kernel image that lies in r and is mapped at virt.
func TextLoad(r memmap.Range, virt uint64) Load {
	return Load{
		Phys: r.Start, Virt: virt, Offset: uint64(r.Start),
		FileSize: r.Size(), MemSize: r.Size(), Flags: elf.PF_R | elf.PF_W | elf.PF_X,
	}
}
