package report

import "fmt"

// pageSize is that of the kernel in bytes.
func (m *maker) pageSize() uint64 {
	if m.mem != nil && m.mem.Info.PageSize > 0 {
		return m.mem.Info.PageSize
	}
	return 4096
}

// memory fills in what memory was used for.
func (m *maker) memory() error {
	page := m.pageSize()
	total, err := m.variable("_totalram_pages", 8)
	if err != nil {
		return err
	}
	out := &Memory{Total: total * page}
	m.report.Memory = out
	if v, ok := m.number("total_swap_pages", 8); ok {
		free, _ := m.number("nr_swap_pages", 8)
		out.SwapTotal, out.SwapFree = v*page, pages(free)*page
	}
	out.Huge = m.hugePages()
	if m.kernel == nil {
		return m.noTypes
	}
	var first error
	for _, c := range []struct {
		array, item string
		unit        uint64
		to          *uint64
	}{
		{"vm_zone_stat", "NR_FREE_PAGES", page, &out.Free},
		{"vm_node_stat", "NR_ANON_MAPPED", page, &out.Anonymous},
		{"vm_node_stat", "NR_FILE_PAGES", page, &out.File},
		{"vm_node_stat", "NR_SHMEM", page, &out.Shared},
		// In spite of their names these are in pages.
		{"vm_node_stat", "NR_SLAB_RECLAIMABLE_B", page, &out.SlabCache},
		{"vm_node_stat", "NR_SLAB_UNRECLAIMABLE_B", page, &out.SlabKept},
		{"vm_node_stat", "NR_PAGETABLE", page, &out.PageTables},
		{"vm_node_stat", "NR_KERNEL_STACK_KB", 1024, &out.KernelStack},
	} {
		n, err := m.counter(c.array, c.item)
		if err != nil && first == nil {
			first = err
		}
		*c.to = n * c.unit
	}
	m.hints(out)
	return first
}

// counter reads a counter of the kernel's memory statistics by the name of its enumerator.
func (m *maker) counter(array, item string) (uint64, error) {
	addr, err := m.symbol(array)
	if err != nil {
		return 0, err
	}
	i, ok := m.kernel.Types.Constant(item)
	if !ok || i < 0 || i > 1<<16 {
		return 0, fmt.Errorf("this kernel has no counter %s", item)
	}
	v, err := m.mem.Uint64(addr+8*uint64(i), array)
	return pages(v), err
}

// pages is a counter that may be a little below 0, as what each CPU has counted is not in it.
func pages(v uint64) uint64 {
	if int64(v) < 0 {
		return 0
	}
	return v
}

// maxHugeSizes bounds the sizes of huge pages (include/linux/hugetlb.h, HUGE_MAX_HSTATE).
const maxHugeSizes = 16

// hugePages is the size of the memory set aside for hugetlb.
func (m *maker) hugePages() (size uint64) {
	n, ok := m.number("hugetlb_max_hstate", 4)
	state, err := m.object("hstates", "hstate")
	if !ok || err != nil {
		return 0
	}
	for range min(n, maxHugeSizes) {
		order, err := state.Uint("order")
		count, err2 := state.Uint("nr_huge_pages")
		if err != nil || err2 != nil || order > 30 {
			return size
		}
		size += count << order * m.pageSize()
		state.Address += state.Field.Size
	}
	return size
}

// hints notes signs of a lack of memory.
func (m *maker) hints(out *Memory) {
	hint := func(format string, args ...any) { out.Hints = append(out.Hints, fmt.Sprintf(format, args...)) }
	if n := m.findings.oomKills; n > 0 {
		hint("the log has %d %s killed for lack of memory, the last one is %s", n, plural(n, "process", "processes"), m.findings.oomKilled)
	} else if m.findings.oomCalls > 0 {
		hint("the log has the kernel look for a process to be killed for lack of memory")
	}
	if out.Total == 0 {
		return
	}
	if kb, ok := m.number("min_free_kbytes", 4); ok && kb > 0 && out.Free < 2*kb*1024 {
		hint("%s were free, and the kernel keeps %s", mib(out.Free), mib(kb*1024))
	}
	if out.SwapTotal > 0 && out.SwapFree < out.SwapTotal/20 {
		hint("the swap space was full: %s of %s were free", mib(out.SwapFree), mib(out.SwapTotal))
	}
	if slab := out.SlabKept; slab > out.Total/3 {
		hint("%s of %s were kernel objects that can't be reclaimed: see the largest slabs", mib(slab), mib(out.Total))
	}
	if shared := out.Shared; shared > out.Total/2 {
		hint("%s of %s were shared memory and files in tmpfs", mib(shared), mib(out.Total))
	}
	if known := out.known(); known < out.Total && out.Total-known > out.Total/3 {
		hint("of %s of %s it isn't known what they were for: drivers allocate such pages", mib(out.Total-known), mib(out.Total))
	}
}

// known is the part of the memory that the kernel's counters tell the use of.
func (m *Memory) known() uint64 {
	return m.Free + m.Anonymous + m.File + m.SlabCache + m.SlabKept + m.PageTables + m.KernelStack + m.Huge
}

func plural(n int, one, more string) string {
	if n == 1 {
		return one
	}
	return more
}

// mib is a size for people.
func mib(n uint64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }
