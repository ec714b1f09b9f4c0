package oops

// dispatches reports whether a function calls whatever there is to do: a timer, a work item, a system call. What lies
// below it differs from run to run, or is the same for everything.
func dispatches(name string) bool {
	for _, list := range [...]string{interrupting, threads, callbacks, networking, systemCalls} {
		if listed(list, name) {
			return true
		}
	}
	return begins(name, "__x64_sys_", "__ia32_sys_", "__ia32_compat_sys_", "__arm64_sys_", "__arm64_compat_sys_", "__riscv_sys_",
		"__riscv_compat_sys_", "__s390x_sys_", "__s390_sys_",
		"__powerpc_sys_", "__se_sys_", "__do_sys_", "__do_compat_sys_", "__se_compat_sys_", "SyS_", "SYSC_", "sys_", "compat_sys_",
		"ret_from_fork")
}

// Timers and interrupts.
const interrupting = `
	call_timer_fn expire_timers __run_timers __run_timer_base run_timer_base run_timer_softirq timer_expire_remote
	tmigr_handle_remote tmigr_handle_remote_up tmigr_handle_remote_cpu __hrtimer_run_queues hrtimer_run_queues
	__run_hrtimer hrtimer_interrupt hrtimer_run_softirq local_apic_timer_interrupt smp_apic_timer_interrupt
	apic_timer_interrupt __do_softirq do_softirq do_softirq_own_stack ____do_softirq handle_softirqs irq_exit irq_exit_rcu
	__irq_exit_rcu invoke_softirq run_ksoftirqd tasklet_action tasklet_action_common tasklet_hi_action
	workqueue_softirq_action bh_worker net_rx_action __napi_poll napi_poll net_tx_action rcu_do_batch rcu_core rcu_core_si
	rcu_process_callbacks blk_done_softirq blk_complete_reqs irq_work_run irq_work_run_list irq_work_single irq_work_tick
	__handle_irq_event_percpu handle_irq_event_percpu handle_irq_event handle_edge_irq handle_level_irq handle_fasteoi_irq
	handle_percpu_devid_irq generic_handle_irq generic_handle_domain_irq __handle_domain_irq handle_domain_irq
	handle_irq_desc do_IRQ common_interrupt __common_interrupt ret_from_intr call_irq_handler gic_handle_irq
	call_on_irq_stack do_interrupt_handler generic_handle_arch_irq do_irq irq_thread irq_thread_fn irq_forced_thread_fn
	handle_riscv_irq flush_smp_call_function_queue __flush_smp_call_function_queue
	generic_smp_call_function_single_interrupt __sysvec_call_function __sysvec_call_function_single csd_do_func
	csd_lock_record cpu_stopper_thread multi_cpu_stop handle_IPI ipi_handler do_handle_IPI run_posix_cpu_timers
	tick_sched_timer tick_nohz_handler update_process_times tick_handle_periodic tick_periodic
`

// Threads.
const threads = `
	process_one_work process_scheduled_works worker_thread rescuer_thread kthread kthread_worker_fn ret_from_fork
	ret_from_fork_asm ret_from_fork_nospec_begin ret_from_kernel_thread ret_from_kernel_user_thread kernel_thread_helper
	kernel_thread_starter smpboot_thread_fn io_wq_worker io_worker_handle_work vhost_task_fn vhost_run_work_list
	async_run_entry_fn start_kernel rest_init x86_64_start_kernel x86_64_start_reservations secondary_startup_64
	secondary_startup_64_no_verify start_secondary cpu_startup_entry do_idle common_startup_64 secondary_start_kernel
	__secondary_switched smp_callin default_idle_call kernel_init kernel_init_freeable do_initcalls do_basic_setup
`

// Modules, and calls through tables of callbacks.
const callbacks = `
	do_one_initcall do_init_module load_module init_module_from_file idempotent_init_module notifier_call_chain
	__blocking_notifier_call_chain blocking_notifier_call_chain atomic_notifier_call_chain __atomic_notifier_call_chain
	raw_notifier_call_chain __raw_notifier_call_chain srcu_notifier_call_chain task_work_run ____fput __fput fput
	__handle_sysrq handle_sysrq really_probe __driver_probe_device driver_probe_device call_driver_probe bus_for_each_dev
	bus_for_each_drv __device_attach_driver __driver_attach device_driver_attach __bpf_prog_run bpf_dispatcher_nop_func
	bpf_trace_run1 bpf_trace_run2
`

// The network's handlers: of protocols, of messages of netlink, of sockets.
const networking = `
	__netif_receive_skb __netif_receive_skb_core __netif_receive_skb_one_core __netif_receive_skb_list
	__netif_receive_skb_list_core __netif_receive_skb_list_ptype netif_receive_skb netif_receive_skb_internal
	netif_receive_skb_list netif_receive_skb_list_internal process_backlog napi_complete_done netif_rx rtnetlink_rcv_msg
	rtnetlink_rcv netlink_rcv_skb netlink_unicast netlink_unicast_kernel netlink_sendmsg netlink_dump __netlink_dump_start
	genl_rcv genl_rcv_msg genl_family_rcv_msg genl_family_rcv_msg_doit genl_family_rcv_msg_dumpit nfnetlink_rcv
	nfnetlink_rcv_msg sock_sendmsg __sock_sendmsg sock_sendmsg_nosec ____sys_sendmsg ___sys_sendmsg __sys_sendmsg
	__sys_sendmmsg __sys_sendto sock_recvmsg ____sys_recvmsg ___sys_recvmsg __sys_recvmsg __sys_recvfrom do_recvmmsg
	sock_write_iter sock_read_iter sock_ioctl sock_do_ioctl
`

// System calls.
const systemCalls = `
	do_syscall_64 do_syscall_x64 do_int80_syscall_32 do_fast_syscall_32 __do_fast_syscall_32 do_SYSENTER_32
	do_int80_emulation entry_SYSCALL_64_after_hwframe entry_SYSCALL_64_fastpath entry_SYSCALL_64
	entry_SYSENTER_compat_after_hwframe entry_INT80_compat system_call_fastpath x64_sys_call ia32_sys_call
	sysenter_dispatch ret_fast_syscall el0_svc el0_svc_handler el0_svc_common do_el0_svc invoke_syscall __invoke_syscall
	el0t_64_sync el0t_64_sync_handler el0_sync el0_sync_handler do_trap_ecall_u ret_from_syscall check_syscall_nr
	syscall_exit_to_user_mode __syscall_exit_to_user_mode_work exit_to_user_mode_prepare exit_to_user_mode_loop
	prepare_exit_to_usermode syscall_return_slowpath do_notify_resume system_call_exception system_call_common
	system_call_vectored_common system_call __do_syscall do_syscall handle_syscall resume_user_mode_work
	irqentry_exit_to_user_mode vfs_write vfs_read __vfs_write __vfs_read vfs_writev vfs_readv new_sync_write new_sync_read
	call_write_iter ksys_write ksys_read do_iter_readv_writev kernfs_fop_write_iter kernfs_fop_write kernfs_fop_read_iter
	vfs_ioctl ksys_ioctl do_vfs_ioctl
`
