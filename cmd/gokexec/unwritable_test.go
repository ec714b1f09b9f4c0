package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/internal/kexectest"
)

// A /run that is full or read-only: each event says that it can't be marked, and the
// header is repaired nevertheless.
func TestHotplugUnwritable(t *testing.T) {
	for _, tt := range []struct{ name, mount string }{
		{"read-only", `mount --bind "$1" "$1" && mount -o remount,bind,ro "$1"`},
		{"no inodes", `cp "$1/crash.json" "$2" && mount -t tmpfs -o size=16k,nr_inodes=2 none "$1" && cp "$2" "$1/crash.json"`},
		{"no space", `cp "$1/crash.json" "$2" && mount -t tmpfs -o size=4k none "$1" && cp "$2" "$1/crash.json"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			b.load()
			b.kernel.AddMemory(kexectest.DIMM())
			run := filepath.Join(b.kernel.Dir, "run/gokexec")
			if err := os.Remove(filepath.Join(run, "reload.lock")); err != nil {
				t.Fatal(err)
			}
			// The rule's process, in a mount namespace of its own.
			c := exec.Command("sh", "-c", tt.mount+` || exit 77; shift 2; exec "$@"`, "sh", run, filepath.Join(b.dir, "note"), os.Args[0], "hotplug")
			c.Env = append(os.Environ(), stormVar+"="+b.kernel.Dir)
			c.SysProcAttr = namespaces(unix.CLONE_NEWNS)
			out, err := c.CombinedOutput()
			if c.ProcessState == nil || c.ProcessState.ExitCode() == 77 {
				t.Skipf("no mount namespaces here: %v: %s", err, out)
			}
			said := string(out)
			if err != nil || !strings.Contains(said, "reloading the crash kernel: stale") {
				t.Errorf("hotplug: %v: %s; want a reload", err, said)
			}
			// A mark needs an inode, and no space.
			if marked := !strings.Contains(said, "an event can't be marked"); marked != (tt.name == "no space") {
				t.Errorf("hotplug says %q; whether the event could be marked: %v", said, marked)
			}
			if !strings.Contains(said, "not noted") {
				t.Errorf("hotplug says %q; want that the load is not noted", said)
			}
			b.want(exitOK, "elfcorehdr:    accurate", "", "status")
			if loads := loadsOf(t, b.kernel.Dir); loads != 1 {
				t.Errorf("%d loads; want 1", loads)
			}
		})
	}
}

// Notes of another version of gokexec are not acted upon, and that is said.
func TestHotplugOtherVersion(t *testing.T) {
	b := newBench(t)
	b.load()
	path := filepath.Join(b.kernel.Dir, "run/gokexec/crash.json")
	note, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b.kernel.AddMemory(kexectest.DIMM())
	for _, torn := range []string{"", "{", string(note[:len(note)/2]), strings.Replace(string(note), `"version": 2`, `"version": 3`, 1)} {
		write(torn)
		calls := b.kernel.Calls
		b.want(exitStale, "", "nothing can be reloaded: no note of an earlier load", "hotplug")
		if b.kernel.Calls != calls {
			t.Errorf("with the note %q a load was made", torn)
		}
		b.want(exitStale, "stale", "", "status")
	}
	// What a later version adds is left alone.
	write(strings.Replace(string(note), `"version": 2`, `"version": 2, "of_tomorrow": {"x": [1]}`, 1))
	b.want(exitOK, "", "reloading", "hotplug")
	b.want(exitOK, "", "", "status")
}
