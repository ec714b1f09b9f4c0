package cmdline

import "debug/elf"

// reservingParams take memory that a capture has not.
func reservingParams() []DroppedParam {
	const (
		why   = "reserves memory"
		goes  = "goes with hugepages="
		huge  = "mm/hugetlb.c"
		thp   = "mm/huge_memory.c"
		table = "sizes a table for the whole memory"
	)
	return []DroppedParam{
		{Name: "hugepages", Sysctl: "vm/nr_hugepages*", Unless: []string{"0"}, Ends: true, Source: huge, Why: why},
		{Name: "hugepagesz", Source: huge, Why: goes},
		{Name: "default_hugepagesz", Source: huge, Why: goes},
		{Name: "hugetlb_cma", Unless: []string{"0"}, Source: huge, Since: "5.7", Why: why},
		{Name: "hugetlb_cma_only", Source: huge, Why: goes},
		{Name: "hugepage_alloc_threads", Source: huge, Why: goes},
		{Name: "cma", Unless: []string{"0"}, Source: "kernel/dma/contiguous.c", Why: why},
		{Name: "cma_pernuma", Source: "kernel/dma/contiguous.c", Since: "5.10", Why: why},
		{Name: "numa_cma", Source: "kernel/dma/contiguous.c", Why: why},
		{Name: "kvm_cma_resv_ratio", Unless: []string{"0"}, Source: kdumpUtils, Why: why},
		{Name: "vmcp_cma", Unless: []string{"0"}, Source: kdumpUtils, Why: why},
		{Name: "prot_virt", Unless: off(), On: []elf.Machine{elf.EM_S390}, Source: kdumpUtils, Since: "5.7", Why: why},
		{Name: "swiotlb", Unless: []string{"noforce"}, Source: kdumpUtils, Why: why},
		{Name: "log_buf_len", Source: kdumpUtils, Why: why},
		{Name: "reserve_mem", Source: "mm/memblock.c", Since: "6.12", Why: why},
		{Name: "kho", Unless: off(), Source: "kernel/liveupdate/kexec_handover.c", Since: "6.16", Why: "reserves memory for a handover that never comes"},
		{Name: "kho_scratch", Source: "kernel/liveupdate/kexec_handover.c", Since: "6.16", Why: "reserves memory for a handover that never comes"},
		{Name: "liveupdate", Unless: off(), Source: "kernel/liveupdate", Since: "6.19", Why: "there is nothing to hand over in a capture"},
		{Name: "dhash_entries", Source: "fs/dcache.c", Why: table},
		{Name: "ihash_entries", Source: "fs/inode.c", Why: table},
		{Name: "mhash_entries", Source: "fs/namespace.c", Why: table},
		{Name: "mphash_entries", Source: "fs/namespace.c", Why: table},
		{Name: "thash_entries", Source: "net/ipv4/tcp.c", Why: table},
		{Name: "uhash_entries", Source: "net/ipv4/udp.c", Why: table},
		{Name: "transparent_hugepage*", Unless: []string{"never"}, Source: thp, Why: "2 MiB pages waste a small memory"},
		{Name: "thp_anon", Unless: []string{"never"}, Source: thp, Since: "6.12", Why: "large pages waste a small memory"},
		{Name: "thp_shmem", Unless: []string{"never"}, Source: thp, Since: "6.13", Why: "large pages waste a small memory"},
	}
}

