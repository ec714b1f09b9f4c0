package main

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/binary"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/internal/dumptest"
	"github.com/gokexec/gokexec/internal/imagetest"
	"github.com/gokexec/gokexec/internal/kexectest"
	"github.com/gokexec/gokexec/pkg/stack"
	"github.com/gokexec/gokexec/pkg/storage"
)

// bench is a fake machine with a kernel and an initrd to load.
type bench struct {
	t              *testing.T
	kernel         *kexectest.Kernel
	dir            string
	vmlinuz        string
	initrd         string
	kmsg           string
	drill          drillMachine
	remote         string
	volume         stack.Row // of the map vg-root
	stdin          io.Reader
	stdout, stderr bytes.Buffer
}

func newBench(t *testing.T) *bench {
	b := &bench{t: t, kernel: kexectest.NewKernel(kexectest.NewMachine(t)), dir: t.TempDir()}
	z := imagetest.GoodBzImage()
	z.CmdlineSize, z.InitSize, z.KernelAlignment, z.PrefAddress = 2047, 40<<20, 2<<20, 16<<20
	b.vmlinuz = b.file("vmlinuz", z.Bytes())
	b.initrd = b.file("initrd", cpioOf(t, map[string]int{"init": 6}))
	b.kmsg = b.file("kmsg", nil)
	b.volume = stack.Row{Length: 2048, Type: "cache", Args: "254:0 254:0 254:0 128 0 smq 0"}
	return b
}

func (b *bench) file(name string, data []byte) string {
	path := filepath.Join(b.dir, name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		b.t.Fatal(err)
	}
	return path
}

func (b *bench) run(argv ...string) int {
	b.stdout.Reset()
	b.stderr.Reset()
	e := &env{stdin: b.stdin, stdout: &b.stdout, stderr: &b.stderr, sysroot: b.kernel.Dir, stateDir: filepath.Join(b.kernel.Dir, "run/gokexec"), kernel: b.kernel, kmsg: b.kmsg, absent: 50 * time.Millisecond,
		libDir: filepath.Join(b.kernel.Dir, "var/lib/gokexec"), drill: b.drill, remote: b.remote,
		maps: func() (storage.Maps, error) { return oneMap{"vg-root", b.volume}, nil }}
	return run(context.Background(), e, argv)
}

// want runs a command and checks its exit code and words.
func (b *bench) want(code int, stdout, stderr string, argv ...string) {
	b.t.Helper()
	if got := b.run(argv...); got != code || !strings.Contains(b.stdout.String(), stdout) || !strings.Contains(b.stderr.String(), stderr) {
		b.t.Errorf("gokexec %s = %d\nstdout: %s\nstderr: %s\nwant %d, %q, %q", strings.Join(argv, " "), got, &b.stdout, &b.stderr, code, stdout, stderr)
	}
	for _, line := range strings.Split(strings.TrimSpace(b.stderr.String()), "\n") {
		if line != "" && !strings.HasPrefix(line, "gokexec: ") && !strings.HasPrefix(line, "hint: ") && len(argv) > 0 {
			b.t.Errorf("gokexec %s: line %q on stderr; want gokexec: or hint:", strings.Join(argv, " "), line)
		}
	}
}

func TestLoadStatusUnload(t *testing.T) {
	b := newBench(t)
	b.want(exitNotLoaded, "crash kernel:  not loaded", "", "status")
	b.want(exitNotLoaded, "", "no crash kernel is loaded", "unload", "--crash")
	b.want(exitOK, "crash kernel loaded: "+b.vmlinuz, "", "load", "--crash", b.vmlinuz, "--initrd", b.initrd, "--append", "console=ttyS0")
	b.want(exitOK, "last loaded by gokexec: "+b.vmlinuz, "", "status")
	if got := b.kernel.Crash.Cmdline; !strings.HasPrefix(got, "console=ttyS0 nr_cpus=1") {
		t.Errorf("loaded with %q", got)
	}
	b.want(exitOK, "crash kernel unloaded", "", "unload", "--crash")
	b.want(exitNotLoaded, "", "", "status")

	b.want(exitNotLoaded, "", "no kernel is loaded to reboot into", "exec")
	b.want(exitOK, "boot kernel loaded", "", "load", "--boot", b.vmlinuz, "--reuse-cmdline")
	if got := b.kernel.Boot.Cmdline; got != "root=/dev/vda1 ro quiet crashkernel=128M" {
		t.Errorf("reused command line = %q", got)
	}
	b.want(exitOK, "", "", "exec")
	if !b.kernel.Rebooted {
		t.Error("exec did not reboot")
	}
}

