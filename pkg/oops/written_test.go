package oops

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func read(t *testing.T, name string) *Oops {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	o, err := Read(f)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return o
}

// One fault, as each architecture and each age of the kernel prints it, has one fingerprint.
func TestArchitectures(t *testing.T) {
	for _, want := range []Oops{
		{Message: "arm64.log", Release: "6.18.1-arm64", Hardware: "linux,dummy-virt (DT)", Taint: "OE", Modules: []string{"quux", "dm_mod"}},
		{Message: "arm.log", Release: "6.12.1-armmp", Hardware: "Generic DT based system", Taint: "OE", Modules: []string{"quux"}, Panic: "Fatal exception"},
		{Message: "riscv64.log", Release: "6.12.1-riscv64", Hardware: "riscv-virtio,qemu (DT)", Taint: "OE", Modules: []string{"quux"}, Panic: "Fatal exception"},
		{Message: "ppc64le.log", Release: "6.12.1-powerpc64le", Taint: "OE", Modules: []string{"quux", "pseries_rng"}, Panic: "Fatal exception",
			Hardware: "IBM pSeries (emulated by qemu) POWER9 (architected) 0x4e1202 0xf000005 of:SLOF,HEAD hv:linux,kvm pSeries"},
		{Message: "s390x.log", Release: "6.12.1-s390x", Hardware: "IBM 8561 LT1 400 (KVM/Linux)", Taint: "OE", Modules: []string{"quux", "vfio_ccw", "mdev"},
			Panic: "Fatal exception: panic_on_oops"},
		{Message: "loong64.log", Release: "6.12.1-loong64", Hardware: "QEMU QEMU Virtual Machine, BIOS unknown 2/2/2022", Taint: "OE", Modules: []string{"quux"},
			Panic: "Fatal exception"},
		{Message: "x86-old.log", Release: "3.10.0-1160.el7.x86_64", Hardware: "Example Inc. Model 1/Board, BIOS 1.0 01/02/2013", Taint: "FO",
			Modules: []string{"quux", "ext4", "mbcache", "jbd2"}, Panic: "Fatal exception"},
		{Message: "netconsole.log", Release: "3.10.0-1160.el7.x86_64", Hardware: "Example Inc. Model 1/Board, BIOS 1.0 01/02/2013", Taint: "FO",
			Modules: []string{"quux", "ext4", "mbcache", "jbd2"}, Panic: "Fatal exception"},
		{Message: "x86-oldest.log", Release: "2.6.32-754.el6.x86_64", Modules: []string{"quux", "ext4"}, Panic: "Fatal exception"},
	} {
		name := want.Message
		t.Run(name, func(t *testing.T) {
			o := read(t, "written/"+name)
			// The message of s390 does not tell the address.
			if kind := o.Kind; kind != NullDereference {
				t.Errorf("kind %s; want %s", kind, NullDereference)
			}
			if title := Title(NullDereference, o.Frames); title != "NULL pointer dereference in quux_read [quux]" {
				t.Errorf("title %q", title)
			}
			if names := Significant(o.Kind, o.Frames); !slices.Equal(names, []string{"quux_read@quux", "quux_ioctl@quux"}) {
				t.Errorf("significant %q; want quux_read and quux_ioctl", names)
			}
			if o.PC == nil || o.PC.Symbol != "quux_read" || o.PC.Module != "quux" || o.PC.Size == 0 {
				t.Errorf("PC %+v; want quux_read of quux", o.PC)
			}
			if o.PID != 1234 || o.Comm != "bash" || o.Release != want.Release || o.Hardware != want.Hardware || o.Taint != want.Taint ||
				!slices.Equal(o.Modules, want.Modules) || o.Panic != want.Panic {
				t.Errorf("got %+v\nwant PID 1234, bash, %+v", o, want)
			}
			if cpu := 1; o.CPU != cpu && name != "ppc64le.log" && name != "x86-oldest.log" {
				t.Errorf("CPU %d; want %d", o.CPU, cpu)
			}
			if stamp := 42100 * time.Millisecond; name != "x86-oldest.log" && (o.Time < stamp || o.Time > stamp+time.Millisecond) {
				t.Errorf("time %v; want %v", o.Time, stamp)
			}
		})
	}
}

