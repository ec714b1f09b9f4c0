package report

import (
	"net"
	"path/filepath"
	"time"

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
	sysctl  []string // name=value, as files under /proc/sys
	cmdline string
	// function is the one that the title has to name; empty: none.
	function string
}

// crashes are all ways. The functions are crashmodule's.
func crashes() []crash {
	return []crash{
		{name: "sysrq", kind: oops.SysRq, trigger: (*vmlab.Guest).Crash},
		{name: "sysrq-irq", kind: oops.SysRq, trigger: serialBreak, sysctl: []string{"kernel/sysrq=1"}, cmdline: "console=ttyS1"},
		{name: "nmi", kind: oops.NMI, trigger: func(g *vmlab.Guest) { g.HMP("nmi") }, sysctl: []string{"kernel/unknown_nmi_panic=1"}},
		{name: "oom", kind: oops.OutOfMemory, trigger: eatMemory, sysctl: []string{"vm/panic_on_oom=2"}},
		{name: "null", kind: oops.NullDereference, param: "null", function: "crash_read"},
		{name: "timer", kind: oops.NullDereference, param: "timer", function: "crash_read"},
		{name: "work", kind: oops.NullDereference, param: "work", function: "crash_read"},
		{name: "list", kind: oops.ListCorruption, param: "list", function: "crash_list"},
		{name: "bug", kind: oops.Bug, param: "bug", function: "crash_bug"},
		{name: "warn", kind: oops.Warning, param: "warn", function: "crash_warn", sysctl: []string{"kernel/panic_on_warn=1"}},
		{name: "stack", kind: oops.StackOverflow, param: "stack", function: "crash_recurse"},
		{name: "softlockup", kind: oops.SoftLockup, param: "softlockup", function: "crash_spin",
			sysctl: []string{"kernel/watchdog_thresh=3", "kernel/softlockup_panic=1"}},
		{name: "hungtask", kind: oops.HungTask, param: "hungtask", function: "crash_wait_for_mutex",
			sysctl: []string{"kernel/hung_task_timeout_secs=3", "kernel/hung_task_panic=1"}},
		{name: "gp", kind: oops.GeneralProtection, param: "gp", function: "crash_read"},
		{name: "fault", kind: oops.PageFault, param: "fault", function: "crash_read"},
		{name: "divide", kind: oops.DivideError, param: "divide", function: "crash_divide"},
		{name: "opcode", kind: oops.InvalidOpcode, param: "opcode", function: "crash_invalid_opcode"},
		{name: "call", kind: oops.NullDereference, param: "call", function: "crash_call_nowhere"},
		{name: "panic", kind: oops.OtherPanic, param: "panic", function: "crash_panic"},
	}
}

// breakSocket is where a guest's second serial port can be sent to.
func breakSocket(dir string) string { return filepath.Join(dir, "serial.sock") }

// serialBreak sends what makes a kernel crash in the interrupt of its serial console: a break, then c.
func serialBreak(g *vmlab.Guest) {
	conn, err := net.Dial("unix", breakSocket(g.VM.Dir()))
	if err != nil {
		g.T.Fatal(err)
	}
	g.T.Cleanup(func() { conn.Close() })
	g.HMP("chardev-send-break break")
	time.Sleep(100 * time.Millisecond)
	if _, err := conn.Write([]byte("c")); err != nil {
		g.T.Fatal(err)
	}
}

// eatMemory takes memory until there is none: tail keeps the last line, which never ends.
func eatMemory(g *vmlab.Guest) { g.Start("busybox", "tail", "/dev/zero") }
