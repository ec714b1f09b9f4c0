package vmcore

import (
	"iter"

	"github.com/gokexec/gokexec/pkg/memmap"
)

// Mapping is a stretch of virtual addresses that an entry of the page tables maps.
type Mapping struct {
	Virt uint64
	Phys memmap.PhysAddr
	Size uint64 // bytes
}

// Mappings yields what the page tables map of the virtual addresses from first to last, inclusive,
// ascending. What isn't mapped is left out, and so is what the dump has no page tables of.
func (a *AddressSpace) Mappings(first, last uint64) iter.Seq[Mapping] {
	return func(yield func(Mapping) bool) {
		if a.tables == nil {
			return
		}
		for addr := first; ; {
			phys, run, err := a.tables.walk(&a.cache, addr)
			if run == 0 {
				return // not canonical
			}
			size := run
			if last-addr < size {
				size = last - addr + 1
			}
			if err == nil && !yield(Mapping{addr, phys, size}) {
				return
			}
			if run > last-addr {
				return
			}
			addr += run
		}
	}
}

// Tables returns the physical addresses of the page tables that translate a virtual address, the
// top one first, as far as the dump has them.
func (a *AddressSpace) Tables(addr uint64) (tables []memmap.PhysAddr) {
	if a.tables != nil {
		a.tables.visit(&a.cache, addr, func(table uint64) { tables = append(tables, memmap.PhysAddr(table)) })
	}
	return tables
}
