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

// KernelTables returns the physical addresses of the kernel's page tables, at most so many, those of each level before
// those of the next, as far as the dump has them. The last level's, of which there are most, are not read.
func (a *AddressSpace) KernelTables(most int) []memmap.PhysAddr {
	t := a.tables
	if t == nil || most < 1 {
		return nil
	}
	all, seen := []memmap.PhysAddr{memmap.PhysAddr(t.root)}, map[uint64]bool{t.root: true}
	for level, next := t.levels-1, 0; level > 0; level-- {
		entries := uint64(1) << t.width(level)
		first := next
		next = len(all)
		for _, table := range all[first:next] {
			for e := range a.entries(table, entries) {
				phys, size, ok := t.decode(e, level)
				if !ok || size > 0 || seen[phys] {
					continue
				}
				if len(all) == most {
					return all
				}
				seen[phys] = true
				all = append(all, memmap.PhysAddr(phys))
			}
		}
	}
	return all
}

// entries yields the first entries of a page table, as many as the dump has.
func (a *AddressSpace) entries(table memmap.PhysAddr, n uint64) iter.Seq[uint64] {
	return func(yield func(uint64) bool) {
		var buf [cacheLine]byte
		for at := uint64(0); at < 8*n; at += cacheLine {
			b := buf[:min(cacheLine, 8*n-at)]
			read, _ := a.mem.ReadPhysAt(b, table+memmap.PhysAddr(at)) // the rest of the table may be there
			for i := 0; i+8 <= read; i += 8 {
				if !yield(a.cache.order.Uint64(b[i:])) {
					return
				}
			}
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