// Lockups and stalls: what hangs counts, not what noticed it.
func TestHangs(t *testing.T) {
	for _, want := range []struct {
		name, title string
		kind        Kind
		cpu, pid    int
		comm        string
		significant []string
	}{
		{"hardlockup.log", "hard lockup in quux_poll [quux]", HardLockup, 2, 777, "my worker 1", []string{"quux_poll@quux", "quux_drain@quux", "quux_release@quux"}},
		{"rcustall.log", "RCU stall in quux_wait_ready", RCUStall, 1, 412, "cat", []string{"quux_wait_ready", "quux_read_block", "quux_read"}},
		{"rcuself.log", "RCU stall in quux_wait_ready", RCUStall, 0, 412, "cat", []string{"quux_wait_ready", "quux_read_block", "quux_read"}},
	} {
		o := read(t, "written/"+want.name)
		if o.Kind != want.kind || o.Title() != want.title || !slices.Equal(Significant(o.Kind, o.Frames), want.significant) {
			t.Errorf("%s: %s, %q, %q; want %+v", want.name, o.Kind, o.Title(), Significant(o.Kind, o.Frames), want)
		}
		if o.CPU != want.cpu || o.PID != want.pid || o.Comm != want.comm {
			t.Errorf("%s: CPU %d, PID %d, %q; want %+v", want.name, o.CPU, o.PID, o.Comm, want)
		}
	}
}

// A report of a checker, with lines of another CPU between, and the stacks of other tasks after it; and an error of the hardware.
func TestReports(t *testing.T) {
	o := read(t, "written/kasan.log")
	if o.Kind != KASAN || o.Title() != "KASAN: slab-use-after-free in quux_poll" || o.Panic != "KASAN: panic_on_warn set ..." || o.PID != 5001 ||
		!slices.Equal(Significant(o.Kind, o.Frames), []string{"quux_poll", "vfs_poll", "do_sys_poll"}) {
		t.Errorf("kasan.log: %q, %q, %+v", o.Title(), Significant(o.Kind, o.Frames), o)
	}
	// A call to nowhere: the function that made it is named only by the first line of the stack.
	o = read(t, "written/arm-nowhere.log")
	if o.Title() != "NULL pointer dereference in quux_ioctl [quux]" || !slices.Equal(Significant(o.Kind, o.Frames), []string{"quux_ioctl@quux", "quux_entry@quux"}) {
		t.Errorf("arm-nowhere.log: %q, %q, %+v", o.Title(), Significant(o.Kind, o.Frames), o)
	}
	o = read(t, "written/mce.log")
	if o.Kind != MachineCheck || o.Title() != "hardware error" || o.CPU != 5 || o.Panic != "Fatal machine check" ||
		!strings.HasPrefix(o.Message, "mce: [Hardware Error]: CPU 5: Machine Check Exception: ") {
		t.Errorf("mce.log: %q, %+v", o.Title(), o)
	}
}

// trace is a stack with one function.
func trace(function string) string {
	return "CPU: 0 PID: 77 Comm: sh Not tainted 6.1.0 #1\nRIP: 0010:" + function + "+0x1/0x10\nCall Trace:\n <TASK>\n caller_of_" + function + "+0x2/0x20\n </TASK>\n"
}

const endOfTrace = "---[ end trace 0000000000000000 ]---\n"

