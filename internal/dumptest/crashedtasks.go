package dumptest

// Addresses of per-CPU variables. What is in perCPUCounters adds up to 5 for each counter.
const (
	runqueues      = 0x100
	notes          = 0x400
	perCPUCounters = 0x800
)

// CrashedClock is the clock of the CPUs of a CrashedKernel, in nanoseconds.
const CrashedClock = 41e9

// task makes a task. sp is where its stack is while it sleeps.
func (k *CrashedKernel) task(name string, pid, state, sp uint64) uint64 {
	t := k.New("task_struct")
	if k.Tasks[name] != 0 {
		panic("two tasks " + name)
	}
	k.Tasks[name] = t
	copy(k.Bytes(k.At(t, "task_struct.comm"), 15), name)
	k.Set(t, "task_struct.pid", 4, pid)
	k.Set(t, "task_struct.tgid", 4, pid)
	k.Set(t, "task_struct.__state", 4, state)
	k.Set(k.At(t, "task_struct.thread"), "thread_struct.sp", 8, sp)
	k.Set(k.At(t, "task_struct.se"), "sched_entity.exec_start", 8, 31e9)
	return t
}

// sleeping is the stack of a task that called schedule.
func (k *CrashedKernel) sleeping(functions ...string) uint64 {
	sp := k.Stack(functions...)
	at := sp - uint64(k.Types.Sizes["inactive_task_frame"])
	k.Set(at, "inactive_task_frame.ret_addr", 8, k.Address("schedule")+0x20)
	return at
}

// process joins tasks to a process.
func (k *CrashedKernel) process(threads ...uint64) {
	signal := k.New("signal_struct")
	var nodes []uint64
	for _, t := range threads {
		k.Set(t, "task_struct.signal", 8, signal)
		nodes = append(nodes, k.At(t, "task_struct.thread_node"))
	}
	k.List(k.At(signal, "signal_struct.thread_head"), nodes...)
}

// cpus makes the CPUs and the tasks. CPU 1 panicked in the module; CPU 0 was idle.
func (k *CrashedKernel) cpus() {
	idle := k.task("swapper/0", 0, 0, 0)
	k.Define("init_task", idle)
	culprit := k.task("culprit", 43, 0, 0)
	init := k.task("init", 1, 1, k.sleeping("vfs_read", "entry_SYSCALL_64"))
	waiting := k.sleeping("mutex_lock", "vfs_write", "entry_SYSCALL_64")
	waiter := k.task("waiter", 42, 2, waiting)
	holder := k.task("holder", 44, 0x402, k.sleeping("kthread", "ret_from_fork_asm"))
	k.Set(waiter, "task_struct.tgid", 4, 1)
	k.Lock = k.Define("made_lock", k.New("mutex"))
	k.Set(k.Lock, "mutex.owner", 8, holder|1)
	// What mutex_lock has in its frame, after that of schedule.
	entry := waiting + uint64(k.Types.Sizes["inactive_task_frame"]) + frameSize + 8
	k.Set(entry, "mutex_waiter.task", 8, waiter)
	k.List(k.At(k.Lock, "mutex.wait_list"), entry)
	if !k.Old {
		k.Set(waiter, "task_struct.blocker", 8, k.Lock)
	}
	k.process(idle)
	k.process(init, waiter)
	k.process(culprit)
	k.process(holder)
	k.List(k.At(idle, "task_struct.tasks"), k.At(init, "task_struct.tasks"), k.At(culprit, "task_struct.tasks"), k.At(holder, "task_struct.tasks"))
	k.Set(init, "task_struct.mm", 8, k.mm(1000, 2000, 7))
	k.Set(culprit, "task_struct.mm", 8, k.mm(10, 20, 0))

	k.Symbols = append(k.Symbols, TableSymbol{"runqueues", 'A', runqueues})
	offsets := k.Define("__per_cpu_offset", k.Alloc(16, 8))
	crashNotes := k.Define("crash_notes", k.Alloc(8, 8))
	k.Put(crashNotes, 8, notes)
	for cpu, c := range []struct {
		task uint64
		pc   string
		sp   uint64
	}{{idle, "default_idle", k.Stack("ret_from_fork_asm")}, {culprit, "crash_null", k.Stack("vfs_write", "entry_SYSCALL_64")}} {
		area := k.Alloc(0x1000, 0x1000)
		k.Put(offsets+8*uint64(cpu), 8, area)
		k.Set(area+runqueues, "rq.clock", 8, CrashedClock)
		k.Put(area+runqueues+8, 8, c.task)
		k.Set(c.task, "task_struct.on_cpu", 4, 1)
		for i := range uint64(4) {
			k.Put(area+perCPUCounters+8*i, 4, uint64(2+cpu))
		}
		note := area + notes
		k.Put(note, 4, 5)
		k.Put(note+4, 4, 336)
		k.Put(note+8, 4, 1)
		copy(k.Bytes(note+12, 4), "CORE")
		regs := k.CrashRegisters(cpu)
		k.Put(regs+128, 8, k.Address(c.pc)+0x20)
		k.Put(regs+136, 8, 0x10)
		k.Put(regs+152, 8, c.sp)
	}
}

