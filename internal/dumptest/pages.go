package dumptest

import "github.com/gokexec/gokexec/pkg/memmap"

// pageStruct is SIZE(page), and the rest offsets into struct page, as 64-bit kernels have them since 4.18.
const (
	pageStruct = 64

	PageFlags    = 0
	PageCompound = 8 // compound_head, compound_info
	PageMapping  = 24
	PagePrivate  = 40
	PageMapcount = 48
	PageRefcount = 52
)

// Kernel is what the kernels of a version have in struct page, and what VMCOREINFO says about it.
type Kernel struct {
	Release string

	// Bits of page flags. Slab is 0 where slab pages have a page type.
	LRU, Head, Slab, Reserved, Private, SwapCache, SwapBacked, HWPoison uint

	// HugetlbFlag is the bit of the first tail page (6.6 to 6.8); 0: it's a type, or, before, a destructor.
	HugetlbFlag uint
	// OrderAt is the offset of compound_order in the first tail page; 0: the low byte of its flags.
	OrderAt uint64
	// Folio says that VMCOREINFO has the offset as a member of struct folio.
	Folio bool

	// Page types, values of _mapcount; 0: the version has none.
	BuddyType, OfflineType, TableType, HugetlbType, SlabType, UnacceptedType int64

	CompoundInfo bool // the member's name since 7.1
	Mask         bool // it contains a mask
	HVO          bool // tail pages of hugetlb share memory

	// Hide are the keys that VMCOREINFO lacks.
	Hide []string
}

// Orders is LENGTH(zone.free_area).
const Orders = 11

// Kernels has the versions that changed something (kernel/vmcore_info.c, before 6.9
// kernel/crash_core.c, and include/linux/page-flags.h of each).
func Kernels() []Kernel {
	old := Kernel{LRU: 4, Head: 16, Slab: 9, Reserved: 12, Private: 13, SwapCache: 10, SwapBacked: 19, HWPoison: 22,
		OrderAt: 17, BuddyType: ^0x80, OfflineType: ^0x100, TableType: ^0x200}
	release := func(k Kernel, release string) Kernel { k.Release = release; return k }
	v510 := release(old, "5.10.0")
	v61 := release(old, "6.1.0")
	v61.HVO = true
	v63 := release(v61, "6.3.0")
	v63.Folio = true
	v66 := release(v63, "6.6.0")
	v66.Folio, v66.OrderAt, v66.HugetlbFlag = false, 0, 8
	v66.LRU, v66.Head, v66.Slab, v66.Reserved, v66.Private, v66.SwapCache = 5, 6, 11, 14, 15, 12
	v69 := release(v66, "6.9.0")
	v69.HugetlbFlag, v69.HugetlbType = 0, ^0x800
	v610 := release(v69, "6.10.0")
	v610.Slab, v610.SlabType = 0, ^0x1000
	first610 := release(v610, "6.10.0-without-PAGE_SLAB_MAPCOUNT_VALUE")
	first610.Hide = []string{"NUMBER(PAGE_SLAB_MAPCOUNT_VALUE)"}
	v612 := release(v610, "6.12.0")
	v612.Reserved, v612.Private, v612.SwapCache, v612.SwapBacked, v612.HWPoison = 13, 14, 10, 17, 21
	v612.BuddyType, v612.OfflineType, v612.TableType, v612.HugetlbType, v612.SlabType = -0x10<<24, -0xf<<24, -0xe<<24, -0xc<<24, -0xb<<24
	v616 := release(v612, "6.16.0")
	v616.UnacceptedType = -0x9 << 24
	v71 := release(v616, "7.1.0")
	v71.CompoundInfo, v71.HVO = true, false
	v72 := release(v71, "7.2.0")
	v72.Mask, v72.HVO = true, true
	return []Kernel{v510, v61, v63, v66, v69, v610, first610, v612, v616, v71, v72, release(v72, "7.3.0")}
}

// upperFlags are node, zone and last CPU in the flags of every page.
const upperFlags = 0x0017ffffc0000000

// kernelPage makes the struct page of an ordinary page in use by the kernel.
func (k *Kernel) kernelPage(b []byte) {
	putPage(b, PageFlags, upperFlags)
	b[PageMapcount], b[PageMapcount+1], b[PageMapcount+2], b[PageMapcount+3] = 0xff, 0xff, 0xff, 0xff
	b[PageRefcount] = 1
}

