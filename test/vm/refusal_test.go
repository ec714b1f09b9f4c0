package vm

import (
	"os"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/imagetest"
	"github.com/gokexec/gokexec/internal/vmlab"
	"github.com/gokexec/gokexec/pkg/capture"
)

// refusal is a command that has to fail, with its words, and leave what is
// loaded as it is.
type refusal struct {
	name string
	argv []string
	code int
	says string // part of the first line
	hint string // part of the hint
}

func checkRefusals(t *testing.T, g *vmlab.Guest, loaded string, refusals []refusal) {
	t.Helper()
	for _, x := range refusals {
		r := g.Run(append([]string{gokexec}, x.argv...)...)
		lines := strings.Split(strings.TrimSpace(r.Stderr), "\n")
		var what, hint string
		for _, l := range lines {
			if h, ok := strings.CutPrefix(l, "hint: "); ok {
				hint = h
			} else if !strings.HasPrefix(l, "gokexec: warning:") {
				what = l
			}
		}
		if r.Code != x.code || !strings.Contains(what, x.says) || !strings.Contains(hint, x.hint) || !strings.HasPrefix(what, "gokexec: ") {
			t.Errorf("%s: exit code %d\n%s\nwant %d, %q and a hint with %q", x.name, r.Code, r.Stderr, x.code, x.says, x.hint)
		}
		if got := strings.TrimSpace(g.ReadFile("/sys/kernel/kexec_crash_loaded")); got != loaded {
			t.Fatalf("%s: kexec_crash_loaded is %s afterwards; want %s", x.name, got, loaded)
		}
	}
}

// Bad input costs nothing: on a machine with a crash kernel loaded, each ends
// in one line, a hint and a code, and the crash kernel stays.
func TestVMRefusals(t *testing.T) {
	vmlab.MatrixOf(t, func(t *testing.T, k *vmlab.Kernel) {
		kernel, err := os.ReadFile(k.Image)
		if err != nil {
			t.Fatal(err)
		}
		fixed := imagetest.GoodBzImage()
		fixed.Relocatable = false
		cfg := crashMachine(t, k)
		cfg.Files = append(cfg.Files,
			vmlab.File{Path: "/bad/empty"},
			vmlab.File{Path: "/bad/truncated", Data: kernel[:len(kernel)/2]},
			vmlab.File{Path: "/bad/header", Data: kernel[:600]},
			vmlab.File{Path: "/bad/arm64", Data: imagetest.GoodARM64().Bytes()},
			vmlab.File{Path: "/bad/script", Data: []byte("#!/bin/sh\nexit 0\n")},
			vmlab.File{Path: "/bad/fixed", Data: fixed.Bytes()},
		)
		g := vmlab.Boot(t, cfg)
		checkRefusals(t, g, "0", []refusal{
			{"unload with nothing loaded", []string{"unload", "--crash"}, 3, "no crash kernel is loaded", ""},
		})
		loadCrash(t, g)
		shell(g, "busybox truncate -s 134217728 /tmp/large; busybox mkfifo /tmp/fifo")
		load := func(args ...string) []string { return append([]string{"load", "--crash"}, args...) }
		checkRefusals(t, g, "1", []refusal{
			{"missing", load("/bad/none"), 1, "/bad/none: no such file", "check the path"},
			{"empty", load("/bad/empty"), 1, "/bad/empty: file is empty", "written completely"},
			{"truncated", load("/bad/truncated"), 1, "truncated", "cut short"},
			{"header only", load("/bad/header"), 1, "truncated", "cut short"},
			{"other architecture", load("/bad/arm64"), 1, "is for aarch64, this machine is x86_64", "built for x86_64"},
			{"no kernel", load("/bad/script"), 1, "not a Linux kernel image", "/boot/vmlinuz"},
			{"not relocatable", load("/bad/fixed"), 1, "not relocatable", "CONFIG_RELOCATABLE"},
			{"directory", load("/bad"), 1, "it is a directory", "regular files"},
			{"FIFO", load("/tmp/fifo"), 1, "it is a FIFO", "regular files"},
			{"device", load("/dev/null"), 1, "it is a device", "regular files"},
			{"missing initrd", load(guestKernel, "--initrd", "/none"), 1, "initrd /none", "check the path"},
			{"large initrd", load(guestKernel, "--initrd", "/tmp/large"), 1, "do not fit the crash memory of 128 MiB", "enlarge crashkernel="},
			{"long command line", load(guestKernel, "--cmdline", strings.Repeat("x", 2048)), 1, "too long", "shorten"},
			{"open quote", load(guestKernel, "--cmdline", `a="b`), 1, "not closed", ""},
			{"neither kind", []string{"load", guestKernel}, 2, "--crash and --boot", "help load"},
			{"unknown option", load(guestKernel, "--bogus"), 2, "bogus", "help load"},
			{"two kernels", load(guestKernel, guestKernel), 2, "one KERNEL", "help load"},
		})
		// What the kernel would refuse only after it had freed the old image.
		inShell := func(script string) []string { return []string{"busybox", "sh", "-c", script} }
		busy := g.Run(inShell("exec 9<>" + guestKernel + "; gokexec load --crash " + guestKernel)...)
		if busy.Code != 1 || !strings.Contains(busy.Stderr, "is open for writing") {
			t.Errorf("kernel open for writing: exit code %d, %s; want 1 and why", busy.Code, busy.Stderr)
		}
		nobody := g.Run(inShell("busybox su nobody -c 'gokexec load --crash " + guestKernel + "'")...)
		if nobody.Code != 1 || !strings.Contains(nobody.Stderr, "CAP_SYS_BOOT") || !strings.Contains(nobody.Stderr, "hint: run as root") {
			t.Errorf("as nobody: exit code %d, %s; want 1 and CAP_SYS_BOOT", nobody.Code, nobody.Stderr)
		}
		checkPolicies(t, g)
		// After all of it the crash kernel still works.
		g.Crash()
		g.WaitEnd()
		if d := openDump(t, g.VM.Disk(0)); d.result.Outcome != capture.Complete {
			t.Errorf("the dump after all refusals = %+v; want complete", d.result)
		}
	}, "bookworm-cloud", "backports-cloud")
}

