package oops

import (
	"slices"
	"strings"
)

// skipped reports whether a function tells nothing about a fault: it only reports it, waits, or serves everyone.
func skipped(name string) bool {
	return reports(name) || checks(name) || locks(name) || waits(name) || copies(name)
}

// listed reports whether a list of names, with white space between them, has a name. It is text, and no switch, because
// a thousand cases make a hundred kilobytes of code.
func listed(list, name string) bool {
	for from := 0; name != ""; {
		i := strings.Index(list[from:], name)
		if i < 0 {
			break
		}
		start := from + i
		end := start + len(name)
		if (start == 0 || list[start-1] <= ' ') && (end == len(list) || list[end] <= ' ') {
			return true
		}
		from = end
	}
	return false
}

// begins reports whether a text has one of the prefixes.
func begins(s string, prefixes ...string) bool {
	return slices.ContainsFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(s, prefix) })
}

// reports: how kernels die, and what brings them there, on all architectures (arch/*/kernel/traps.c, arch/*/mm/fault.c,
// arch/*/kernel/entry*.S, kernel/panic.c, lib/bug.c).
func reports(name string) bool {
	return listed(reporting, name) || begins(name, "exc_", "asm_exc_", "sysvec_", "asm_sysvec_", "asm_common_interrupt", "kexec_", "crash_nmi_callback", "__die_",
		"ubsan_", "__ubsan_", "handle_overflow")
}

// checks: what the kernel, or the compiler, looks at its own data with (lib/list_debug.c, lib/refcount.c, mm/kasan,
// mm/kfence, mm/kmsan, kernel/kcsan, lib/ubsan.c, lib/debugobjects.c, mm/usercopy.c, kernel/locking/lockdep.c). Who called them
// is the one.
func checks(name string) bool {
	return listed(checking, name) || begins(name, "kasan_", "__kasan_", "__asan_", "kfence_", "__kfence_", "kmsan_", "__msan_", "kcsan_", "__tsan_", "__hwasan_", "__sanitizer_")
}

// locks: how a lock is taken and released differs from machine to machine, and whose lock it is is what counts
// (kernel/locking, arch/*/include/asm/spinlock.h).
func locks(name string) bool {
	return begins(name, "_raw_spin_", "_raw_read_", "_raw_write_", "__raw_spin_", "__raw_read_", "__raw_write_", "do_raw_spin_", "do_raw_read_",
		"do_raw_write_", "queued_spin_lock", "native_queued_spin_lock", "__pv_queued_spin_", "pv_queued_spin_",
		"queued_read_lock", "queued_write_lock", "__mutex_lock", "mutex_lock", "__mutex_unlock", "mutex_unlock",
		"__mutex_fastpath", "mutex_spin_on_owner", "mutex_optimistic_spin", "mutex_trylock", "__ww_mutex_lock",
		"ww_mutex_lock", "down_read", "down_write", "__down", "down_interruptible", "down_killable", "down_timeout",
		"down_trylock", "up_read", "up_write", "rwsem_", "__rwsem_", "call_rwsem_", "rt_mutex_lock", "__rt_mutex_",
		"rt_mutex_slowlock", "rt_spin_", "rtlock_", "rt_read_", "rt_write_", "osq_lock", "osq_unlock", "rwbase_",
		"percpu_down_", "percpu_up_", "__percpu_down_", "percpu_rwsem_wait", "virt_spin_lock", "arch_spin_", "_raw_res_spin_",
		"resilient_queued_spin_", "lock_sock_nested", "__lock_sock", "__cpu_map_lock", "__local_bh_enable_ip",
		"__local_bh_disable_ip", "bit_spin_lock", "hlist_bl_lock") ||
		name == "down" || name == "up"
}

// waits: how a task sleeps (kernel/sched), and a CPU.
func waits(name string) bool {
	return listed(waiting, name)
}

// copies: routines of the library of which a machine has several, chosen by its CPU, and that everything uses.
func copies(name string) bool {
	if listed(copying, strings.TrimLeft(name, "_")) {
		return true
	}
	return strings.HasPrefix(name, "__x86_indirect_") || strings.HasPrefix(name, "memcpy_") || strings.HasPrefix(name, "memset_")
}