func putPage(b []byte, at int, v uint64) {
	for i := range 8 {
		b[at+i] = byte(v >> (8 * i))
	}
}

// addPages lays out the struct page array with mem_section, and describes them.
func (m *Machine) addPages() {
	k := &m.Kernel
	last := m.Ranges[len(m.Ranges)-1].End
	first := m.RAM >> m.Page
	n := uint64(last)>>m.Page - first
	start := (m.RAM + 128<<20 + 1<<30 - 1) &^ (1<<30 - 1)
	if size := uint64(m.Ranges[0].End) - m.RAM; size < 4<<30 {
		start = m.RAM + 96<<20
	}
	m.array = memmap.Range{Start: memmap.PhysAddr(start), End: memmap.PhysAddr(start + n*pageStruct)}
	at := m.Vmemmap + first*pageStruct
	m.Map(at, start, (n*pageStruct+1<<m.Page-1)&^(1<<m.Page-1))

	// SPARSEMEM_EXTREME with its pointer table.
	perRoot := uint64(1) << m.Page / 16
	roots := uint64(1) << (m.Phys - m.Section) / perRoot
	table := m.Alloc(8*roots, 4096)
	perSection := uint64(1) << (m.Section - m.Page)
	for s := first / perSection; s*perSection < first+n; s++ {
		if !m.sectionHasMemory(s) {
			continue
		}
		slot := table + 8*(s/perRoot)
		if m.Get(slot) == 0 {
			m.Put(slot, 8, m.Virt(m.Alloc(1<<m.Page, 1<<m.Page)))
		}
		m.Put(m.Get(slot)-m.ImageVirt+m.ImagePhys+s%perRoot*16, 8, m.Vmemmap|0xf) // coded: less the section's first page frame
	}
	m.Symbol("mem_section", m.Virt(table))
	m.Line("LENGTH(mem_section)=%d\nSIZE(mem_section)=16\nOFFSET(mem_section.section_mem_map)=0", roots)
	m.Line("NUMBER(SECTION_SIZE_BITS)=%d\nNUMBER(MAX_PHYSMEM_BITS)=%d", m.Section, m.Phys)
	m.Line("SIZE(page)=%d\nOFFSET(page.flags)=%d\nOFFSET(page._refcount)=%d\nOFFSET(page.mapping)=%d\nOFFSET(page._mapcount)=%d\nOFFSET(page.private)=%d",
		pageStruct, PageFlags, PageRefcount, PageMapping, PageMapcount, PagePrivate)
	if k.CompoundInfo {
		m.Line("OFFSET(page.compound_info)=%d", PageCompound)
	} else {
		m.Line("OFFSET(page.compound_head)=%d", PageCompound)
	}
	number := func(name string, n int64, known bool) {
		if known {
			m.Line("NUMBER(%s)=%d", name, n)
		}
	}
	number("PG_lru", int64(k.LRU), true)
	number("PG_private", int64(k.Private), true)
	number("PG_swapcache", int64(k.SwapCache), true)
	number("PG_swapbacked", int64(k.SwapBacked), true)
	number("PG_hwpoison", int64(k.HWPoison), true)
	number("PG_head_mask", 1<<k.Head, true)
	number("PG_slab", int64(k.Slab), k.Slab != 0)
	number("PG_hugetlb", int64(k.HugetlbFlag), k.HugetlbFlag != 0)
	number("HUGETLB_PAGE_DTOR", 2, k.OrderAt != 0)
	number("PAGE_BUDDY_MAPCOUNT_VALUE", k.BuddyType, true)
	number("PAGE_OFFLINE_MAPCOUNT_VALUE", k.OfflineType, true)
	number("PAGE_HUGETLB_MAPCOUNT_VALUE", k.HugetlbType, k.HugetlbType != 0)
	number("PAGE_SLAB_MAPCOUNT_VALUE", k.SlabType, k.SlabType != 0)
	number("PAGE_UNACCEPTED_MAPCOUNT_VALUE", k.UnacceptedType, k.UnacceptedType != 0)
	switch {
	case k.Folio:
		m.Line("OFFSET(folio._folio_dtor)=%d\nOFFSET(folio._folio_order)=%d", pageStruct+k.OrderAt-1, pageStruct+k.OrderAt)
	case k.OrderAt != 0:
		m.Line("OFFSET(page.compound_dtor)=%d\nOFFSET(page.compound_order)=%d", k.OrderAt-1, k.OrderAt)
	}
	m.Edit(func(text string) string { return hideKeys(text, k.Hide) })
}

