package oops

import "strings"

// skipped reports whether a function tells nothing about a fault: it only reports it, waits, or serves everyone.
func skipped(name string) bool {
	return reports(name) || checks(name) || locks(name) || waits(name) || copies(name)
}

// reports: how kernels die, and what brings them there, on all architectures (arch/*/kernel/traps.c, arch/*/mm/fault.c,
// arch/*/kernel/entry*.S, kernel/panic.c, lib/bug.c).
func reports(name string) bool {
	switch name {
	case "dump_stack", "dump_stack_lvl", "__dump_stack", "show_stack", "show_stack_log_lvl", "show_regs", "dump_backtrace", "show_trace",
		"show_trace_log_lvl", "unwind_backtrace", "walk_stackframe", "show_raw_backtrace", "show_stackframe", "__show_regs",
		"panic", "vpanic", "nmi_panic", "__crash_kexec", "crash_kexec", "machine_kexec", "machine_crash_shutdown", "crash_setup_regs",
		"native_machine_crash_shutdown", "default_machine_crash_shutdown", "crash_save_cpu", "panic_other_cpus_shutdown", "panic_try_start",
		"check_panic_on_warn", "__warn", "__warn_printk", "warn_slowpath_fmt", "warn_slowpath_null", "warn_slowpath_common", "__report_bug",
		"report_bug", "report_bug_entry", "fixup_bug", "handle_bug", "is_valid_bugaddr", "do_warn", "warn_bogus_irq_restore",
		"die", "__die", "__die_body", "die_addr", "die_body", "oops_end", "oops_begin", "oops_exit", "die_kernel_fault", "die_nmi",
		"page_fault_oops", "no_context", "__no_context", "kernelmode_fixup_or_oops", "bad_area", "bad_area_nosemaphore", "__bad_area",
		"__bad_area_nosemaphore", "bad_area_access_error", "do_kern_addr_fault", "do_user_addr_fault", "pgtable_bad", "spurious_kernel_fault",
		"do_page_fault", "__do_page_fault", "trace_do_page_fault", "do_async_page_fault", "async_page_fault", "page_fault", "handle_page_fault",
		"do_bad_area", "do_kernel_fault", "__do_kernel_fault", "do_translation_fault", "do_mem_abort", "do_bad", "do_sea", "do_alignment_fault",
		"do_tag_check_fault", "do_serror", "do_undefinstr", "do_el1_undef", "do_el1_bti", "do_el1_fpac", "do_el1_mops", "do_el1_gcs", "bad_mode", "do_sp_pc_abort",
		"handle_bad_stack", "panic_bad_stack", "__bad_stack", "do_debug_exception", "brk_handler", "bug_handler", "bug_brk_handler", "call_break_hook",
		"call_el1_break_hook", "do_el1_brk64", "do_brk64", "arm64_serror_panic", "arm64_notify_die", "arm_notify_die", "do_DataAbort", "do_PrefetchAbort",
		"do_undefined_instruction", "do_undef_instr",
		"do_trap", "do_trap_no_signal", "do_error_trap", "do_trap_error", "do_trap_unknown", "do_trap_break", "do_trap_insn_illegal", "do_trap_insn_fault",
		"do_trap_load_fault", "do_trap_store_fault", "do_trap_insn_misaligned", "do_trap_load_misaligned", "do_trap_store_misaligned",
		"handle_exception", "handle_kernel_stack_overflow", "ret_from_exception", "restore_all",
		"do_invalid_op", "do_general_protection", "do_double_fault", "do_divide_error", "do_int3", "do_stack_segment", "do_overflow", "do_bounds",
		"invalid_op", "general_protection", "double_fault", "divide_error", "int3", "error_entry", "error_code", "error_exit",
		"common_exception", "handle_stack_overflow", "gp_user_force_sig_segv", "fixup_exception", "notify_die", "gp_try_fixup_and_notify",
		"nmi", "do_nmi", "end_repeat_nmi", "first_nmi", "repeat_nmi", "nmi_restore", "nmi_handle", "default_do_nmi", "unknown_nmi_error", "io_check_error",
		"pci_serr_error", "do_machine_check", "machine_check", "mce_panic", "__mc_check_crashing_cpu",
		"_exception", "_exception_pkey", "bad_page_fault", "__bad_page_fault", "___do_page_fault", "hash__do_page_fault", "do_hash_fault", "data_access_common_virt",
		"data_access_common_real", "instruction_access_common_virt", "program_check_common_virt", "program_check_exception", "program_check_common",
		"do_program_check", "unrecoverable_exception", "handle_page_fault_common", "data_access_exception", "alignment_exception",
		"do_dat_exception", "do_protection_exception", "pgm_check_handler", "__do_pgm_check", "illegal_op", "monitor_event_exception", "do_no_context",
		"handle_tlb_miss", "do_bp", "do_ade", "do_ale", "do_bce", "do_ri", "handle_bp", "handle_bce", "handle_ri", "handle_ade", "tlb_do_page_fault_0",
		"tlb_do_page_fault_1", "handle_syscall_fault", "show_err_regs", "__cfi_slowpath", "handle_cfi_failure", "report_cfi_failure", "__cfi_check_fail",
		"do_kernel_cp_fault", "spin_bug", "spin_dump", "do_raw_spin_lock_flags", "debug_spin_unlock", "__schedule_bug", "__might_sleep", "__might_resched",
		"___might_sleep", "__might_fault", "rcu_sleep_check", "print_unlock_imbalance_bug", "debug_locks_off",
		"el1_sync", "el1_irq", "el1_da", "el1_dbg", "el1_abort", "el1_undef", "el1_error", "el1_bti", "el1_brk64", "el1_inv", "el1_pc", "el1_sync_handler",
		"el1_irq_handler", "el1h_64_sync", "el1h_64_sync_handler", "el1h_64_irq", "el1h_64_irq_handler", "el1h_64_error", "el1h_64_error_handler", "el1h_64_fiq",
		"el1h_64_fiq_handler", "el1t_64_sync", "el1t_64_sync_handler", "el1_interrupt", "__dabt_svc", "__pabt_svc", "__und_svc", "__irq_svc", "__bug",
		"sysrq_handle_crash", "watchdog_timer_fn", "watchdog_overflow_callback", "watchdog_hardlockup_check", "watchdog_check_timestamp",
		"check_hung_uninterruptible_tasks", "check_hung_task", "rcu_sched_clock_irq", "panic_on_rcu_stall", "rcu_check_gp_kthread_starvation",
		"stack_trace_save", "save_stack_trace", "stack_depot_save", "arch_stack_walk", "fault_in_kernel_space", "traps_early", "bad_stack":
		return true
	}
	for _, prefix := range [...]string{"exc_", "asm_exc_", "sysvec_", "asm_sysvec_", "asm_common_interrupt", "kexec_", "crash_nmi_callback", "__die_",
		"print_address_description", "ubsan_", "__ubsan_", "handle_overflow"} {
		if strings.HasPrefix(name, prefix) {
			return name != "exc_page_fault_end"
		}
	}
	return false
}

