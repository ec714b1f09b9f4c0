package main

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/internal/kexectest"
)

// badInitrds are what a reload must not take over a crash kernel that works.
func badInitrds(t *testing.T) map[string][]byte {
	good := cpioOf(t, map[string]int{"init": 1 << 20})
	return map[string][]byte{
		"overwritten":       []byte("truncated"),
		"cut":               good[:len(good)/2],
		"of another kernel": cpioOf(t, map[string]int{"init": 10, "lib/modules/6.1.0-9-amd64/kernel/nvme.ko": 10}),
	}
}

// A reload refuses an initrd that has changed for the worse, keeps what is loaded and says so; the
// next one, with a good initrd, is made.
func TestReloadRefusesChangedInitrd(t *testing.T) {
	for name, bad := range badInitrds(t) {
		for _, command := range [][]string{{"reload"}, {"hotplug"}} {
			t.Run(name+" by "+command[0], func(t *testing.T) {
				b := newBench(t)
				good, err := os.ReadFile(b.initrd)
				if err != nil {
					t.Fatal(err)
				}
				b.load()
				b.kernel.AddMemory(kexectest.DIMM())
				b.file("initrd", bad)
				if code := b.run(command...); code == exitOK || !strings.Contains(b.stderr.String(), b.initrd+" changed since the last load, and would make a crash kernel that saves no dump: ") ||
					!strings.Contains(b.stderr.String(), "what is loaded is kept") {
					t.Errorf("%s = %d, stderr %s; want that the changed initrd is refused", command[0], code, &b.stderr)
				}
				if c := b.kernel.Crash; c == nil || string(c.Initrd) != string(good) {
					t.Errorf("the kernel holds %+v; want what was loaded", c)
				}
				if command[0] == "hotplug" {
					b.want(exitStale, "changed since the last load", "", "status")
				}
				b.file("initrd", cpioOf(t, map[string]int{"init": 99}))
				b.want(exitOK, "", "", command...)
				if c := b.kernel.Crash; c == nil {
					t.Error("nothing is loaded after a reload with a good initrd")
				}
			})
		}
	}
}

// What was loaded as it is, by --force or by kexec(8), is loaded again as it is.
func TestReloadOfForcedInitrd(t *testing.T) {
	b := newBench(t)
	b.initrd = b.file("initrd", []byte("no initramfs"))
	b.want(exitFailure, "", "not an initramfs", "load", "--crash", b.vmlinuz, "--initrd", b.initrd)
	b.want(exitOK, "", "not an initramfs", "load", "--crash", b.vmlinuz, "--initrd", b.initrd, "--force")
	b.kernel.AddMemory(kexectest.DIMM())
	b.want(exitOK, "crash kernel reloaded", "", "reload")

	b = newBench(t)
	b.initrd = b.file("initrd", []byte("no initramfs"))
	if code, _ := b.kexec("-p", "--initrd="+b.initrd, b.vmlinuz); code != 0 || !strings.Contains(b.stderr.String(), "warning: ") || !strings.Contains(b.stderr.String(), "not an initramfs") {
		t.Fatalf("kexec -p = %d: %s; want it loaded, with a warning", code, &b.stderr)
	}
	b.kernel.AddMemory(kexectest.DIMM())
	b.want(exitOK, "crash kernel reloaded", "", "reload")
}

// The last image is not restored with an initrd that was overwritten since.
func TestRestoreRefusesOverwrittenInitrd(t *testing.T) {
	b := newBench(t)
	b.load()
	b.file("initrd", []byte("truncated"))
	other := b.file("other", cpioOf(t, map[string]int{"init": 5}))
	b.kernel.FailLate = []unix.Errno{unix.ENOMEM, 0}
	b.want(exitFailure, "", "changed since the last load", "load", "--crash", b.vmlinuz, "--initrd", other)
	if b.kernel.Crash != nil {
		t.Errorf("the kernel holds %+v; want nothing", b.kernel.Crash)
	}
}
