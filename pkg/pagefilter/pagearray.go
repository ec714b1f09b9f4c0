package pagefilter

import (
	"errors"
	"fmt"
	"io"

	"github.com/gokexec/gokexec/pkg/memmap"
	"github.com/gokexec/gokexec/pkg/vmcore"
)

// pageArray says where the struct pages are, which depends on the kernel's memory model.
type pageArray interface {
	// find returns the virtual address of the struct page of a page frame, and for how many
	// page frames, at least one, the array goes on, or there is none.
	find(pfn uint64) (addr, run uint64, ok bool)
}

// findPageArray tries the memory models: sparse memory (mm/sparse.c), one array (FLATMEM), one
// array for each node (DISCONTIGMEM).
func findPageArray(mem Memory, v *vmcore.VMCoreInfo, pageSize uint64) (pageArray, error) {
	r, err := vmcore.NewReader(mem)
	if err != nil {
		return nil, err
	}
	if _, ok := v.Symbol("mem_section"); ok {
		return findSections(mem, r, pageSize)
	}
	if _, ok := v.Symbol("mem_map"); ok {
		return findFlat(r, pageSize)
	}
	return nil, errors.New("VMCOREINFO has neither SYMBOL(mem_section) nor SYMBOL(mem_map): no struct page can be found")
}

// flatArray is one array for all of memory.
type flatArray struct{ base, first, size uint64 }

func (a *flatArray) find(pfn uint64) (addr, run uint64, ok bool) {
	if pfn < a.first {
		return 0, a.first - pfn, false
	}
	return a.base + (pfn-a.first)*a.size, ^uint64(0) - pfn, true
}

func findFlat(r *vmcore.Reader, pageSize uint64) (pageArray, error) {
	addr, _ := r.Info.Symbol("mem_map")
	base, err := r.Ulong(addr, "mem_map")
	if err != nil {
		return nil, err
	}
	if base == 0 {
		return nil, errors.New("mem_map is 0")
	}
	return &flatArray{base: base, size: pageSize}, nil
}

// nextMemory is Memory.NextMemory with an empty range for the end.
func nextMemory(mem Memory, addr memmap.PhysAddr) (memmap.Range, error) {
	r, err := mem.NextMemory(addr)
	if err == io.EOF {
		return memmap.Range{}, nil
	}
	if err != nil {
		return memmap.Range{}, fmt.Errorf("memory at or after %#x: %w", uint64(addr), err)
	}
	return r, nil
}
