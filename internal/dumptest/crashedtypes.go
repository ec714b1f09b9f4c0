package dumptest

// types makes the types of a CrashedKernel.
func (k *CrashedKernel) types() {
	b := k.Types
	u8, u16, u32, i32 := b.Int("unsigned char", 1, false), b.Int("short unsigned int", 2, false), b.Int("unsigned int", 4, false), b.Int("int", 4, true)
	u64, s64, char := b.Int("long unsigned int", 8, false), b.Int("long int", 8, true), b.Int("char", 1, true)
	ptr := b.Pointer(0)
	text := b.Pointer(char)
	m := func(name string, typ uint32) Member { return Member{Name: name, Type: typ} }
	atomic := b.Modifier(KindTypedef, "atomic_long_t", b.Struct("", m("counter", s64)))
	atomic32 := b.Modifier(KindTypedef, "atomic_t", b.Struct("", m("counter", i32)))
	list := b.Struct("list_head", m("next", ptr), m("prev", ptr))
	b.Struct("mutex", m("owner", atomic), m("wait_list", list))
	b.Struct("rw_semaphore", m("count", atomic), m("owner", atomic))
	b.Struct("semaphore", m("count", u32), m("last_holder", u64))

	counter := b.Struct("percpu_counter", m("lock", u32), m("count", s64), m("list", list), m("counters", b.Pointer(i32)))
	b.Enum("", "MM_FILEPAGES", "MM_ANONPAGES", "MM_SWAPENTS", "MM_SHMEMPAGES", "NR_MM_COUNTERS")
	rss := b.Array(counter, 4)
	if k.Old {
		rss = b.Struct("mm_rss_stat", m("count", b.Array(atomic, 4)))
	}
	mm := b.Struct("mm_struct", m("pgd", ptr), m("rss_stat", rss))
	signal := b.Struct("signal_struct", m("live", u32), m("thread_head", list))
	task := []Member{m("", b.Struct("", m("thread_info", b.Struct("thread_info", m("flags", u64), m("cpu", u32))))),
		m("__state", b.Modifier(KindVolatile, "", u32)), m("on_cpu", i32),
		m("se", b.Struct("sched_entity", m("load", u64), m("exec_start", u64))), m("sched_info", b.Struct("sched_info", m("last_arrival", u64))),
		m("tasks", list), m("mm", b.Pointer(mm)), m("exit_state", i32), m("pid", i32), m("tgid", i32), m("thread_node", list),
		m("comm", b.Array(char, 16)), m("signal", b.Pointer(signal)), m("thread", b.Struct("thread_struct", m("es", u16), m("sp", u64)))}
	if !k.Old {
		task = append(task, m("blocker", u64))
	}
	t := b.Struct("task_struct", task...)
	b.Struct("mutex_waiter", m("list", list), m("task", b.Pointer(t)))
	b.Struct("rq", m("nr_running", u32), m("", b.Union("", m("donor", b.Pointer(t)), m("curr", b.Pointer(t)))), m("clock", u64))
	b.Struct("inactive_task_frame", m("r15", u64), m("r14", u64), m("r13", u64), m("r12", u64), m("bx", u64), m("bp", u64), m("ret_addr", u64))

	flags := []Member{m("sp_offset", u16), m("bp_offset", u16), {"sp_reg", u32, 4}, {"bp_reg", u32, 4}, {"type", u32, 3}, {"signal", u32, 1}}
	if k.Old {
		flags[4], flags[5] = Member{"type", u32, 2}, Member{"end", u32, 1}
	}
	b.Struct("orc_entry", flags...)

	b.Enum("module_state", "MODULE_STATE_LIVE", "MODULE_STATE_COMING", "MODULE_STATE_GOING", "MODULE_STATE_UNFORMED")
	b.Enum("mod_mem_type", "MOD_TEXT", "MOD_DATA", "MOD_RODATA", "MOD_RO_AFTER_INIT", "MOD_INIT_TEXT")
	layout := m("mem", b.Array(b.Struct("module_memory", m("base", ptr), m("size", u32)), 5))
	arch := m("arch", b.Struct("mod_arch_specific", m("num_orcs", u32), m("orc_unwind_ip", ptr), m("orc_unwind", ptr)))
	symtab := m("kallsyms", b.Pointer(b.Struct("mod_kallsyms", m("symtab", ptr), m("num_symtab", u32), m("strtab", text))))
	module := []Member{m("state", u32), m("list", list), m("name", b.Array(char, 56)), m("version", text), m("taints", u64), symtab, arch, layout}
	if k.Old {
		l := b.Struct("module_layout", m("base", ptr), m("size", u32), m("text_size", u32))
		module = append(module[:7], m("core_layout", l), m("init_layout", l))
	}
	b.Struct("module", module...)

	b.Enum("zone_stat_item", "NR_FREE_PAGES", "NR_ZONE_LRU_BASE")
	b.Enum("node_stat_item", "NR_SLAB_RECLAIMABLE_B", "NR_SLAB_UNRECLAIMABLE_B", "NR_ANON_MAPPED", "NR_FILE_PAGES", "NR_SHMEM", "NR_KERNEL_STACK_KB", "NR_PAGETABLE")
	node := b.Struct("kmem_cache_node", m("list_lock", u32), m("nr_slabs", atomic))
	b.Struct("kmem_cache", m("object_size", u32), m("oo", b.Struct("kmem_cache_order_objects", m("x", u32))), m("name", text), m("list", list), m("node", b.Array(b.Pointer(node), 2)))
	b.Struct("hstate", m("order", u32), m("nr_huge_pages", u64), m("name", b.Array(u8, 32)))
	b.Enum("hwerr_error_type", "HWERR_RECOV_CPU", "HWERR_RECOV_MEMORY", "HWERR_RECOV_PCI", "HWERR_RECOV_MAX")
	b.Struct("hwerr_info", m("count", atomic32), m("timestamp", s64))
}

