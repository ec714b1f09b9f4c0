package pagefilter

import (
	"errors"
	"fmt"
	"math/bits"

	"github.com/gokexec/gokexec/pkg/memmap"
	"github.com/gokexec/gokexec/pkg/vmcore"
)

// Bits of mem_section.section_mem_map (include/linux/mmzone.h). The address that they stand in
// is aligned to more than sectionBits, since a section has at least 256 pages.
const (
	sectionPresent = 1 << 0
	sectionHasMap  = 1 << 1
	sectionBits    = 0xff
)

// sectionArray is the struct pages of sparse memory: an array for each section.
type sectionArray struct {
	r        *vmcore.Reader
	table    uint64 // address of the table of roots (SPARSEMEM_EXTREME) or of sections
	extreme  bool
	perRoot  uint64 // sections of a root
	sections uint64 // how many there can be
	entry    uint64 // bytes of a struct mem_section
	mapAt    uint64 // offset of section_mem_map
	shift    uint   // log2 of a section's page frames
	size     uint64 // bytes of a struct page
}

func (a *sectionArray) find(pfn uint64) (addr, run uint64, ok bool) {
	run = 1<<a.shift - pfn&(1<<a.shift-1)
	coded, ok := a.coded(pfn >> a.shift)
	if !ok {
		return 0, run, false
	}
	return coded + pfn*a.size, run, true
}

// coded returns the address of a section's array less what its first page frame adds.
func (a *sectionArray) coded(section uint64) (uint64, bool) {
	if section >= a.sections {
		return 0, false
	}
	at := a.table + section*a.entry
	if a.extreme {
		root, err := a.r.Ulong(a.table+section/a.perRoot*uint64(a.r.Word), "mem_section")
		if err != nil || root == 0 {
			return 0, false
		}
		at = root + section%a.perRoot*a.entry
	}
	coded, err := a.r.Ulong(at+a.mapAt, "mem_section.section_mem_map")
	if err != nil || coded&sectionPresent == 0 || coded&sectionHasMap == 0 {
		return 0, false
	}
	return coded &^ sectionBits, true
}

// findSections finds the table. SYMBOL(mem_section) may be that of the table itself or, since
// 4.15 and depending on who wrote VMCOREINFO, of a pointer to it: the one that leads to struct
// pages is right.
func findSections(mem Memory, r *vmcore.Reader, pageSize uint64) (pageArray, error) {
	l := vmcore.Layout{Info: r.Info}
	a := &sectionArray{r: r, table: l.Symbol("mem_section"), entry: l.Size("mem_section"),
		mapAt: l.Offset("mem_section.section_mem_map"), size: pageSize}
	l.Fits("mem_section.section_mem_map", a.mapAt, uint64(r.Word), a.entry)
	if l.Err != nil {
		return nil, l.Err
	}
	length, ok := r.Info.Length("mem_section")
	if !ok || length == 0 || length > 1<<36 {
		return nil, fmt.Errorf("VMCOREINFO: LENGTH(mem_section) is %d or missing", length)
	}
	sectionBits, physBits, err := sparseBits(mem.Platform().Machine, r.Info)
	if err != nil {
		return nil, err
	}
	a.shift = sectionBits - uint(bits.TrailingZeros64(r.Info.PageSize))
	a.sections = 1 << (physBits - sectionBits)
	// SECTIONS_PER_ROOT is a page's worth with SPARSEMEM_EXTREME, else 1.
	a.perRoot = r.Info.PageSize / a.entry
	a.extreme = length < a.sections
	if a.extreme && (a.perRoot == 0 || length != (a.sections+a.perRoot-1)/a.perRoot) {
		a.sections = min(a.sections, length*max(a.perRoot, 1))
	}
	if a.leads(mem) {
		return a, nil
	}
	if p, err := r.Ulong(a.table, "mem_section"); err == nil && p != 0 {
		a.table = p
		if a.leads(mem) {
			return a, nil
		}
	}
	return nil, errors.New("mem_section leads to no struct page of the machine's memory")
}

// leads reports whether struct pages of the machine's memory can be read by the table.
func (a *sectionArray) leads(mem Memory) bool {
	const tries = 64
	b := make([]byte, a.size)
	page := uint(bits.TrailingZeros64(a.r.Info.PageSize))
	for at, i := memmap.PhysAddr(0), 0; i < tries; i++ {
		m, err := nextMemory(mem, at)
		if err != nil || m.Empty() {
			return false
		}
		pfn := uint64(max(m.Start, at)) >> page
		addr, run, ok := a.find(pfn)
		if ok {
			if _, err := mem.ReadVirtAt(b, addr); err == nil {
				return true
			}
		}
		at = memmap.PhysAddr((pfn + run) << page)
	}
	return false
}