// checkPolicies spends a load limit (6.3 and later) and then disables loading,
// which can't be undone.
func checkPolicies(t *testing.T, g *vmlab.Guest) {
	t.Helper()
	load := []string{"load", "--crash", guestKernel, "--initrd", guestInitrd, "--append", "console=ttyS0"}
	const limit = "/proc/sys/kernel/kexec_load_limit_panic"
	if found, err := g.VM.Glob(t.Context(), limit); err != nil {
		t.Fatal(err)
	} else if len(found) > 0 {
		g.WriteFile(limit, "1")
		if r := g.Run(append([]string{gokexec}, load...)...); r.Code != 0 || !strings.Contains(r.Stderr, "warning: kernel.kexec_load_limit_panic is 1") {
			t.Errorf("load with one left: exit code %d, %s; want success and a warning", r.Code, r.Stderr)
		}
		checkRefusals(t, g, "1", []refusal{
			{"limit spent", load, 1, "kexec_load_limit_panic is 0", "sysctl.d"},
			{"unload, limit spent", []string{"unload", "--crash"}, 1, "kexec_load_limit_panic is 0", "sysctl.d"},
		})
	}
	g.WriteFile("/proc/sys/kernel/kexec_load_disabled", "1")
	checkRefusals(t, g, "1", []refusal{
		{"disabled", load, 1, "kexec_load_disabled is 1", "next boot"},
		{"unload, disabled", []string{"unload", "--crash"}, 1, "kexec_load_disabled is 1", "next boot"},
	})
	if r := g.Run(gokexec, "check"); r.Code != 1 || !strings.Contains(r.Stdout, "failure  kexec_load_disabled") {
		t.Errorf("check: exit code %d\n%s; want 1 and the failure", r.Code, r.Stdout)
	}
}

// A machine that was booted without crashkernel=, and one that is locked down.
func TestVMMachinePolicies(t *testing.T) {
	vmlab.MatrixOf(t, func(t *testing.T, k *vmlab.Kernel) {
		load := []string{"load", "--crash", guestKernel}
		t.Run("without crashkernel", func(t *testing.T) {
			g := vmlab.Boot(t, vmlab.Config{Kernel: k, Files: userland(t, k)})
			checkRefusals(t, g, "0", []refusal{{"no crash memory", load, 1, "booted without crashkernel=", "add crashkernel="}})
		})
		t.Run("reservation failed", func(t *testing.T) {
			g := vmlab.Boot(t, vmlab.Config{Kernel: k, Files: userland(t, k), CrashKernel: "2G"})
			checkRefusals(t, g, "0", []refusal{{"no crash memory", load, 1, "although the kernel was booted with crashkernel=2G", "nokaslr"}})
		})
		t.Run("lockdown", func(t *testing.T) {
			g := vmlab.Boot(t, vmlab.Config{Kernel: k, Files: userland(t, k), CrashKernel: "128M", Cmdline: "lockdown=integrity"})
			// Debian's images carry no signature that a machine without its keys trusts.
			checkRefusals(t, g, "0", []refusal{
				{"unsigned kernel", load, 1, "kexec_file_load", "lockdown is integrity"},
				{"by kexec_load", append(load, "--method", "segments"), 1, "lockdown is integrity", "--method file"},
			})
		})
	}, "bookworm-cloud", "backports-cloud")
}