// variables makes what is found by a symbol alone.
func (k *CrashedKernel) variables() {
	v := func(name string, size int, value uint64) {
		k.Put(k.Define(name, k.Alloc(size, size)), size, value)
	}
	v("saved_command_line", 8, k.Text("console=ttyS0 crashkernel=128M"))
	copy(k.Bytes(k.Define("dump_stack_arch_desc_str", k.Alloc(128, 8)), 128), "Made up, BIOS 1")
	v("tainted_mask", 8, 1<<12|1<<13)
	v("nr_cpu_ids", 4, 2)
	v("__cpu_possible_mask", 8, 3)
	v("__cpu_online_mask", 8, 1)
	v("panic_cpu", 4, 1)
	v("nr_node_ids", 4, 1)
	v("_totalram_pages", 8, 10000)
	v("total_swap_pages", 8, 100)
	v("nr_swap_pages", 8, 2)
	v("min_free_kbytes", 4, 1000)
	v("hugetlb_max_hstate", 4, 1)
}

// module makes the module "made" with the function crash_null.
func (k *CrashedKernel) module() {
	text := k.Alloc(0x1000, 0x1000)
	k.tableSymbols["crash_null"] = text + 0x100
	k.function("made", text+0x100)
	k.Module = k.New("module")
	name := k.At(k.Module, "module.name")
	copy(k.Bytes(name, 4), "made")
	k.Set(k.Module, "module.version", 8, k.Text("1.2"))
	k.Set(k.Module, "module.taints", 8, 1<<12|1<<13)
	if k.Old {
		at := k.At(k.Module, "module.core_layout")
		k.Set(at, "module_layout.base", 8, text)
		k.Set(at, "module_layout.size", 4, 0x3000)
		k.Set(at, "module_layout.text_size", 4, 0x1000)
	} else {
		for i := range uint64(2) {
			at := k.At(k.Module, "module.mem") + i*uint64(k.Types.Sizes["module_memory"])
			k.Set(at, "module_memory.base", 8, text+i*0x1000)
			k.Set(at, "module_memory.size", 4, 0x1000+i*0x1000)
		}
	}
	ip, entries, n := k.storeORC("made")
	arch := k.At(k.Module, "module.arch")
	k.Set(arch, "mod_arch_specific.num_orcs", 4, n)
	k.Set(arch, "mod_arch_specific.orc_unwind_ip", 8, ip)
	k.Set(arch, "mod_arch_specific.orc_unwind", 8, entries)
	symtab := k.Alloc(3*24, 8)
	k.Put(symtab+24, 4, 1)
	k.Put(symtab+24+6, 2, 1)
	k.Put(symtab+24+8, 8, text+0x100)
	k.Put(symtab+48, 4, 12)
	k.Put(symtab+48+6, 2, 1)
	k.Put(symtab+48+8, 8, text+0x200)
	strtab := k.Text("\x00crash_null\x00other")
	kallsyms := k.New("mod_kallsyms")
	k.Set(kallsyms, "mod_kallsyms.symtab", 8, symtab)
	k.Set(kallsyms, "mod_kallsyms.num_symtab", 4, 3)
	k.Set(kallsyms, "mod_kallsyms.strtab", 8, strtab)
	k.Set(k.Module, "module.kallsyms", 8, kallsyms)
	k.List(k.Define("modules", k.Alloc(16, 8)), k.At(k.Module, "module.list"))
}