// debugParams cost memory or time, which a first kernel may have to spare.
func debugParams() []DroppedParam {
	const (
		perObject = "costs memory per object"
		perPage   = "costs memory per page"
		trace     = "allocates trace buffers"
		slub      = "mm/slub.c"
	)
	return []DroppedParam{
		{Name: "ftrace", Source: "kernel/trace/trace.c", Why: trace},
		{Name: "ftrace_*", Sysctl: "kernel/ftrace_*", Source: "kernel/trace/ftrace.c", Why: trace},
		{Name: "trace_*", Source: "kernel/trace/trace.c", Why: trace},
		{Name: "tp_printk", Sysctl: "kernel/tracepoint_printk", Unless: off(), Source: "kernel/trace/trace.c", Why: "costs time per traced event"},
		{Name: "kprobe_event", Source: "kernel/trace/trace_kprobe.c", Why: trace},
		{Name: "stacktrace*", Source: "kernel/trace/trace_stack.c", Why: "traces every call"},
		{Name: "alloc_snapshot", Source: "kernel/trace/trace.c", Why: trace},
		{Name: "page_owner", Unless: off(), Source: "mm/page_owner.c", Why: perPage},
		{Name: "page_poison", Unless: off(), Source: "mm/page_poison.c", Why: "costs time per page"},
		{Name: "page_table_check", Unless: off(), Source: "mm/page_table_check.c", Since: "5.17", Why: perPage},
		{Name: "debug_pagealloc", Unless: off(), Source: "mm/debug_page_alloc.c", Why: "costs memory and time"},
		{Name: "debug_guardpage_minorder", Unless: off(), Source: "mm/debug_page_alloc.c", Why: "leaves memory unused"},
		{Name: "slub_debug", Source: slub, Why: perObject},
		{Name: "slab_debug", Source: slub, Since: "6.9", Why: perObject},
		{Name: "kasan", Unless: off(), Source: "mm/kasan", Why: "costs memory and time"},
		{Name: "kasan.*", Unless: off(), Source: "mm/kasan", Why: "costs memory and time"},
		{Name: "kcsan.*", Source: "kernel/kcsan/core.c", Since: "5.8", Why: "costs time"},
		{Name: "kfence.*", Unless: []string{"0"}, Source: "mm/kfence/core.c", Since: "5.12", Why: "costs memory"},
		{Name: "kmemleak", Unless: off(), Source: "mm/kmemleak.c", Why: perObject},
		{Name: "memtest", Unless: off(), Source: "mm/memtest.c", Why: "costs time at boot"},
		{Name: "memory_corruption_check*", Unless: off(), Source: "arch/x86/kernel/check.c", Why: "looks over memory that is the crashed kernel's concern"},
	}
}

// sizedParams were chosen for the whole machine.
func sizedParams() []DroppedParam {
	const (
		whole  = "meant for the whole machine"
		memory = "meant for the whole memory"
		own    = "the capture kernel gets its own"
	)
	return []DroppedParam{
		{Name: "mem", Ends: true, Source: kernelDoc, Why: "would cut the crash memory off"},
		{Name: "memmap", Source: kernelDoc, Why: "would change the map handed to the capture kernel"},
		{Name: "efi_fake_mem", Source: "drivers/firmware/efi/fake_mem.c", Why: "would change the map handed to the capture kernel"},
		{Name: "movablecore", Source: kernelDoc, Why: memory},
		{Name: "kernelcore", Source: kernelDoc, Why: memory},
		{Name: "movable_node", Source: kernelDoc, Why: memory},
		{Name: "memhp_default_state", Source: kernelDoc, Why: "memory must not be onlined by the capture kernel"},
		{Sysctl: "vm/*", Source: "Documentation/admin-guide/sysctl/vm.rst", Why: memory},
		{Sysctl: "kernel/threads-max", Source: "kernel/fork.c", Why: whole},
		{Name: "numa_balancing", Sysctl: "kernel/numa_balancing", Unless: off(), Source: "mm/mempolicy.c", Why: whole},
		{Name: "numa", Unless: []string{"off"}, Source: kernelDoc, Why: own},
		{Name: "mce", Unless: []string{"off"}, On: []elf.Machine{elf.EM_X86_64, elf.EM_386}, Source: kernelDoc, Why: own},
		{Name: "cgroup_disable", Unless: []string{"memory"}, Source: kernelDoc, Why: own},
		{Name: "cgroup_enable", Source: "kernel/cgroup/cgroup.c", Why: "memory cgroup structures cost memory"},
		{Name: "pcie_ports", Unless: []string{"compat"}, On: []elf.Machine{elf.EM_X86_64, elf.EM_386}, Source: kernelDoc, Why: own},
		{Name: "nr_cpus", Source: kernelDoc, Why: whole},
		{Name: "maxcpus", Source: kernelDoc, Why: whole},
		{Name: "possible_cpus", Source: kernelDoc, Why: whole},
		{Name: "additional_cpus", Source: kernelDoc, Why: whole},
		{Name: "isolcpus", Source: kernelDoc, Why: whole},
		{Name: "nohz_full", Source: kernelDoc, Why: whole},
		{Name: "rcu_nocbs", Source: kernelDoc, Why: whole},
		{Name: "rcu_nocb_poll", Source: kernelDoc, Why: whole},
		{Name: "irqaffinity", Source: kernelDoc, Why: whole},
		{Name: "kthread_cpus", Source: "SUSE", Why: whole},
		{Name: "workqueue.unbound_cpus", Source: "kernel/workqueue.c", Since: "6.6", Why: whole},
	}
}