const reporting = `
	dump_stack dump_stack_lvl __dump_stack show_stack show_stack_log_lvl show_regs dump_backtrace show_trace
	show_trace_log_lvl unwind_backtrace walk_stackframe show_raw_backtrace show_stackframe __show_regs panic vpanic
	nmi_panic __crash_kexec crash_kexec machine_kexec machine_crash_shutdown crash_setup_regs native_machine_crash_shutdown
	default_machine_crash_shutdown crash_save_cpu panic_other_cpus_shutdown panic_try_start check_panic_on_warn __warn
	__warn_printk warn_slowpath_fmt warn_slowpath_null warn_slowpath_common __report_bug report_bug report_bug_entry
	fixup_bug handle_bug is_valid_bugaddr do_warn warn_bogus_irq_restore die __die __die_body die_addr die_body oops_end
	oops_begin oops_exit die_kernel_fault die_nmi page_fault_oops no_context __no_context kernelmode_fixup_or_oops bad_area
	bad_area_nosemaphore __bad_area __bad_area_nosemaphore bad_area_access_error do_kern_addr_fault do_user_addr_fault
	pgtable_bad spurious_kernel_fault do_page_fault __do_page_fault trace_do_page_fault do_async_page_fault
	async_page_fault page_fault handle_page_fault do_bad_area do_kernel_fault __do_kernel_fault do_translation_fault
	do_mem_abort do_bad do_sea do_alignment_fault do_tag_check_fault do_serror do_undefinstr do_el1_undef do_el1_bti
	do_el1_fpac do_el1_mops do_el1_gcs bad_mode do_sp_pc_abort handle_bad_stack panic_bad_stack __bad_stack
	do_debug_exception brk_handler bug_handler bug_brk_handler call_break_hook call_el1_break_hook do_el1_brk64 do_brk64
	arm64_serror_panic arm64_notify_die arm_notify_die do_DataAbort do_PrefetchAbort do_undefined_instruction
	do_undef_instr do_trap do_trap_no_signal do_error_trap do_trap_error do_trap_unknown do_trap_break do_trap_insn_illegal
	do_trap_insn_fault do_trap_load_fault do_trap_store_fault do_trap_insn_misaligned do_trap_load_misaligned
	do_trap_store_misaligned handle_exception handle_kernel_stack_overflow ret_from_exception restore_all do_invalid_op
	do_general_protection do_double_fault do_divide_error do_int3 do_stack_segment do_overflow do_bounds invalid_op
	general_protection double_fault divide_error int3 error_entry error_code error_exit common_exception
	handle_stack_overflow gp_user_force_sig_segv fixup_exception notify_die gp_try_fixup_and_notify nmi do_nmi
	end_repeat_nmi first_nmi repeat_nmi nmi_restore nmi_handle default_do_nmi unknown_nmi_error io_check_error
	pci_serr_error do_machine_check machine_check mce_panic __mc_check_crashing_cpu _exception _exception_pkey
	bad_page_fault __bad_page_fault ___do_page_fault hash__do_page_fault do_hash_fault data_access_common_virt
	data_access_common_real instruction_access_common_virt program_check_common_virt program_check_exception
	program_check_common do_program_check unrecoverable_exception handle_page_fault_common data_access_exception
	alignment_exception do_dat_exception do_protection_exception pgm_check_handler __do_pgm_check illegal_op
	monitor_event_exception do_no_context handle_tlb_miss do_bp do_ade do_ale do_bce do_ri handle_bp handle_bce handle_ri
	handle_ade tlb_do_page_fault_0 tlb_do_page_fault_1 handle_syscall_fault show_err_regs __cfi_slowpath handle_cfi_failure
	report_cfi_failure __cfi_check_fail do_kernel_cp_fault spin_bug spin_dump do_raw_spin_lock_flags debug_spin_unlock
	__schedule_bug __might_sleep __might_resched ___might_sleep __might_fault rcu_sleep_check print_unlock_imbalance_bug
	debug_locks_off el1_sync el1_irq el1_da el1_dbg el1_abort el1_undef el1_error el1_bti el1_brk64 el1_inv el1_pc
	el1_sync_handler el1_irq_handler el1h_64_sync el1h_64_sync_handler el1h_64_irq el1h_64_irq_handler el1h_64_error
	el1h_64_error_handler el1h_64_fiq el1h_64_fiq_handler el1t_64_sync el1t_64_sync_handler el1_interrupt __dabt_svc
	__pabt_svc __und_svc __irq_svc __bug sysrq_handle_crash watchdog_timer_fn watchdog_overflow_callback
	watchdog_hardlockup_check watchdog_check_timestamp check_hung_uninterruptible_tasks check_hung_task rcu_sched_clock_irq
	panic_on_rcu_stall rcu_check_gp_kthread_starvation nmi_cpu_backtrace nmi_cpu_backtrace_handler
	nmi_trigger_cpumask_backtrace arch_trigger_cpumask_backtrace arch_trigger_all_cpu_backtrace trigger_all_cpu_backtrace
	rcu_dump_cpu_stacks print_cpu_stall print_other_cpu_stall check_cpu_stall rcu_pending rcu_check_callbacks
	sched_show_task _sched_show_task dump_cpu_task retint_kernel reschedule_interrupt ret_from_exception_irq irqentry_exit
	irqentry_enter raw_irqentry_exit_cond_resched printk _printk printk_emit printk_default vprintk vprintk_emit
	vprintk_default vprintk_func vprintk_deferred console_unlock console_flush_all __console_flush_and_unlock
	_printk_deferred stack_trace_save save_stack_trace save_stack __save_stack_trace print_context_stack dump_trace
	is_ftrace_trampoline is_bpf_text_address is_module_text_address kernel_text_address __kernel_text_address
	unwind_next_frame unwind_get_return_address __unwind_start unwind_start stack_trace_consume_entry set_track save_trace
	stack_depot_save arch_stack_walk fault_in_kernel_space traps_early bad_stack
`

