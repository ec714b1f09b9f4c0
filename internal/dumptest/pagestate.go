package dumptest

import "strings"

// hideKeys removes the lines of the keys.
func hideKeys(text string, keys []string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		hidden := false
		for _, k := range keys {
			hidden = hidden || strings.HasPrefix(line, k+"=")
		}
		if !hidden {
			b.WriteString(line)
		}
	}
	return b.String()
}

// StructPage is the physical address of the struct page of a page frame.
func (m *Machine) StructPage(pfn uint64) uint64 {
	return uint64(m.array.Start) + (pfn-m.RAM>>m.Page)*pageStruct
}

// Set stores a member of size bytes of a struct page.
func (m *Machine) Set(pfn, member uint64, size int, v uint64) {
	m.Put(m.StructPage(pfn)+member, size, v)
}

// Flag sets bits of a page's flags.
func (m *Machine) Flag(pfn uint64, bits ...uint) {
	v := m.Get(m.StructPage(pfn) + PageFlags)
	for _, b := range bits {
		v |= 1 << b
	}
	m.Set(pfn, PageFlags, 8, v)
}

// Type sets the page type.
func (m *Machine) Type(pfn uint64, t int64) { m.Set(pfn, PageMapcount, 4, uint64(uint32(t))) }

// Free makes a free block (mm/page_alloc.c, __free_one_page, set_buddy_order).
func (m *Machine) Free(pfn uint64, order uint) {
	for i := range uint64(1) << order {
		m.Set(pfn+i, PageRefcount, 4, 0)
	}
	m.Type(pfn, m.Kernel.BuddyType)
	m.Set(pfn, PagePrivate, 8, uint64(order))
	m.enlist(pfn, order)
	m.CountFree(1 << order)
}

// CountFree adds to the zone's NR_FREE_PAGES.
func (m *Machine) CountFree(n int64) {
	m.Put(m.zone+zoneVMStat, 8, m.Get(m.zone+zoneVMStat)+uint64(n))
}

// Object is the address of something in a page of the kernel that a page's mapping may point to.
func (m *Machine) Object() uint64 { return m.Direct + m.ImagePhys - m.RAM + 0x1340 }

// Anon makes an anonymous page, on the LRU list.
func (m *Machine) Anon(pfn uint64) {
	m.Set(pfn, PageMapping, 8, m.Object()+1)
	m.Type(pfn, 0) // mapped once
	m.Flag(pfn, m.Kernel.LRU, m.Kernel.SwapBacked)
}

// Cache makes a page of the page cache.
func (m *Machine) Cache(pfn uint64, private bool) {
	m.Set(pfn, PageMapping, 8, m.Object())
	m.Flag(pfn, m.Kernel.LRU)
	if private {
		m.Flag(pfn, m.Kernel.Private)
	}
}

// Compound makes a compound page of order > 0 (mm/page_alloc.c, prep_compound_page).
func (m *Machine) Compound(pfn uint64, order uint) {
	k := &m.Kernel
	m.Flag(pfn, k.Head)
	head := m.Vmemmap + pfn*pageStruct
	info := head | 1
	if k.Mask {
		info = ^(uint64(pageStruct)<<order - 1) | 1
	}
	for i := uint64(1); i < 1<<order; i++ {
		m.Set(pfn+i, PageCompound, 8, info)
		m.Set(pfn+i, PageMapping, 8, 0xdead000000000400) // TAIL_MAPPING
		m.Set(pfn+i, PageRefcount, 4, 0)
	}
	if k.OrderAt != 0 {
		m.Set(pfn+1, k.OrderAt-1, 1, 1) // COMPOUND_PAGE_DTOR
		m.Set(pfn+1, k.OrderAt, 1, uint64(order))
	} else {
		m.Set(pfn+1, PageFlags, 8, upperFlags|uint64(order))
	}
}

// Slab makes a slab of an order. Its members overlap with mapping, which may look like that of
// an anonymous page, also in its tail pages.
func (m *Machine) Slab(pfn uint64, order uint) {
	if order > 0 {
		m.Compound(pfn, order)
	}
	for i := range uint64(1) << order {
		m.Set(pfn+i, PageMapping, 8, 0xffff888087654321)
	}
	if m.Kernel.Slab != 0 {
		m.Flag(pfn, m.Kernel.Slab)
	} else {
		m.Type(pfn, m.Kernel.SlabType)
	}
}

// Hugetlb makes a page of hugetlbfs (mm/hugetlb.c), mapping its mapping: 0 where nobody uses it.
func (m *Machine) Hugetlb(pfn uint64, order uint, mapping uint64) {
	k := &m.Kernel
	m.Compound(pfn, order)
	m.Set(pfn, PageMapping, 8, mapping)
	switch {
	case k.HugetlbType != 0:
		m.Type(pfn, k.HugetlbType)
	case k.HugetlbFlag != 0:
		m.Flag(pfn+1, k.HugetlbFlag)
	default:
		m.Set(pfn+1, k.OrderAt-1, 1, 2) // HUGETLB_PAGE_DTOR
	}
	if !k.HVO || k.Mask {
		return
	}
	// Before 7.1 the optimisation maps the first page of struct pages over the others, so that
	// each of them begins with what looks like the head (page_fixed_fake_head).
	const perPage = 4096 / pageStruct
	for i := uint64(perPage); i < 1<<order; i++ {
		from, to := m.StructPage(pfn+i%perPage), m.StructPage(pfn+i)
		copy(m.page(to)[to&4095:][:pageStruct], m.page(from)[from&4095:][:pageStruct])
	}
}