func TestLoadDryRun(t *testing.T) {
	b := newBench(t)
	b.want(exitOK, "acpi_no_memhotplug", "", "load", "--crash", "-n", "--reuse-cmdline", b.vmlinuz)
	b.want(exitOK, "", "", "load", "--crash", "--dry-run", "--json", b.vmlinuz, "--sysroot", b.kernel.Dir, "--arch", "x86_64")
	var report struct {
		Cmdline string
		Checks  []struct{ Check, Level string }
		Loaded  bool
		Kernel  struct{ Path string }
	}
	if err := json.Unmarshal(b.stdout.Bytes(), &report); err != nil {
		t.Fatalf("--json: %v\n%s", err, &b.stdout)
	}
	if report.Loaded || len(report.Checks) < 8 || report.Kernel.Path != b.vmlinuz {
		t.Errorf("report = %+v", report)
	}
	if b.kernel.Calls != 0 {
		t.Errorf("a dry run made %d system calls; want none", b.kernel.Calls)
	}
	b.kernel.Write("proc/sys/kernel/kexec_load_disabled", "1\n")
	b.want(exitFailure, "failure  kexec_load_disabled", "kexec_load_disabled is 1", "load", "--crash", "-n", b.vmlinuz)
}

// A quote that is never closed in the running kernel's command line takes in what was
// after it there, and nothing that gokexec appends to it.
func TestLoadReusesOpenQuote(t *testing.T) {
	b := newBench(t)
	openQuote(b)
	b.want(exitOK, "crash kernel loaded", "", "load", "--crash", "--reuse-cmdline", "--append", "console=ttyS1", b.vmlinuz)
	got := b.kernel.Crash.Cmdline
	if !strings.HasPrefix(got, "root=UUID=1-2 console=ttyS1 nr_cpus=1 ") || !strings.HasSuffix(got, ` panic=10 dyndbg="file drivers/usb/* +p console=ttyS0`) {
		t.Errorf("loaded with %q", got)
	}
	for _, option := range []string{"--cmdline", "--append"} {
		b.want(exitFailure, "", `the quote in "dyndbg=\"file x" is not closed`, "load", "--crash", option, `dyndbg="file x`, b.vmlinuz)
	}
}

// Under systemd a plain reboot becomes a kexec once a kernel is loaded for one.
func TestLoadBootTellsOfReboot(t *testing.T) {
	const told = "a plain reboot now starts it"
	b := newBench(t)
	b.want(exitOK, "boot kernel loaded", "", "load", "--boot", b.vmlinuz)
	if strings.Contains(b.stdout.String(), told) {
		t.Errorf("without systemd: %s", &b.stdout)
	}
	b.kernel.Write("run/systemd/system/x", "")
	b.want(exitOK, told, "", "load", "--boot", b.vmlinuz)
	b.want(exitOK, "crash kernel loaded", "", "load", "--crash", b.vmlinuz)
	if strings.Contains(b.stdout.String(), told) {
		t.Errorf("of a crash kernel: %s", &b.stdout)
	}
}

