package report

import (
	"github.com/gokexec/gokexec/internal/vmlab"
	"github.com/gokexec/gokexec/pkg/oops"
)

// A crash is a way to crash a kernel.
type crash struct {
	name string
	kind oops.Kind
	// param is what the module is told; without one trigger does it.
	param   string
	trigger func(g *vmlab.Guest)
	sysctl  []string // NAME=VALUE, as files under /proc/sys
	// title is of the report, the same on each kernel; significant are the functions that count.
	title       string
	significant []string
}

// possible reports whether an architecture can crash like that. The module is built for amd64 and arm64.
func (c crash) possible(arch string) bool {
	switch arch {
	case "amd64":
		return true
	case "arm64":
		return c.param != "" && c.param != "divide" || c.name == "sysrq" || c.name == "oom"
	}
	return c.name == "sysrq"
}

// ofModule makes the names of functions of the module, called through the parameter's file in sysfs.
func ofModule(names ...string) []string {
	for i := range names {
		names[i] += "@crashmodule"
	}
	return names
}

// throughSysfs are ofModule and what calls them.
func throughSysfs(names ...string) []string {
	return append(ofModule(append(names, "crash_set")...), "param_attr_store", "module_attr_store")[:min(5, len(names)+3)]
}

// crashes are all ways.
func crashes() []crash {
	return []crash{
		{name: "null", kind: oops.NullDereference, param: "null",
			title: "NULL pointer dereference in crash_read [crashmodule]", significant: throughSysfs("crash_read", "crash_null_inner", "crash_null")},
		{name: "softlockup", kind: oops.SoftLockup, param: "softlockup", sysctl: []string{"kernel/watchdog_thresh=3", "kernel/softlockup_panic=1"},
			title: "soft lockup in crash_spin [crashmodule]", significant: throughSysfs("crash_spin", "crash_soft_lockup")},
		{name: "timer", kind: oops.NullDereference, param: "timer",
			title: "NULL pointer dereference in crash_read [crashmodule]", significant: ofModule("crash_read", "crash_timer_function")},
		{name: "work", kind: oops.NullDereference, param: "work",
			title: "NULL pointer dereference in crash_read [crashmodule]", significant: ofModule("crash_read", "crash_work_function")},
		{name: "list", kind: oops.ListCorruption, param: "list",
			title: "list corruption in crash_list [crashmodule]", significant: throughSysfs("crash_list")},
		{name: "bug", kind: oops.Bug, param: "bug",
			title: "kernel BUG in crash_bug [crashmodule]", significant: throughSysfs("crash_bug")},
		{name: "warn", kind: oops.Warning, param: "warn", sysctl: []string{"kernel/panic_on_warn=1"},
			title: "WARNING in crash_warn [crashmodule]", significant: throughSysfs("crash_warn")},
		{name: "stack", kind: oops.StackOverflow, param: "stack",
			title: "stack overflow in crash_recurse [crashmodule]", significant: ofModule("crash_recurse")},
		{name: "hungtask", kind: oops.HungTask, param: "hungtask", sysctl: []string{"kernel/hung_task_timeout_secs=3", "kernel/hung_task_panic=1"},
			title: "task hung in crash_wait_for_mutex [crashmodule]", significant: ofModule("crash_wait_for_mutex")},
		{name: "oom", kind: oops.OutOfMemory, trigger: eatMemory, sysctl: []string{"vm/panic_on_oom=2"}, title: "out of memory"},
		{name: "nmi", kind: oops.NMI, trigger: func(g *vmlab.Guest) { g.HMP("nmi") }, sysctl: []string{"kernel/unknown_nmi_panic=1"}, title: "NMI"},
		{name: "sysrq", kind: oops.SysRq, trigger: (*vmlab.Guest).Crash, title: "crash by SysRq"},
		{name: "sysrq-irq", kind: oops.SysRq, trigger: pressSysRq, sysctl: []string{"kernel/sysrq=1"}, title: "crash by SysRq"},
		{name: "gp", kind: oops.GeneralProtection, param: "gp",
			title: "general protection fault in crash_read [crashmodule]", significant: throughSysfs("crash_read", "crash_general_protection")},
		{name: "fault", kind: oops.PageFault, param: "fault",
			title: "page fault in crash_read [crashmodule]", significant: throughSysfs("crash_read", "crash_page_fault")},
		{name: "divide", kind: oops.DivideError, param: "divide",
			title: "divide error in crash_divide [crashmodule]", significant: throughSysfs("crash_divide")},
		{name: "opcode", kind: oops.InvalidOpcode, param: "opcode",
			title: "invalid opcode in crash_invalid_opcode [crashmodule]", significant: throughSysfs("crash_invalid_opcode")},
		{name: "call", kind: oops.NullDereference, param: "call",
			title: "NULL pointer dereference in crash_call_nowhere [crashmodule]", significant: throughSysfs("crash_call_nowhere")},
		{name: "panic", kind: oops.OtherPanic, param: "panic",
			title: "panic in crash_panic [crashmodule]", significant: throughSysfs("crash_panic")},
	}
}

// pressSysRq crashes the kernel from the keyboard, in its interrupt.
func pressSysRq(g *vmlab.Guest) { g.HMP("sendkey alt-sysrq-c") }

// eatMemory takes memory until there is none: tail keeps the last line, which never ends.
func eatMemory(g *vmlab.Guest) { g.Start("busybox", "tail", "/dev/zero") }