func (m *Machine) sectionHasMemory(s uint64) bool {
	at, size := memmap.PhysAddr(s<<m.Section), memmap.PhysAddr(1)<<m.Section
	for _, r := range m.Ranges {
		if r.Overlaps(memmap.Range{Start: at, End: at + size}) {
			return true
		}
	}
	return false
}

// Layout of struct zone, free_area and pglist_data.
const (
	zoneSize, zoneSpanned, zoneFreeArea, zoneVMStat = 1856, 160, 256, 1536
	freeAreaSize, freeLists                         = 104, 6
	nodeSize, nodeZones                             = 4096, 2
	nodeNrZones, nodeStart, nodeSpanned             = nodeZones * zoneSize, nodeZones*zoneSize + 8, nodeZones*zoneSize + 24
	pageLRU                                         = 8 // buddy_list
)

// addZone makes a node with two zones, of which the first has the free pages.
func (m *Machine) addZone() {
	node := m.Alloc(nodeSize, 4096)
	nodes := m.Alloc(8*64, 64)
	m.Put(nodes, 8, m.Virt(node))
	m.Symbol("node_data", m.Virt(nodes))
	m.Line("LENGTH(node_data)=64\nSIZE(pglist_data)=%d\nSIZE(zone)=%d\nSIZE(free_area)=%d", nodeSize, zoneSize, freeAreaSize)
	m.Line("OFFSET(pglist_data.node_zones)=0\nOFFSET(pglist_data.nr_zones)=%d", nodeNrZones)
	m.Line("OFFSET(pglist_data.node_start_pfn)=%d\nOFFSET(pglist_data.node_spanned_pages)=%d", nodeStart, nodeSpanned)
	m.Line("OFFSET(zone.vm_stat)=%d\nOFFSET(zone.spanned_pages)=%d\nOFFSET(zone.free_area)=%d", zoneVMStat, zoneSpanned, zoneFreeArea)
	m.Line("NUMBER(NR_FREE_PAGES)=0\nLENGTH(zone.free_area)=%d\nOFFSET(free_area.free_list)=0\nLENGTH(free_area.free_list)=%d", Orders, freeLists)
	m.Line("OFFSET(page.lru)=%d", pageLRU)
	pages := uint64(m.Ranges[len(m.Ranges)-1].End)>>m.Page - m.RAM>>m.Page
	m.Put(node+nodeNrZones, 4, nodeZones)
	m.Put(node+nodeStart, 8, m.RAM>>m.Page)
	m.Put(node+nodeSpanned, 8, pages)
	m.zone = node
	m.Put(m.zone+zoneSpanned, 8, pages)
	for zone := range uint64(nodeZones) {
		for order := range uint64(Orders) {
			for list := range uint64(freeLists) {
				at := node + zone*zoneSize + zoneFreeArea + order*freeAreaSize + list*16
				m.Put(at, 8, m.Virt(at))
				m.Put(at+8, 8, m.Virt(at))
			}
		}
	}
}

// enlist puts a free block at the head of its list, which is that of movable pages.
func (m *Machine) enlist(pfn uint64, order uint) {
	head := m.zone + zoneFreeArea + uint64(order)*freeAreaSize + 16
	page, pageVirt := m.StructPage(pfn)+pageLRU, m.Vmemmap+pfn*pageStruct+pageLRU
	next := m.Get(head)
	m.Put(page, 8, next)
	m.Put(page+8, 8, m.Virt(head))
	m.Put(head, 8, pageVirt)
	if next == m.Virt(head) {
		m.Put(head+8, 8, pageVirt)
	} else {
		m.Put(m.StructPage(0)+next-m.Vmemmap+8, 8, pageVirt)
	}
}