// checks: what the kernel, or the compiler, looks at its own data with (lib/list_debug.c, lib/refcount.c, mm/kasan,
// mm/kfence, mm/kmsan, kernel/kcsan, lib/ubsan.c, lib/debugobjects.c, mm/usercopy.c, kernel/locking/lockdep.c). Who called them
// is the one.
func checks(name string) bool {
	switch name {
	case "__list_add_valid", "__list_add_valid_or_report", "__list_del_entry_valid", "__list_del_entry_valid_or_report", "list_add_valid_or_report",
		"refcount_warn_saturate", "refcount_error_report", "ex_handler_refcount", "refcount_dec_not_one",
		"print_report", "print_address_desc", "report_enabled", "end_report", "start_report", "check_memory_region", "check_region_inline",
		"usercopy_abort", "__check_heap_object", "__check_object_size", "check_heap_object", "check_stack_object", "check_page_span",
		"fortify_panic", "__fortify_panic", "__fortify_report", "__stack_chk_fail",
		"lockdep_rcu_suspicious", "print_circular_bug", "check_noncircular", "check_prev_add", "check_prevs_add", "validate_chain",
		"__lock_acquire", "lock_acquire", "lock_release", "__lock_release", "print_usage_bug", "mark_lock", "mark_lock_irq", "mark_usage", "check_deadlock",
		"print_deadlock_bug", "print_bad_irq_dependency", "check_irq_usage", "register_lock_class", "assign_lock_key", "lockdep_init_map_type",
		"check_prevs_add_irq", "valid_state", "mark_held_locks", "lockdep_hardirqs_on", "lockdep_hardirqs_on_prepare", "check_wait_context",
		"print_lock_invalid_wait_context", "debug_print_object", "debug_object_free", "debug_object_init", "debug_object_activate", "debug_object_deactivate",
		"debug_object_destroy", "debug_object_assert_init", "debug_check_no_obj_freed", "__debug_check_no_obj_freed", "__debug_object_init",
		"slab_err", "object_err", "slab_pad_check", "check_object", "check_slab", "check_bytes_and_report", "free_to_partial_list", "alloc_debug_processing",
		"free_debug_processing", "free_consistency_checks", "slab_bug", "slab_fix", "print_trailer", "kmsan_report", "kmsan_internal_check_memory",
		"atomic_check", "instrument_atomic_read", "instrument_atomic_read_write", "instrument_atomic_write":
		return true
	}
	for _, prefix := range [...]string{"kasan_", "__kasan_", "__asan_", "kfence_", "__kfence_", "kmsan_", "__msan_", "kcsan_", "__tsan_", "__hwasan_"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// locks: how a lock is taken and released differs from machine to machine, and whose lock it is is what counts
// (kernel/locking, arch/*/include/asm/spinlock.h).
func locks(name string) bool {
	for _, prefix := range [...]string{"_raw_spin_", "_raw_read_", "_raw_write_", "__raw_spin_", "__raw_read_", "__raw_write_", "do_raw_spin_", "do_raw_read_",
		"do_raw_write_", "queued_spin_lock", "native_queued_spin_lock", "__pv_queued_spin_", "pv_queued_spin_", "queued_read_lock", "queued_write_lock",
		"__mutex_lock", "mutex_lock", "__mutex_unlock", "mutex_unlock", "__mutex_fastpath", "mutex_spin_on_owner", "mutex_optimistic_spin", "mutex_trylock", "__ww_mutex_lock", "ww_mutex_lock",
		"down_read", "down_write", "__down", "down_interruptible", "down_killable", "down_timeout", "down_trylock", "up_read", "up_write", "rwsem_", "__rwsem_",
		"call_rwsem_", "rt_mutex_lock", "__rt_mutex_", "rt_mutex_slowlock", "rt_spin_", "rtlock_", "rt_read_", "rt_write_", "osq_lock", "osq_unlock", "rwbase_",
		"percpu_down_", "percpu_up_", "__percpu_down_", "percpu_rwsem_wait", "virt_spin_lock", "arch_spin_", "_raw_res_spin_", "resilient_queued_spin_", "lock_sock_nested", "__lock_sock",
		"__cpu_map_lock", "__local_bh_enable_ip", "__local_bh_disable_ip", "bit_spin_lock", "hlist_bl_lock"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return name == "down" || name == "up"
}

// waits: how a task sleeps (kernel/sched), and a CPU.
func waits(name string) bool {
	switch name {
	case "__schedule", "schedule", "schedule_debug", "schedule_preempt_disabled", "schedule_timeout", "schedule_timeout_uninterruptible", "schedule_timeout_killable",
		"schedule_timeout_interruptible", "schedule_timeout_idle", "schedule_hrtimeout", "schedule_hrtimeout_range", "schedule_hrtimeout_range_clock", "io_schedule", "io_schedule_timeout",
		"__schedule_loop", "preempt_schedule", "preempt_schedule_common", "preempt_schedule_irq", "preempt_schedule_notrace", "preempt_schedule_thunk", "__cond_resched", "_cond_resched",
		"preempt_count_add", "preempt_count_sub", "context_switch", "__switch_to", "__switch_to_asm", "switch_to", "dequeue_task_idle",
		"wait_for_common", "__wait_for_common", "do_wait_for_common", "wait_for_completion", "wait_for_completion_io", "wait_for_completion_timeout", "wait_for_completion_io_timeout", "wait_for_completion_state",
		"wait_for_completion_killable", "wait_for_completion_interruptible", "wait_for_common_io", "__wait_on_bit", "__wait_on_bit_lock", "out_of_line_wait_on_bit", "out_of_line_wait_on_bit_lock",
		"bit_wait", "bit_wait_io", "wait_on_page_bit", "wait_on_page_bit_common", "folio_wait_bit", "folio_wait_bit_common", "folio_wait_bit_killable", "folio_wait_writeback", "wait_on_page_writeback",
		"__lock_page", "__folio_lock", "__folio_lock_killable", "__lock_page_killable", "__wait_on_buffer", "wait_on_bit", "msleep", "msleep_interruptible", "usleep_range", "usleep_range_state", "fsleep",
		"prepare_to_wait", "prepare_to_wait_event", "finish_wait", "wait_woken", "autoremove_wake_function", "__wake_up", "__wake_up_common", "__wake_up_common_lock",
		"__refrigerator", "rcu_note_context_switch", "cpu_relax", "rep_nop", "__delay", "__udelay", "__const_udelay", "delay_tsc", "delay_halt", "delay_loop", "__ndelay", "__const_ndelay", "delay_halt_mwaitx",
		"blk_io_schedule", "do_nanosleep":
		return true
	}
	return false
}

// copies: routines of the library of which a machine has several, chosen by its CPU, and that everything uses.
func copies(name string) bool {
	switch strings.TrimLeft(name, "_") {
	case "memcpy", "memcpy_erms", "memcpy_orig", "memcpy_fromio", "memcpy_toio", "memmove", "memmove_erms", "memset", "memset_erms", "memset_orig", "memset64", "memset32", "memset16", "memcmp", "bcmp",
		"memchr", "memscan", "memchr_inv", "pi_memcpy", "pi_memset", "pi_memmove", "pi_memcmp", "pi_strlen", "pi_strcmp", "pi_strncmp", "pi_strnlen",
		"strlen", "strnlen", "strcmp", "strncmp", "strcpy", "strncpy", "strscpy", "strlcpy", "strcat", "strncat", "strlcat", "strchr", "strrchr", "strchrnul", "strstr", "strnstr", "strcasecmp", "strncasecmp",
		"clear_page", "clear_page_erms", "clear_page_rep", "clear_page_orig", "clear_pages", "clear_pages_erms", "copy_page", "copy_page_regs",
		"copy_user_generic", "copy_user_generic_string", "copy_user_generic_unrolled", "copy_user_enhanced_fast_string", "rep_movs_alternative", "rep_stos_alternative", "arch_copy_from_user", "arch_copy_to_user",
		"arch_clear_user", "asm_copy_from_user", "asm_copy_to_user", "asm_memcpy", "asm_memset", "sw_memcpy", "sw_memset", "csum_partial", "csum_partial_copy_generic",
		"find_first_bit", "find_next_bit", "find_first_zero_bit", "find_next_zero_bit", "find_last_bit", "hweight64", "sw_hweight64", "sw_hweight32", "list_del", "list_add", "list_del_init", "list_move",
		"list_add_tail", "read_once_word_nocheck", "x86_indirect_thunk_rax", "x86_return_thunk", "ret", "retpoline_r11":
		return true
	}
	return strings.HasPrefix(name, "__x86_indirect_") || strings.HasPrefix(name, "memcpy_") || strings.HasPrefix(name, "memset_")
}

// dispatches reports whether a function calls whatever there is to do: a timer, a work item, a system call. What lies
// below it differs from run to run, or is the same for everything.
func dispatches(name string) bool {
	switch name {
	// Timers and interrupts.
	case "call_timer_fn", "expire_timers", "__run_timers", "__run_timer_base", "run_timer_base", "run_timer_softirq", "timer_expire_remote", "tmigr_handle_remote", "tmigr_handle_remote_up",
		"tmigr_handle_remote_cpu", "__hrtimer_run_queues", "hrtimer_run_queues", "__run_hrtimer", "hrtimer_interrupt", "hrtimer_run_softirq", "local_apic_timer_interrupt", "smp_apic_timer_interrupt",
		"apic_timer_interrupt", "__do_softirq", "do_softirq", "do_softirq_own_stack", "____do_softirq", "handle_softirqs", "irq_exit", "irq_exit_rcu", "__irq_exit_rcu", "invoke_softirq",
		"run_ksoftirqd", "tasklet_action", "tasklet_action_common", "tasklet_hi_action", "workqueue_softirq_action", "bh_worker", "net_rx_action", "__napi_poll", "napi_poll", "net_tx_action",
		"rcu_do_batch", "rcu_core", "rcu_core_si", "rcu_process_callbacks", "blk_done_softirq", "blk_complete_reqs", "irq_work_run", "irq_work_run_list", "irq_work_single", "irq_work_tick",
		"__handle_irq_event_percpu", "handle_irq_event_percpu", "handle_irq_event", "handle_edge_irq", "handle_level_irq", "handle_fasteoi_irq", "handle_percpu_devid_irq", "generic_handle_irq",
		"generic_handle_domain_irq", "__handle_domain_irq", "handle_domain_irq", "handle_irq_desc", "do_IRQ", "common_interrupt", "__common_interrupt", "ret_from_intr", "call_irq_handler",
		"gic_handle_irq", "call_on_irq_stack", "do_interrupt_handler", "generic_handle_arch_irq", "do_irq", "irq_thread", "irq_thread_fn", "irq_forced_thread_fn", "handle_riscv_irq",
		"flush_smp_call_function_queue", "__flush_smp_call_function_queue", "generic_smp_call_function_single_interrupt", "__sysvec_call_function", "__sysvec_call_function_single", "smp_call_function_single",
		"csd_do_func", "csd_lock_record", "cpu_stopper_thread", "multi_cpu_stop", "handle_IPI", "ipi_handler", "do_handle_IPI", "run_posix_cpu_timers", "tick_sched_timer", "tick_nohz_handler",
		"update_process_times", "tick_handle_periodic", "tick_periodic",
		// Threads.
		"process_one_work", "process_scheduled_works", "worker_thread", "rescuer_thread", "kthread", "kthread_worker_fn", "ret_from_fork", "ret_from_fork_asm", "ret_from_fork_nospec_begin",
		"ret_from_kernel_thread", "ret_from_kernel_user_thread", "kernel_thread_helper", "kernel_thread_starter", "smpboot_thread_fn", "io_wq_worker", "io_worker_handle_work", "vhost_task_fn", "vhost_run_work_list", "async_run_entry_fn",
		"start_kernel", "rest_init", "x86_64_start_kernel", "x86_64_start_reservations", "secondary_startup_64", "secondary_startup_64_no_verify", "start_secondary", "cpu_startup_entry", "do_idle", "common_startup_64",
		"secondary_start_kernel", "__secondary_switched", "smp_callin", "default_idle_call", "kernel_init", "kernel_init_freeable", "do_initcalls", "do_basic_setup",
		// Modules, and calls through tables of callbacks.
		"do_one_initcall", "do_init_module", "load_module", "init_module_from_file", "idempotent_init_module", "notifier_call_chain", "__blocking_notifier_call_chain",
		"blocking_notifier_call_chain", "atomic_notifier_call_chain", "__atomic_notifier_call_chain", "raw_notifier_call_chain", "__raw_notifier_call_chain", "srcu_notifier_call_chain", "task_work_run", "____fput", "__fput", "fput",
		"__handle_sysrq", "handle_sysrq", "really_probe", "__driver_probe_device", "driver_probe_device", "call_driver_probe", "bus_for_each_dev", "bus_for_each_drv",
		"__device_attach_driver", "__driver_attach", "device_driver_attach", "__bpf_prog_run", "bpf_dispatcher_nop_func", "bpf_trace_run1", "bpf_trace_run2",
		// System calls.
		"do_syscall_64", "do_syscall_x64", "do_int80_syscall_32", "do_fast_syscall_32", "__do_fast_syscall_32", "do_SYSENTER_32", "do_int80_emulation", "entry_SYSCALL_64_after_hwframe", "entry_SYSCALL_64_fastpath",
		"entry_SYSCALL_64", "entry_SYSENTER_compat_after_hwframe", "entry_INT80_compat", "system_call_fastpath", "x64_sys_call", "ia32_sys_call", "sysenter_dispatch", "ret_fast_syscall",
		"el0_svc", "el0_svc_handler", "el0_svc_common", "do_el0_svc", "invoke_syscall", "__invoke_syscall", "el0t_64_sync", "el0t_64_sync_handler", "el0_sync", "el0_sync_handler",
		"do_trap_ecall_u", "ret_from_syscall", "check_syscall_nr", "syscall_exit_to_user_mode", "__syscall_exit_to_user_mode_work", "exit_to_user_mode_prepare", "exit_to_user_mode_loop",
		"prepare_exit_to_usermode", "syscall_return_slowpath", "do_notify_resume", "system_call_exception", "system_call_common", "system_call_vectored_common", "system_call",
		"__do_syscall", "do_syscall", "handle_syscall", "resume_user_mode_work", "irqentry_exit_to_user_mode",
		"vfs_write", "vfs_read", "__vfs_write", "__vfs_read", "vfs_writev", "vfs_readv", "new_sync_write", "new_sync_read", "call_write_iter", "ksys_write", "ksys_read", "do_iter_readv_writev",
		"kernfs_fop_write_iter", "kernfs_fop_write", "kernfs_fop_read_iter", "vfs_ioctl", "ksys_ioctl", "do_vfs_ioctl":
		return true
	}
	for _, prefix := range [...]string{"__x64_sys_", "__ia32_sys_", "__ia32_compat_sys_", "__arm64_sys_", "__arm64_compat_sys_", "__riscv_sys_", "__riscv_compat_sys_", "__s390x_sys_", "__s390_sys_", "__powerpc_sys_",
		"__se_sys_", "__do_sys_", "__do_compat_sys_", "__se_compat_sys_", "SyS_", "SYSC_", "sys_", "compat_sys_", "ret_from_fork"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}
