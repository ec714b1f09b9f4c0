package cmdline

import (
	"debug/elf"
	"slices"
)

// DroppedParam is a parameter of the running kernel that must not reach a
// capture kernel (or, with Boot, any kernel that is not loaded by a boot loader).
// Names are compared as the kernel does ('-' is '_'); a last '*' stands for anything.
type DroppedParam struct {
	Name   string        // of the word; "" if there is only a sysctl
	Sysctl string        // of "sysctl." words with the same effect: the path below /proc/sys; "" if there is none
	Unless []string      // values with which it stays, since they turn it off
	On     []elf.Machine // nil: on all
	Boot   bool          // dropped for an ordinary kexec too
	Ends   bool          // a capture kernel that has it all the same ends early or can't run: check warns
	Since  string        // the Linux release that brought it, if that was 5.0 or later and is known
	Source string        // file of the kernel, or of a distribution, that defines or drops it
	Why    string
}

// DroppedParams lists what --reuse-cmdline leaves out.
func DroppedParams() []DroppedParam {
	return slices.Concat(loaderParams(), endingParams(), waitingParams(), setupParams(), reservingParams(), debugParams(), sizedParams())
}

// off are the values by which a parameter does nothing.
func off() []string { return []string{"0", "off", "n", "N", "no", "never", "disable", "disabled"} }

// loaderParams were written by a boot loader, or hold for the kernel before.
func loaderParams() []DroppedParam {
	loong := []elf.Machine{elf.EM_LOONGARCH}
	const loongSource = "arch/loongarch/kernel/machine_kexec_file.c"
	return []DroppedParam{
		{Name: "BOOT_IMAGE", Boot: true, Source: "GRUB, kexec-tools", Why: "written by the boot loader, names the old kernel"},
		{Name: "initrd", Boot: true, Source: "drivers/firmware/efi/libstub", Why: "read by the EFI stub, names the old initrd"},
		{Name: "kexec_jump_back_entry", Boot: true, Source: "kexec-tools", Why: "an address in the kernel before"},
		{Name: "elfcorehdr", Boot: true, Source: "kernel/crash_dump.c", Why: "an address in the kernel before"},
		{Name: "kexec", Boot: true, On: loong, Source: loongSource, Why: "written by the program that loaded the kernel before"},
		{Name: "kexec_file", Boot: true, On: loong, Source: loongSource, Why: "written by the kernel that loaded the kernel before"},
		{Name: "bootconfig", Since: "5.6", Source: "init/main.c", Why: "its words are on the command line already, and would come a second time"},
		{Name: "crashkernel", Ends: true, Source: kdumpGuide, Why: "a capture kernel has no memory to reserve"},
		{Name: "fadump*", On: []elf.Machine{elf.EM_PPC64}, Source: "arch/powerpc/kernel/fadump.c", Why: "a capture kernel has no memory to reserve"},
		{Name: "rdinit", Ends: true, Source: kernelDoc, Why: "names the first kernel's init"},
		{Name: "panic", Sysctl: "kernel/panic", Source: "kernel/panic.c", Why: "the capture kernel gets its own"},
	}
}

// endingParams end a capture for what it could live with.
func endingParams() []DroppedParam {
	const (
		panicSource    = "kernel/panic.c"
		watchdogSource = "kernel/watchdog.c"
		hungSource     = "kernel/hung_task.c"
		slow           = "a slow disk would end the capture"
		trouble        = "the capture would end for trouble that it may survive"
		extra          = "what it prints at a panic is of the first kernel's concern, and keeps the machine from rebooting"
	)
	return []DroppedParam{
		{Name: "hung_task_panic", Sysctl: "kernel/hung_task_panic", Unless: off(), Ends: true, Source: hungSource, Why: slow},
		{Name: "softlockup_panic", Sysctl: "kernel/softlockup_panic", Unless: off(), Ends: true, Source: watchdogSource, Why: slow},
		{Name: "hardlockup_panic", Sysctl: "kernel/hardlockup_panic", Unless: off(), Ends: true, Source: watchdogSource, Why: slow},
		{Name: "nmi_watchdog", Unless: []string{"0", "nopanic"}, Ends: true, Source: watchdogSource, Why: "it panics for a CPU that is busy, and takes a performance counter"},
		{Name: "unknown_nmi_panic", Sysctl: "kernel/unknown_nmi_panic", Unless: off(), Ends: true, Source: "arch/x86/kernel/nmi.c", Why: "the NMI that crashed the machine would end the capture too"},
		{Name: "panic_on_*", Sysctl: "kernel/panic_on_*", Unless: off(), Ends: true, Source: panicSource, Why: trouble},
		{Name: "panic_on_oom", Sysctl: "vm/panic_on_oom", Unless: off(), Ends: true, Source: "mm/oom_kill.c", Why: "memory is short in a capture"},
		{Name: "oops", Unless: nil, Ends: true, Source: panicSource, Why: trouble},
		{Name: "max_rcu_stall_to_panic", Sysctl: "kernel/max_rcu_stall_to_panic", Ends: true, Source: "kernel/rcu/tree_stall.h", Since: "5.11", Why: slow},
		{Name: "workqueue.panic_on_stall*", Unless: off(), Ends: true, Source: "kernel/workqueue.c", Why: slow},
		{Name: "edac_core.edac_mc_panic_on_ue", Unless: off(), Ends: true, Source: "drivers/edac/edac_mc.c", Why: "bad memory is what a capture may have to read"},
		{Name: "edac_core.edac_pci_panic_on_pe", Unless: off(), Ends: true, Source: "drivers/edac/edac_pci_sysfs.c", Why: trouble},
		{Name: "oops_limit", Sysctl: "kernel/oops_limit", Source: "kernel/exit.c", Since: "6.2", Why: trouble},
		{Name: "warn_limit", Sysctl: "kernel/warn_limit", Source: panicSource, Since: "6.2", Why: trouble},
		{Sysctl: "fs/xfs/panic_mask", Unless: off(), Ends: true, Source: "fs/xfs/xfs_sysctl.c", Why: trouble},
		{Sysctl: "kernel/modules_disabled", Unless: off(), Ends: true, Source: "kernel/module/main.c", Why: "the disk's driver could not be loaded"},
		{Name: "panic_force_cpu", Source: panicSource, Why: "the capture kernel has one CPU"},
		{Name: "panic_print", Sysctl: "kernel/panic_print", Source: panicSource, Why: extra},
		{Name: "panic_sys_info", Sysctl: "kernel/panic_sys_info", Source: panicSource, Why: extra},
		{Name: "panic_console_replay", Sysctl: "kernel/panic_console_replay", Source: panicSource, Why: extra},
		{Name: "hung_task_*", Sysctl: "kernel/hung_task_*", Unless: off(), Source: hungSource, Why: "meant for the first kernel, whose tasks matter"},
		{Name: "softlockup_*", Sysctl: "kernel/softlockup_*", Unless: off(), Source: watchdogSource, Why: "meant for the first kernel, whose tasks matter"},
		{Name: "hardlockup_*", Sysctl: "kernel/hardlockup_*", Unless: off(), Source: watchdogSource, Why: "meant for the first kernel, whose tasks matter"},
		{Name: "watchdog_thresh", Sysctl: "kernel/watchdog_thresh", Unless: off(), Source: watchdogSource, Why: slow},
		{Name: "pause_on_oops", Unless: off(), Source: panicSource, Why: "an oops would halt the capture for a time"},
		{Name: "crash_kexec_post_notifiers", Source: panicSource, Why: "a capture kernel has no crash kernel"},
		{Name: "rcupdate.*", Source: "kernel/rcu/update.c", Why: "meant for the first kernel's load"},
		{Name: "rcutree.*", Source: "kernel/rcu/tree.c", Why: "meant for the first kernel's load"},
		{Name: "fail_*", Source: "lib/fault-inject.c", Ends: true, Why: "makes the kernel fail on purpose"},
		{Name: "failslab", Source: "mm/failslab.c", Ends: true, Why: "makes the kernel fail on purpose"},
	}
}

