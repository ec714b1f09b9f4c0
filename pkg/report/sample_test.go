package report

import "time"

// hostile is a name as a dump may have it: it would control a terminal, begin a script, end an attribute, turn the
// direction of writing, and it is no UTF-8.
const hostile = "\x1b[2J</pre><script>alert(1)</script>\"'&\u202e\xff"

// sample is a report with all parts.
func sample() *Report {
	crash := time.Date(2026, 11, 30, 1, 12, 3, 0, time.UTC)
	frame := func(address Address, symbol string, offset, size uint64) Frame {
		return Frame{Address: address, Symbol: symbol, Offset: offset, Size: size}
	}
	oops := frame(0xffffffffc0a7e012, "boom_oops", 0x12, 0x30)
	oops.Module = "boom"
	irq := frame(0xffffffff8a1f3ab4, "default_idle", 0xf, 0x20)
	irq.Interrupted = true
	waits := &Stack{Frames: []Frame{
		frame(0xffffffff8a5b0e51, "__schedule", 0x3e1, 0xb50), frame(0xffffffff8a5b15e3, "schedule", 0x63, 0x150),
		frame(0xffffffff8a5b1a0e, "schedule_preempt_disabled", 0xe, 0x20), frame(0xffffffff8a5b3f21, "__mutex_lock.constprop.0", 0x341, 0x7f0),
	}, End: "user mode"}
	return &Report{
		Version: Version,
		Title:   "NULL pointer dereference in boom_oops [boom]", Kind: "null-pointer",
		Message:     "BUG: kernel NULL pointer dereference, address: 0000000000000010",
		Fingerprint: "961d3de860b507fe",
		Kernel: Kernel{
			Release: "6.12.48+deb13-amd64", Version: "#1 SMP PREEMPT_DYNAMIC Debian 6.12.48-1 (2025-09-20)", Machine: "x86_64",
			BuildID: "3d8e1f2a4b5c6d7e8f90a1b2c3d4e5f60718293a", CrashTime: &crash, Uptime: 11*time.Hour + 4*time.Minute, Taint: "OE", CPUs: 4,
			Hardware: "QEMU Standard PC (i440FX + PIIX, 1996), BIOS 1.16.3-debian-1.16.3-2 04/01/2014",
			Cmdline:  "BOOT_IMAGE=/boot/vmlinuz-6.12.48+deb13-amd64 root=UUID=6b1f2c1e-8a5d-4f0e-9d52-0c6f5a1d7e11 ro quiet crashkernel=192M panic_on_oops=1",
		},
		Crashed: &CPU{Number: 2, Task: &Task{PID: 1123, TGID: 1123, Name: "insmod", State: "R", Address: 0xffff8880041b0000}, Stack: &Stack{Frames: []Frame{
			oops, frame(0xffffffffc0a7f02e, "init_module", 0x2e, 0xff0), frame(0xffffffff8a002a31, "do_one_initcall", 0x51, 0x300),
			frame(0xffffffff8a1a42f6, "do_init_module", 0x66, 0x250), frame(0xffffffff8a00132b, "do_syscall_64", 0x7b, 0x190),
			frame(0xffffffff8a8000b0, "entry_SYSCALL_64_after_hwframe", 0x76, 0x7e),
		}, End: "user mode"}},
		Others: []CPU{
			{Number: 0, Idle: true, Task: &Task{Name: "swapper/0", State: "R"}},
			{Number: 1, Task: &Task{PID: 77, TGID: 70, Name: hostile, State: "R"}, Stack: &Stack{Frames: []Frame{
				frame(0xffffffff8a0f0001, "tick_nohz_handler", 0x1, 0x90), irq, frame(0xffffffffc0ffee00, "", 0, 0),
				frame(0xffffffff8a777777, "recurse", 0x17, 0x40), frame(0xffffffff8a777777, "recurse", 0x17, 0x40), frame(0xffffffff8a777777, "recurse", 0x17, 0x40),
			}, End: "the stack at 0xffffc90000123000 is not in the dump"}},
			{Number: 3, Idle: true}, {Number: 4, Idle: true},
		},
		Blocked: []Task{
			{PID: 812, TGID: 812, Name: "jbd2/nvme0n1p2-8", State: "D", Off: 133 * time.Second, Stack: waits,
				WaitsFor: &Lock{Kind: "mutex", Address: 0xffffffffc0a81020, Symbol: "boom_lock+0x0 [boom]", HolderPID: 1123, HolderName: "insmod"}},
			{PID: 913, TGID: 913, Name: "postgres", State: "D", Off: 8400 * time.Millisecond, Stack: waits, WaitsFor: &Lock{Kind: "rwsem", Address: 0xffff888004100008, HolderGone: true}},
			{PID: 914, TGID: 913, Name: "postgres", State: "D"},
		},
		BlockedCount: 70, TaskCount: 184,
		Modules: []Module{
			{Name: "boom", Address: 0xffffffffc0a7e000, Size: 16384, State: "coming", Taint: "OE", Version: "1.0"},
			{Name: "nvme", Address: 0xffffffffc0213000, Size: 61440, State: "live"}, {Name: "nvme_core", Address: 0xffffffffc01e1000, Size: 217088, State: "live"},
			{Name: hostile, Address: 0xffffffffc0111000, Size: 4096, State: "live"},
		},
		Memory: &Memory{
			Total: 2 << 30, Free: 61 << 20, Anonymous: 1100 << 20, File: 400 << 20, Shared: 96 << 20, SlabKept: 250 << 20, SlabCache: 120 << 20,
			PageTables: 17 << 20, KernelStack: 5 << 20, Huge: 32 << 20, SwapTotal: 1 << 30, SwapFree: 814 << 20,
			Slabs:     []Slab{{"kmalloc-1k", 180 << 20, 1024}, {"dentry", 61 << 20, 192}, {hostile, 9 << 20, 4096}},
			Processes: []Process{{913, "postgres", 900 << 20, 210 << 20}, {1123, "insmod", 3 << 20, 0}},
			Hints:     []string{"kmalloc-1k takes 72 % of the slabs that can't be given up: something may leak."},
		},
		HardwareErrors: []HardwareError{{"memory", 3, crash.Add(-time.Hour)}},
		ExecFrom:       "6.12.47+deb13-amd64",
		LogTail: []string{
			"[39843.120034] boom: loading out-of-tree module taints kernel.",
			"[39843.131842] BUG: kernel NULL pointer dereference, address: 0000000000000010",
			"[39843.131850] #PF: supervisor write access in kernel mode",
			"[39843.131911] " + hostile,
			"[39843.132204] Kernel panic - not syncing: Fatal exception",
		},
		Missing: []Missing{{"stack of CPU 1", "the stack at 0xffffc90000123000 is not in the dump: makedumpfile left out a page of the kernel"}},
	}
}

// logOnly is a report of a dump of which only the log could be read.
func logOnly() *Report {
	return &Report{
		Version: Version, Title: "Sysrq crash in sysrq_handle_crash", Kind: "sysrq", Message: "sysrq: Trigger a crash", Fingerprint: "0123456789abcdef",
		Kernel:  Kernel{Release: "5.10.0-30-amd64", Uptime: 42 * time.Second},
		LogTail: []string{"[   42.000000] sysrq: Trigger a crash"},
		Missing: []Missing{{"everything but the log", "this kernel has no BTF (CONFIG_DEBUG_INFO_BTF)"}},
	}
}