// Of several messages the one counts that led to the panic.
func TestWhichCrash(t *testing.T) {
	const (
		warning  = "------------[ cut here ]------------\nWARNING: CPU: 0 PID: 77 at kernel/quux.c:1 warned+0x1/0x10\n"
		null     = "BUG: kernel NULL pointer dereference, address: 0000000000000008\nOops: 0000 [#1] SMP\n"
		page     = "BUG: unable to handle page fault for address: ffffa00000000000\nOops: 0000 [#2] SMP\n"
		soft     = "watchdog: BUG: soft lockup - CPU#3 stuck for 26s! [loop:99]\n"
		panicked = "Kernel panic - not syncing: "
	)
	for _, test := range []struct{ name, log, kind, title string }{
		{"warning, then oops", warning + trace("warned") + endOfTrace + null + trace("oopsed"), "null-dereference", "oopsed"},
		{"warning, then panic_on_warn", warning + trace("warned") + panicked + "kernel: panic_on_warn set ...\n" + trace("panic"), "warning", "warned"},
		{"two warnings, then panic_on_warn", warning + trace("first") + endOfTrace + warning + trace("warned") + panicked + "panic_on_warn set ...\n", "warning", "warned"},
		{"survived oops, then a fatal one", null + trace("survived") + endOfTrace + page + trace("fatal") + endOfTrace + panicked + "Fatal exception\n", "page-fault", "fatal"},
		{"oops during an oops", null + trace("first") + page + trace("second") + endOfTrace + panicked + "Fatal exception in interrupt\n", "null-dereference", "first"},
		{"two oopses, no panic", null + trace("first") + endOfTrace + page + trace("second") + endOfTrace, "null-dereference", "first"},
		{"survived oops, then sysrq", null + trace("survived") + endOfTrace + "sysrq: Trigger a crash\n" + panicked + "sysrq triggered crash\n" + trace("panic"), "sysrq", ""},
		{"lockups that were survived, then the fatal one", soft + trace("first") + soft + trace("last") + panicked + "softlockup: hung tasks\n" + trace("panic"), "soft-lockup", "last"},
		{"a lockup long ago, then a panic of another kind", soft + trace("first") + panicked + "VFS: Unable to mount root fs on unknown-block(0,0)\n" + trace("mount_root_generic"), "panic", "mount_root_generic"},
		{"oops of init", null + trace("oopsed") + endOfTrace + panicked + "Attempted to kill init! exitcode=0x00000009\n", "init-killed", ""},
		{"oops of another, then init is killed", strings.ReplaceAll(null+trace("oopsed"), "PID: 77", "PID: 1") + endOfTrace + panicked + "Attempted to kill init! exitcode=0x00000009\n", "null-dereference", "oopsed"},
		{"the next kernel's log", null + trace("oopsed") + "Linux version 6.1.0\n" + page + trace("later") + panicked + "Fatal exception\n", "null-dereference", "oopsed"},
		{"the last kernel's log", warning + trace("warned") + "Linux version 6.1.0\n" + page + trace("later") + panicked + "Fatal exception\n", "page-fault", "later"},
		{"warnings, no panic", warning + trace("warned") + endOfTrace + soft + trace("locked"), "warning", "warned"},
		{"a panic alone", panicked + "quux is not well\n" + trace("panic"), "panic", "caller_of_panic"},
		{"stack protector", panicked + "stack-protector: Kernel stack is corrupted in: smashed+0x7ea/0x7f0\n", "stack-corruption", "smashed"},
		{"old sysrq", "SysRq : Trigger a crash\n" + null + trace("sysrq_handle_crash"), "sysrq", ""},
	} {
		o, err := Read(strings.NewReader(test.log))
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		title := o.Kind.Title()
		if test.title != "" {
			title += " in " + test.title
		}
		if fatal := !strings.Contains(test.name, "no panic"); o.Fatal != fatal {
			t.Errorf("%s: fatal %v; want %v", test.name, o.Fatal, fatal)
		}
		if string(o.Kind) != test.kind || o.Title() != title {
			t.Errorf("%s: %s, %q; want %s, %q", test.name, o.Kind, o.Title(), test.kind, title)
		}
	}
}

// The list of modules goes on in the next line where it is long.
func TestModules(t *testing.T) {
	long := ""
	for i := range 120 {
		long += " module_" + string(rune('a'+i%26)) + string(rune('a'+i/26))
	}
	for _, end := range []string{endOfTrace, "CR2: 0000000000000008\n", ""} {
		o, err := Read(strings.NewReader("BUG: kernel NULL pointer dereference, address: 0000000000000008\nModules linked in:" + long + "\n last(OE) [last unloaded: gone]\n" + end + trace("oopsed")))
		if err != nil || len(o.Modules) != 121 || o.Modules[0] != "module_aa" || o.Modules[120] != "last" {
			t.Errorf("Read = %+v, %v; want 121 modules, the last of them last", o, err)
		}
	}
}