// waitingParams have a capture wait for somebody, or for nothing.
func waitingParams() []DroppedParam {
	const (
		kgdb    = "kernel/debug/debug_core.c"
		systemd = "systemd, kernel-command-line(7)"
		dracut  = "dracut.cmdline(7)"
		shell   = "the capture would wait at a shell for somebody"
		target  = "the capture would end in a shell or another system state, and not save"
	)
	return []DroppedParam{
		{Name: "resume", Ends: true, Source: "kernel/power/hibernate.c", Why: "resuming from hibernation would overwrite the crashed kernel's memory"},
		{Name: "resume_offset", Source: "kernel/power/hibernate.c", Why: "goes with resume="},
		{Name: "resumewait", Ends: true, Source: "kernel/power/hibernate.c", Why: "waits for resume= without end"},
		{Name: "resumedelay", Source: "kernel/power/hibernate.c", Why: "goes with resume="},
		{Name: "kgdbwait", Ends: true, Source: kgdb, Why: "waits for a debugger"},
		{Name: "kgdboc*", Source: "drivers/tty/serial/kgdboc.c", Why: "trouble would end in a debugger"},
		{Name: "kgdbcon", Source: kgdb, Why: "goes with kgdboc="},
		{Name: "boot_delay", Unless: off(), Source: "kernel/printk/printk.c", Why: "waits at every message"},
		{Sysctl: "kernel/printk_delay", Unless: off(), Source: "kernel/printk/printk.c", Why: "waits at every message"},
		{Name: "rd.break", Ends: true, Source: dracut, Why: shell},
		{Name: "rd.shell", Unless: off(), Source: dracut, Why: shell},
		{Name: "rd.systemd.unit", Source: systemd, Why: target},
		{Name: "systemd.unit", Source: systemd, Why: target},
		{Name: "systemd.debug_shell", Unless: off(), Source: systemd, Why: "a shell without a password has no place in a capture"},
		{Name: "rd.systemd.debug_shell", Unless: off(), Source: systemd, Why: "a shell without a password has no place in a capture"},
		{Name: "systemd.confirm_spawn", Unless: off(), Ends: true, Source: systemd, Why: "waits for an answer at each service"},
		{Name: "systemd.crash_shell", Unless: off(), Source: systemd, Why: shell},
		{Name: "rescue", Source: systemd, Why: target},
		{Name: "emergency", Source: systemd, Why: target},
		{Name: "single", Source: systemd, Why: target},
		{Name: "s", Source: systemd, Why: target},
		{Name: "S", Source: systemd, Why: target},
		{Name: "1", Source: systemd, Why: target},
	}
}

// setupParams would set the machine up anew.
func setupParams() []DroppedParam {
	const why = "a capture initramfs that knows it would set the machine up as on its first boot"
	return []DroppedParam{
		{Name: "ignition.*", Source: kdumpUtils, Ends: true, Why: why},
		{Name: "combustion.*", Source: "combustion", Why: why},
		{Name: "flatcar.first_boot", Source: "Flatcar, bootengine", Why: why},
		{Name: "coreos.first_boot", Source: "Flatcar, bootengine", Why: why},
	}
}