const checking = `
	__list_add_valid __list_add_valid_or_report __list_del_entry_valid __list_del_entry_valid_or_report
	list_add_valid_or_report refcount_warn_saturate refcount_error_report ex_handler_refcount refcount_dec_not_one
	print_report print_address_description report_enabled end_report start_report check_memory_region check_region_inline
	usercopy_abort __check_heap_object __check_object_size check_heap_object check_stack_object check_page_span
	fortify_panic __fortify_panic __fortify_report __stack_chk_fail lockdep_rcu_suspicious print_circular_bug
	check_noncircular check_prev_add check_prevs_add validate_chain lock_is_held_type lock_is_held __lock_is_held
	rcu_is_watching rcu_read_lock rcu_read_unlock rcu_read_lock_held rcu_read_lock_held_common rcu_read_lock_sched_held
	rcu_dynticks_curr_cpu_in_eqs rcu_lockdep_current_cpu_online debug_lockdep_rcu_enabled check_preemption_disabled
	debug_smp_processor_id __this_cpu_preempt_check __lock_acquire lock_acquire lock_release __lock_release print_usage_bug
	mark_lock mark_lock_irq mark_usage check_deadlock print_deadlock_bug print_bad_irq_dependency check_irq_usage
	register_lock_class assign_lock_key lockdep_init_map_type check_prevs_add_irq valid_state mark_held_locks
	lockdep_hardirqs_on lockdep_hardirqs_on_prepare check_wait_context print_lock_invalid_wait_context debug_print_object
	debug_object_free debug_object_init debug_object_activate debug_object_deactivate debug_object_destroy
	debug_object_assert_init debug_check_no_obj_freed __debug_check_no_obj_freed __debug_object_init skb_panic
	skb_over_panic skb_under_panic skb_put skb_push skb_pull __skb_pull __skb_put __skb_push pskb_put assertfail
	refcount_inc_not_zero_checked refcount_inc_checked refcount_sub_and_test_checked refcount_dec_and_test_checked
	refcount_dec_checked refcount_add_checked refcount_add_not_zero_checked refcount_inc refcount_dec refcount_dec_and_test
	refcount_inc_not_zero _atomic_dec_and_lock _atomic_dec_and_lock_irqsave refcount_dec_and_lock atomic_read test_bit
	test_and_set_bit test_and_clear_bit set_bit clear_bit atomic_inc atomic_dec usercopy_warn work_is_static_object
	timer_is_static_object slab_free_freelist_hook slab_free_hook kmsan_get_shadow_origin_ptr msan_get_shadow_origin_ptr
	should_fail_ex should_fail fail_dump slab_err object_err slab_pad_check check_object check_slab check_bytes_and_report
	free_to_partial_list alloc_debug_processing free_debug_processing free_consistency_checks slab_bug slab_fix
	print_trailer kmsan_report kmsan_internal_check_memory atomic_check instrument_atomic_read instrument_atomic_read_write
	instrument_atomic_write
`