// mm makes an address space with pages of files, anonymous ones and swapped ones.
func (k *CrashedKernel) mm(file, anon, swap uint64) uint64 {
	mm := k.New("mm_struct")
	rss := k.At(mm, "mm_struct.rss_stat")
	for i, n := range []uint64{file, anon, swap, 0} {
		if k.Old {
			k.Put(rss+8*uint64(i), 8, n)
			continue
		}
		at := rss + uint64(i*k.Types.Sizes["percpu_counter"])
		k.Set(at, "percpu_counter.count", 8, n-5)
		k.Set(at, "percpu_counter.counters", 8, perCPUCounters+8*uint64(i))
	}
	return mm
}

// memory makes the statistics of memory.
func (k *CrashedKernel) memory() {
	zone := k.Define("vm_zone_stat", k.Alloc(16, 8))
	k.Put(zone, 8, 300)
	node := k.Define("vm_node_stat", k.Alloc(7*8, 8))
	for i, n := range []uint64{50, 4000, 2100, 1500, 400, 160, 30} {
		k.Put(node+8*uint64(i), 8, n)
	}
	hstates := k.Define("hstates", k.New("hstate"))
	k.Set(hstates, "hstate.order", 4, 9)
	k.Set(hstates, "hstate.nr_huge_pages", 8, 2)
	var caches []uint64
	for _, c := range []struct {
		name               string
		size, order, slabs uint64
	}{{"dentry", 192, 0, 50}, {"made_cache", 5000, 3, 490}, {"task_struct", 9000, 3, 10}} {
		at, n := k.New("kmem_cache"), k.New("kmem_cache_node")
		k.Set(at, "kmem_cache.name", 8, k.Text(c.name))
		k.Set(at, "kmem_cache.object_size", 4, c.size)
		k.Set(at, "kmem_cache.oo", 4, c.order<<16|20)
		k.Set(at, "kmem_cache.node", 8, n)
		k.Set(n, "kmem_cache_node.nr_slabs", 8, c.slabs)
		caches = append(caches, k.At(at, "kmem_cache.list"))
	}
	k.List(k.Define("slab_caches", k.Alloc(16, 8)), caches...)
	hw := k.Define("hwerr_data", k.Alloc(3*k.Types.Sizes["hwerr_info"], 8))
	k.Set(hw+uint64(k.Types.Sizes["hwerr_info"]), "hwerr_info.count", 4, 3)
	k.Set(hw+uint64(k.Types.Sizes["hwerr_info"]), "hwerr_info.timestamp", 8, 1700000000)
}

// CrashRegisters is the address of the registers that a CPU left, a struct pt_regs.
func (k *CrashedKernel) CrashRegisters(cpu int) uint64 {
	area := k.Order.Uint64(k.Bytes(k.Address("__per_cpu_offset")+8*uint64(cpu), 8))
	return area + notes + 20 + 112
}