// Whatever is wrong is found before the system call, so what is loaded stays.
func TestLoadRefusals(t *testing.T) {
	b := newBench(t)
	b.want(exitOK, "", "", "load", "--crash", b.vmlinuz, "--initrd", b.initrd)
	calls := b.kernel.Calls
	arm := b.file("arm64", imagetest.GoodARM64().Bytes())
	empty := b.file("empty", nil)
	fifo := filepath.Join(b.dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	large := filepath.Join(b.dir, "large")
	if err := os.WriteFile(large, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(large, 128<<20); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		code   int
		stderr string
		argv   []string
	}{
		{exitFailure, "no such file", []string{"--crash", filepath.Join(b.dir, "none")}},
		{exitFailure, "file is empty", []string{"--crash", empty}},
		{exitFailure, "it is a FIFO", []string{"--crash", fifo}},
		{exitFailure, "it is a directory", []string{"--crash", b.dir}},
		{exitFailure, "is for aarch64", []string{"--crash", arm}},
		{exitFailure, "do not fit", []string{"--crash", b.vmlinuz, "--initrd", large}},
		{exitFailure, "too long", []string{"--crash", b.vmlinuz, "--cmdline", strings.Repeat("x", 2040)}},
		{exitFailure, "NUL", []string{"--crash", b.vmlinuz, "--cmdline", "a\x00b"}},
		{exitUsage, "--crash and --boot", []string{b.vmlinuz}},
		{exitUsage, "--crash and --boot", []string{"--crash", "--boot", b.vmlinuz}},
		{exitUsage, "exclude each other", []string{"--crash", b.vmlinuz, "--cmdline", "a", "--reuse-cmdline"}},
		{exitUsage, "--dry-run", []string{"--crash", b.vmlinuz, "--sysroot", "/"}},
		{exitUsage, "unknown flag", []string{"--crash", b.vmlinuz, "--bogus"}},
		{exitUsage, "one KERNEL", []string{"--crash"}},
	} {
		b.want(tt.code, "", tt.stderr, append([]string{"load"}, tt.argv...)...)
		if !strings.Contains(b.stderr.String(), "hint: ") && tt.stderr != "NUL" {
			t.Errorf("load %v gives no hint:\n%s", tt.argv, &b.stderr)
		}
	}
	if b.kernel.Calls != calls || b.kernel.Crash == nil {
		t.Errorf("refused loads made %d system calls; want none", b.kernel.Calls-calls)
	}
}

func TestErrnoIsExplained(t *testing.T) {
	b := newBench(t)
	b.kernel.FailEarly = []unix.Errno{unix.EKEYREJECTED}
	b.want(exitFailure, "", "hint: the image's signature", "load", "--crash", b.vmlinuz)
	b.kernel.Write("sys/kernel/security/lockdown", "none [integrity] confidentiality\n")
	b.kernel.FailEarly = []unix.Errno{unix.EPERM}
	b.want(exitFailure, "", "lockdown is integrity", "load", "--crash", b.vmlinuz)
	b.kernel.NoFileLoad = true
	b.kernel.Remove("boot")
	b.want(exitFailure, "", "hint: this kernel has no kexec_file_load", "load", "--crash", "--wait", "0s", b.vmlinuz)
}

func TestCheck(t *testing.T) {
	b := newBench(t)
	b.want(exitOK, "ok       crash memory: 128 MiB", "", "check", b.vmlinuz, "--initrd", b.initrd)
	b.want(exitOK, `"ok": true`, "", "check", "--json")
	b.kernel.Write("proc/iomem", strings.Replace(kexectest.Iomem, "Crash kernel", "Other", 1))
	b.want(exitFailure, "failure  crash memory", "", "check")
	b.want(exitOK, "", "", "check", "--boot")
	b.want(exitUsage, "", "one KERNEL", "check", "a", "b")
}

func TestUsage(t *testing.T) {
	b := newBench(t)
	b.want(exitUsage, "", "usage: gokexec COMMAND")
	b.want(exitUsage, "", `no command "bogus"`, "bogus")
	b.want(exitOK, "gokexec ", "", "version")
	b.want(exitOK, "initramfs", "", "help")
	b.want(exitUsage, "", `no command "bogus"`, "help", "bogus")
	for _, c := range commands() {
		b.want(exitOK, "usage: gokexec "+c.name, "", c.name, "--help")
		b.want(exitOK, "exit codes:", "", "help", c.name)
		b.want(exitUsage, "", "--no-such-option", c.name, "--no-such-option")
	}
}

func TestManPages(t *testing.T) {
	b := newBench(t)
	b.want(exitOK, "", "", "help", "--man", b.dir)
	for _, c := range commands() {
		page, err := os.ReadFile(filepath.Join(b.dir, "gokexec-"+c.name+".8"))
		if err != nil {
			t.Error(err)
			continue
		}
		for _, part := range []string{".SH NAME", ".SH SYNOPSIS", ".SH DESCRIPTION", ".SH OPTIONS", ".SH EXIT STATUS"} {
			if !strings.Contains(string(page), part+"\n") {
				t.Errorf("page of %s lacks %s", c.name, part)
			}
		}
	}
}

func TestDmesgOfGarbage(t *testing.T) {
	b := newBench(t)
	garbage := b.file("garbage", bytes.Repeat([]byte("no dump "), 1000))
	b.want(exitFailure, "", garbage, "dmesg", garbage)
	b.want(exitFailure, "", "no such file", "dmesg", filepath.Join(b.dir, "none"))
	b.want(exitFailure, "", "no such file", "load", "--crash", b.vmlinuz, "--initrd", filepath.Join(b.dir, "none"))
	if strings.Contains(b.stderr.String(), "vmlinuz-VERSION") {
		t.Errorf("of an initrd that is not there: %s", &b.stderr)
	}
	b.want(exitFailure, "", "neither a file nor a block device", "dmesg", b.dir)
	b.want(exitUsage, "", "give the FILE", "dmesg")
}

// The hint is for the reason that a dump has no log, which is hardly ever that it is
// no dump.
func TestDmesgHints(t *testing.T) {
	core := func(notes ...dumptest.Note) []byte {
		c := dumptest.Core{Class: elf.ELFCLASS64, Order: binary.LittleEndian, Machine: elf.EM_X86_64, Notes: notes, Loads: []dumptest.Load{{Phys: 0x100000, Data: make([]byte, 4096)}}}
		return c.Bytes()
	}
	qemu := dumptest.Note{Name: "QEMU", Desc: make([]byte, 440)}
	status := dumptest.Note{Name: "CORE", Type: 1, Desc: make([]byte, 144)}
	info := func(text string) dumptest.Note { return dumptest.Note{Name: "VMCOREINFO", Desc: []byte(text)} }
	const wanted = "a dump is wanted"
	for _, tt := range []struct {
		name, want string
		dump       []byte
	}{
		{"no dump", "hint: " + wanted, bytes.Repeat([]byte("no dump "), 1000)},
		{"QEMU's", "hint: this is a dump by QEMU, which knows nothing of the guest's kernel unless that tells it: start the guest with -device vmcoreinfo", core(status, qemu)},
		{"QEMU's, with an empty note", "start the guest with -device vmcoreinfo", core(info(""), status, qemu)},
		{"no note", "hint: the program that wrote the dump left the kernel's note out", core(status)},
		{"cut off", "hint: the note may have been in what is missing", core(status)[:300]},
		{"no log in the note", "hint: the kernel's note does not say where the log is", core(info("OSRELEASE=6.12\nPAGESIZE=4096\n"))},
		{"log left out", "hint: the dump does not contain the memory that holds the log", core(info("OSRELEASE=2.6\nPAGESIZE=4096\nSYMBOL(log_buf)=ffff888000200000\nSYMBOL(log_end)=ffff888000200000\nSYMBOL(log_buf_len)=ffff888000200000\nSYMBOL(logged_chars)=ffff888000200000\n"))},
	} {
		b := newBench(t)
		b.want(exitFailure, "", tt.want, "dmesg", b.file("dump", tt.dump))
		if strings.Contains(b.stderr.String(), wanted) != strings.Contains(tt.want, wanted) {
			t.Errorf("%s: %s", tt.name, &b.stderr)
		}
	}
}

func TestCaptureCommandErrors(t *testing.T) {
	b := newBench(t)
	b.want(exitUsage, "", "no target", "capture")
	b.want(exitUsage, "", "bogus:x", "capture", "bogus:x")
	b.want(exitFailure, "", "hint: only a kernel started by a panic", "capture", b.dir)
	garbage := b.file("garbage", bytes.Repeat([]byte("no dump "), 1000))
	b.want(exitFailure, "", "garbage", "capture", "--source", garbage, b.dir)
}

// An initramfs that can't be built leaves the old file whole.
func TestInitramfsKeepsOldFile(t *testing.T) {
	b := newBench(t)
	out := b.file("capture.img", []byte("old"))
	b.want(exitUsage, "", "-o FILE", "initramfs", "raw:/dev/nvme0n1")
	b.want(exitFailure, "", "only its own machine knows", "initramfs", "-o", out, "--other-machine", "dir:/var/crash")
	b.want(exitFailure, "", "no modules", "initramfs", "-o", out, "--sysroot", b.dir, "-k", "9.9", "--set", "nvme", "raw:/dev/nvme0n1")
	script := b.file("script", []byte("#!/bin/sh\n"))
	b.want(exitFailure, "", "script", "initramfs", "-o", out, "--sysroot", b.dir, "-k", "9.9", "--other-machine", "--init", script, "raw:/dev/nvme0n1")
	if got, err := os.ReadFile(out); err != nil || string(got) != "old" {
		t.Errorf("the file holds %q, %v; want what was there", got, err)
	}
	if left, err := filepath.Glob(filepath.Join(b.dir, ".*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
