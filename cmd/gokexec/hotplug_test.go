package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/internal/kexectest"
	"github.com/gokexec/gokexec/pkg/statedir"
)

func (b *bench) load() {
	b.t.Helper()
	b.want(exitOK, "", "", "load", "--crash", b.vmlinuz, "--initrd", b.initrd)
}

func TestStatusTruth(t *testing.T) {
	b := newBench(t)
	b.load()
	b.want(exitOK, "elfcorehdr:    accurate\n", "", "status")
	b.kernel.AddMemory(kexectest.DIMM())
	b.want(exitStale, "missing memory: [0x100000000-0x140000000), 1048576 KiB", "", "status")
	b.want(exitStale, `"accuracy": "stale"`, "", "status", "--json")
	var report struct {
		Header struct {
			Wrong []struct {
				Kind       string
				Start, End uint64
			} `json:"differences"`
		} `json:"elfcorehdr"`
		Loaded bool `json:"crash_loaded"`
	}
	if err := json.Unmarshal(b.stdout.Bytes(), &report); err != nil {
		t.Fatal(err)
	}
	if w := report.Header.Wrong; len(w) != 1 || w[0].Kind != "missing memory" || w[0].Start != 4<<30 || w[0].End != 5<<30 || !report.Loaded {
		t.Errorf("status --json = %+v; want the missing DIMM", report)
	}
	// Of a collected tree, the note is the tree's.
	b.want(exitStale, "last loaded by gokexec", "", "status", "--sysroot", b.kernel.Dir)
	b.kernel.HideKcore()
	b.want(exitUnknown, "elfcorehdr:    unknown: the loaded header can't be read", "", "status")
	b.want(exitOK, "", "", "unload", "--crash")
	b.want(exitNotLoaded, "crash kernel:  not loaded", "", "status")
	b.kernel.Remove("sys/kernel/kexec_crash_loaded")
	b.want(exitUnknown, "unknown", "", "status")
}

func TestReloadCommand(t *testing.T) { synctest.Test(t, testReloadCommand) }

func testReloadCommand(t *testing.T) {
	b := newBench(t)
	b.want(exitNotLoaded, "", "nothing can be reloaded", "reload")
	b.load()
	b.kernel.AddMemory(kexectest.DIMM())
	b.want(exitOK, "crash kernel reloaded: "+b.vmlinuz+", by kexec_load", "", "reload")
	b.want(exitOK, "", "", "status")
	b.want(exitOK, ", by kexec_file_load", "", "reload", "--reload-method", "file")
	b.want(exitUsage, "", "none of auto, file, segments", "reload", "--reload-method", "x")
	b.want(exitUsage, "", "unexpected argument", "reload", "x")
	b.kernel.DuringLoad = func() {
		b.kernel.Write("proc/sys/kernel/kexec_load_limit_panic", "5\n") // so that it is not tried again
		b.kernel.RemoveMemory(kexectest.DIMM())
	}
	b.want(exitStale, "", "does not match the machine: stale: surplus memory", "reload")
}

func TestHotplug(t *testing.T) { synctest.Test(t, testHotplug) }

func testHotplug(t *testing.T) {
	b := newBench(t)
	b.want(exitOK, "", "", "hotplug")
	b.load()
	calls := b.kernel.Calls
	b.want(exitOK, "", "", "hotplug")
	if b.kernel.Calls != calls {
		t.Error("hotplug loaded although nothing had changed")
	}
	b.kernel.AddMemory(kexectest.DIMM())
	b.want(exitOK, "", "gokexec: reloading the crash kernel: stale: missing memory", "hotplug")
	b.want(exitOK, "", "", "status")

	b.kernel.RemoveMemory(kexectest.DIMM())
	b.kernel.Write("proc/sys/kernel/kexec_load_disabled", "1\n")
	calls = b.kernel.Calls
	b.want(exitStale, "", "hint: it can't be taken back before the next boot", "hotplug")
	if b.kernel.Calls != calls {
		t.Error("hotplug made a system call that had to fail")
	}
	b.want(exitStale, "could not repair it", "", "status")
	if log, err := os.ReadFile(b.kmsg); err != nil || !strings.Contains(string(log), "<3>gokexec: the crash kernel does not fit the machine: stale: surplus memory") {
		t.Errorf("the kernel's log holds %q, %v; want the failure", log, err)
	}
	b.kernel.Write("proc/sys/kernel/kexec_load_disabled", "0\n")
	b.want(exitOK, "", "", "hotplug")
	b.want(exitOK, "", "", "status")
	if strings.Contains(b.stdout.String(), "hotplug:") {
		t.Errorf("status still reports a problem: %s", &b.stdout)
	}
	b.want(exitUsage, "", "--reload-method has no effect", "hotplug", "--reload-command", "true", "--reload-method", "file")
}