const waiting = `
	__schedule schedule schedule_debug schedule_preempt_disabled schedule_timeout schedule_timeout_uninterruptible
	schedule_timeout_killable schedule_timeout_interruptible schedule_timeout_idle schedule_hrtimeout
	schedule_hrtimeout_range schedule_hrtimeout_range_clock io_schedule io_schedule_timeout __schedule_loop
	preempt_schedule preempt_schedule_common preempt_schedule_irq preempt_schedule_notrace preempt_schedule_thunk
	___preempt_schedule ___preempt_schedule_notrace preempt_schedule_notrace_thunk __cond_resched _cond_resched
	preempt_count_add preempt_count_sub context_switch __switch_to __switch_to_asm switch_to dequeue_task_idle
	wait_for_common __wait_for_common do_wait_for_common wait_for_completion wait_for_completion_io
	wait_for_completion_timeout wait_for_completion_io_timeout wait_for_completion_state wait_for_completion_killable
	wait_for_completion_interruptible wait_for_common_io __wait_on_bit __wait_on_bit_lock out_of_line_wait_on_bit
	out_of_line_wait_on_bit_lock bit_wait bit_wait_io wait_on_page_bit wait_on_page_bit_common folio_wait_bit
	folio_wait_bit_common folio_wait_bit_killable folio_wait_writeback wait_on_page_writeback __lock_page __folio_lock
	__folio_lock_killable __lock_page_killable __wait_on_buffer wait_on_bit msleep msleep_interruptible usleep_range
	usleep_range_state fsleep prepare_to_wait prepare_to_wait_event finish_wait wait_woken autoremove_wake_function
	__wake_up __wake_up_common __wake_up_common_lock __refrigerator rcu_note_context_switch cpu_relax rep_nop __delay
	__udelay __const_udelay delay_tsc delay_halt delay_loop __ndelay __const_ndelay delay_halt_mwaitx __flush_work
	flush_work __flush_workqueue flush_workqueue drain_workqueue __cancel_work_timer __cancel_work_sync cancel_work_sync
	cancel_delayed_work_sync flush_delayed_work kthread_stop kthread_park ldsem_down_write ldsem_down_read
	__ldsem_down_write_nested __ldsem_down_read_nested console_lock usb_start_wait_urb del_timer_sync timer_delete_sync
	__timer_delete_sync synchronize_irq tasklet_kill blk_io_schedule do_nanosleep
`

const copying = `
	memcpy memcpy_erms memcpy_orig memcpy_fromio memcpy_toio memmove memmove_erms memset memset_erms memset_orig memset64
	memset32 memset16 memcmp bcmp memchr memscan memchr_inv pi_memcpy pi_memset pi_memmove pi_memcmp pi_strlen pi_strcmp
	pi_strncmp pi_strnlen strlen strnlen strcmp strncmp strcpy strncpy strscpy strlcpy strcat strncat strlcat strchr
	strrchr strchrnul strstr strnstr strcasecmp strncasecmp clear_page clear_page_erms clear_page_rep clear_page_orig
	clear_pages clear_pages_erms copy_page copy_page_regs copy_user_generic copy_user_generic_string
	copy_user_generic_unrolled copy_user_enhanced_fast_string rep_movs_alternative rep_stos_alternative arch_copy_from_user
	arch_copy_to_user arch_clear_user asm_copy_from_user asm_copy_to_user asm_memcpy asm_memset sw_memcpy sw_memset
	csum_partial csum_partial_copy_generic find_first_bit find_next_bit find_first_zero_bit find_next_zero_bit
	find_last_bit hweight64 sw_hweight64 sw_hweight32 list_del list_add list_del_init list_move list_add_tail
	read_once_word_nocheck read_word_at_a_time list_del_entry list_add_rcu rb_erase rb_erase_cached rb_insert_color
	rb_insert_augmented rb_erase_color rb_first rb_next rb_prev rb_last klist_next klist_prev klist_iter_init_node crc16
	crc32_le crc32c string vsnprintf vscnprintf snprintf sprintf scnprintf vsprintf copy_from_user copy_to_user
	copy_in_user get_user_1 get_user_2 get_user_4 get_user_8 put_user_1 put_user_2 put_user_4 put_user_8 raw_readb
	raw_readw raw_readl raw_readq raw_writeb raw_writew raw_writel raw_writeq x86_indirect_thunk_rax x86_return_thunk ret
	retpoline_r11
`
