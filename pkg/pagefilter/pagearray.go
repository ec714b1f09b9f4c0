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
	if a, err := findNodeArrays(r, pageSize); err != nil || len(a) > 0 {
		return a, err
	}
	addr, ok := v.Symbol("mem_map")
	if !ok {
		return nil, errors.New("VMCOREINFO has neither SYMBOL(mem_section) nor SYMBOL(mem_map): no struct page can be found")
	}
	base, err := r.Ulong(addr, "mem_map")
	if err != nil {
		return nil, err
	}
	return nodeArrays{{base: base, end: ^uint64(0), size: pageSize}}, nil
}

// nodeArray is the struct pages of the page frames [first, end).
type nodeArray struct{ base, first, end, size uint64 }

// nodeArrays is an array for each node, or one for all.
type nodeArrays []nodeArray

func (a nodeArrays) find(pfn uint64) (addr, run uint64, ok bool) {
	run = ^uint64(0) - pfn
	for _, n := range a {
		switch {
		case pfn >= n.first && pfn < n.end:
			return n.base + (pfn-n.first)*n.size, n.end - pfn, true
		case pfn < n.first:
			run = min(run, n.first-pfn)
		}
	}
	return 0, run, false
}

// findNodeArrays reads pglist_data.node_mem_map of each node; kernels whose pages are not in such
// arrays do not export it.
func findNodeArrays(r *vmcore.Reader, pageSize uint64) (nodeArrays, error) {
	mapAt, ok := r.Info.Offset("pglist_data.node_mem_map")
	startAt, ok2 := r.Info.Offset("pglist_data.node_start_pfn")
	spannedAt, ok3 := r.Info.Offset("pglist_data.node_spanned_pages")
	if !ok || !ok2 || !ok3 {
		return nil, nil
	}
	var arrays nodeArrays
	for _, node := range nodes(r) {
		var v [3]uint64
		for i, at := range []uint64{mapAt, startAt, spannedAt} {
			var err error
			if v[i], err = r.Ulong(node+at, "pglist_data"); err != nil {
				return nil, err
			}
		}
		if base, first, n := v[0], v[1], v[2]; n > 0 && first <= first+n {
			arrays = append(arrays, nodeArray{base, first, first + n, pageSize})
		}
	}
	return arrays, nil
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
