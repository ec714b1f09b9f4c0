package dumptest

// Kinds of pages, to be left out by makedumpfile -d.
const (
	PageKernel  = iota // kept at any level
	PageUser           // an anonymous page: level 8
	PageFree           // in the buddy allocator, alone: level 16
	PageDamaged        // PG_hwpoison: every level
)

// AddLinux adds what makedumpfile looks for in the memory of an x86_64 kernel: its name, page tables for
// the kernel image, and a mem_map of the given page frames, of which kind tells what they are.
func (m *Image) AddLinux(release string, pages uint64, kind func(pfn uint64) int) {
	const startKernelMap, pageSize = 0xffffffff80000000, 64
	base := m.Phys - (m.Virt - startKernelMap)
	m.Line("NUMBER(phys_base)=%d", int64(base))
	m.Line("KERNELOFFSET=0")
	m.Line("NUMBER(KERNEL_IMAGE_SIZE)=1073741824")
	m.Symbol("_stext", m.Virt)

	m.addName(release)

	// Two large pages for the image. Virt is aligned, so the tables are, too.
	pgd, pud, pmd := m.Alloc(4096, 4096), m.Alloc(4096, 4096), m.Alloc(4096, 4096)
	phys := func(v uint64) uint64 { return v - startKernelMap + base }
	m.Put(pgd+8*511, 8, phys(pud)|3)
	m.Put(pud+8*510, 8, phys(pmd)|3)
	for at := m.Virt; at < m.Virt+2<<21; at += 1 << 21 {
		m.Put(pmd+8*(at>>21&511), 8, phys(at)&^(1<<21-1)|0x83)
	}
	m.Symbol("init_top_pgt", pgd)

	memMap := m.Alloc(int(pageSize*pages), pageSize)
	for pfn := range pages {
		page := memMap + pageSize*pfn
		mapCount := int32(-1)
		switch kind(pfn) {
		case PageUser:
			m.Put(page+16, 8, 0x1001) // mapping, PAGE_MAPPING_ANON
		case PageFree:
			mapCount = -129
		case PageDamaged:
			m.Put(page, 8, 1<<21) // flags, PG_hwpoison
		}
		m.Put(page+32, 4, uint64(uint32(mapCount)))
	}
	m.Var("mem_map", 8, memMap)
	m.Symbol("contig_page_data", m.Alloc(64, 8))
	m.Line("SIZE(page)=%d", pageSize)
	for i, f := range []string{"flags", "_refcount", "mapping", "lru", "_mapcount", "private", "compound_head"} {
		m.Line("OFFSET(page.%s)=%d", f, 8*i)
	}
	for _, f := range []string{"SIZE(list_head)=16", "SIZE(pglist_data)=64", "SIZE(zone)=64", "SIZE(free_area)=16", "SIZE(nodemask_t)=8",
		"OFFSET(pglist_data.node_zones)=0", "OFFSET(pglist_data.nr_zones)=0", "OFFSET(pglist_data.node_start_pfn)=0",
		"OFFSET(pglist_data.node_spanned_pages)=0", "OFFSET(zone.free_area)=0", "OFFSET(zone.vm_stat)=0", "OFFSET(zone.spanned_pages)=0",
		"OFFSET(free_area.free_list)=0", "OFFSET(list_head.next)=0", "OFFSET(list_head.prev)=8", "LENGTH(zone.free_area)=11",
		"NUMBER(NR_FREE_PAGES)=0", "NUMBER(PG_lru)=5", "NUMBER(PG_private)=12", "NUMBER(PG_swapcache)=10", "NUMBER(PG_hwpoison)=21",
		"NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)=-129"} {
		m.Line("%s", f)
	}
}

// addName adds the name of an x86_64 kernel, a struct uts_namespace.
func (m *Image) addName(release string) {
	uts := m.Alloc(6*65, 8)
	for i, s := range []string{"Linux", "host", release, "#1 SMP", "x86_64", "(none)"} {
		copy(m.Bytes(uts+uint64(65*i), 65), s)
	}
	m.Symbol("init_uts_ns", uts)
	m.Line("OFFSET(uts_namespace.name)=0")
}