func TestHotplugReloadCommand(t *testing.T) {
	b := newBench(t)
	b.load()
	b.kernel.AddMemory(kexectest.DIMM())
	b.want(exitStale, "", "exit status 3", "hotplug", "--reload-command", "exit 3")
	// A command that does not help is not run for ever; it knows of the lock.
	log := filepath.Join(b.dir, "log")
	b.want(exitStale, "", "after 3 reloads still", "hotplug", "--reload-command", `echo "$`+lockVar+`" >>`+log)
	if got, err := os.ReadFile(log); err != nil || string(got) != "held\nheld\nheld\n" {
		t.Errorf("the command wrote %q, %v; want held, three times", got, err)
	}
	// udev gives its programs no PATH.
	t.Setenv("PATH", "")
	// One that removes the DIMM repairs it.
	iomem := filepath.Join(b.kernel.Dir, "proc/iomem")
	b.want(exitOK, "", "", "hotplug", "--reload-command", "sed -i /^100000000/d "+iomem)
	b.want(exitOK, "", "", "status")
}

// An event is handed over once; while somebody is about to look it is covered.
func TestHotplugHandOver(t *testing.T) {
	b := newBench(t)
	b.load()
	b.kernel.AddMemory(kexectest.DIMM())
	calls := b.kernel.Calls
	log := filepath.Join(b.dir, "systemctl.log")
	script := "#!/bin/sh\necho \"$@\" >>" + log + "\n[ \"$3\" != refused ] || { echo no such unit >&2; exit 5; }\n"
	if err := os.WriteFile(filepath.Join(b.dir, "systemctl"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", b.dir+":"+os.Getenv("PATH"))
	b.want(exitOK, "", "", "hotplug", "--hand-over", "event@1.service")
	dir := filepath.Join(b.kernel.Dir, "run/gokexec")
	pending, err := os.OpenFile(filepath.Join(dir, "pending.lock"), os.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer pending.Close()
	if err := unix.Flock(int(pending.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		t.Fatalf("the pending lock is held after the unit was started: %v", err)
	}
	b.want(exitOK, "", "", "hotplug", "--hand-over", "event@2.service")
	if got, err := os.ReadFile(log); err != nil || string(got) != "--no-block start event@1.service\n" {
		t.Errorf("systemctl was called with %q, %v; want once, for the first event", got, err)
	}
	if b.kernel.Calls != calls || !statedir.Dir(dir).Marked() {
		t.Error("a load was made, or the event left no mark")
	}
	if err := unix.Flock(int(pending.Fd()), unix.LOCK_UN); err != nil {
		t.Fatal(err)
	}
	b.want(exitFailure, "", "a hotplug event is not handled: systemctl start refused: exit status 5: no such unit", "hotplug", "--hand-over", "refused")
	b.want(exitUsage, "", "takes no other options", "hotplug", "--hand-over", "x", "--daemon")
	b.want(exitOK, "", "reloading", "hotplug")
	b.want(exitOK, "", "", "status")
}

// Loads, unloads and reloads wait for each other.
func TestReloadLock(t *testing.T) { synctest.Test(t, testReloadLock) }

func testReloadLock(t *testing.T) {
	b := newBench(t)
	b.load()
	dir := statedir.Dir(filepath.Join(b.kernel.Dir, "run/gokexec"))
	lock, err := dir.LockReload(context.Background(), 0)
	if err != nil {
		t.Fatal(err)
	}
	calls := b.kernel.Calls
	for _, argv := range [][]string{{"load", "--crash", b.vmlinuz}, {"load", "--boot", b.vmlinuz}, {"unload", "--crash"}, {"reload"}} {
		b.want(exitFailure, "", "another gokexec is loading", append(argv, "--wait", "20ms")...)
	}
	if b.kernel.Calls != calls {
		t.Error("a system call was made without the lock")
	}
	b.want(exitOK, "would load", "", "load", "--crash", "-n", b.vmlinuz)
	b.want(exitOK, "", "", "status")
	t.Setenv(lockVar, "held")
	b.want(exitOK, "", "", "load", "--crash", b.vmlinuz, "--wait", "20ms")
	t.Setenv(lockVar, "")
	time.AfterFunc(50*time.Millisecond, func() { lock.Release() })
	b.want(exitOK, "", "", "reload")
}
