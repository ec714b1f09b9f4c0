package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// sysrootCommands are those that read a file of a tree.
func sysrootCommands(b *bench, file string) [][]string {
	switch {
	case strings.HasPrefix(file, "lib/"):
		return [][]string{{"initramfs", "-o", filepath.Join(b.dir, "out"), "-k", "9.9", "--set", "nvme", "raw:/dev/nvme0n1"}}
	case strings.HasPrefix(file, "run/"):
		return [][]string{{"status"}}
	case file == "proc/iomem":
		return [][]string{{"status", "--json"}, {"check"}, {"memmap"}, {"elfcorehdr", "build"}, {"elfcorehdr", "show", "--loaded"}}
	}
	return [][]string{{"status", "--json"}, {"load", "--crash", b.vmlinuz, "--dry-run"}}
}

// A tree that is made to lead out of itself, to block or to fill the memory is read within itself and within
// bounds. The limits of the child are the test's.
func TestSysrootHostile(t *testing.T) {
	underLimit(t)
	place := map[string]func(path string) error{
		"/dev/zero":   func(path string) error { return os.Symlink("/dev/zero", path) },
		"/etc/passwd": func(path string) error { return os.Symlink("/etc/passwd", path) },
		"relative":    func(path string) error { return os.Symlink(strings.Repeat("../", 30)+"etc/passwd", path) },
		"a FIFO":      func(path string) error { return unix.Mkfifo(path, 0o600) },
		"10 GB": func(path string) error {
			f, err := os.Create(path)
			return errors.Join(err, f.Truncate(10<<30), f.Close())
		},
		"15 MB": func(path string) error {
			f, err := os.Create(path)
			return errors.Join(err, f.Truncate(15<<20), f.Close())
		},
		"a directory": func(path string) error { return os.Mkdir(path, 0o700) },
	}
	b := newBench(t)
	b.load()
	machine := newBench(t) // of the child's own
	for _, file := range []string{"proc/cmdline", "proc/iomem", "proc/kcore", "proc/meminfo",
		"run/gokexec/crash.json", "run/gokexec/problem", "lib/modules/9.9/modules.dep", "sys/kernel/vmcoreinfo"} {
		for kind, make := range place {
			if file != "proc/iomem" && (strings.Contains(kind, "passwd") || kind == "relative" || kind == "a directory") {
				continue
			}
			full := filepath.Join(b.kernel.Dir, file)
			old, err := os.ReadFile(full)
			if err := errors.Join(os.MkdirAll(filepath.Dir(full), 0o755), os.RemoveAll(full), make(full)); err != nil {
				t.Fatal(err)
			}
			for _, argv := range sysrootCommands(b, file) {
				code, out := machine.limited(append(argv, "--sysroot", b.kernel.Dir)...)
				if code < 0 || code >= 124 || strings.Contains(out, "root:x:") || strings.Contains(out, "fatal error") || strings.Contains(out, "goroutine ") {
					t.Errorf("%s is %s: %v: %d, %.500s", file, kind, argv, code, out)
				}
			}
			os.RemoveAll(full)
			if err == nil {
				err = os.WriteFile(full, old, 0o644)
			} else {
				err = nil
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	b.want(exitFailure, "", "--sysroot: ", "memmap", "--sysroot", filepath.Join(b.dir, "none"))
	b.want(exitFailure, "", "--sysroot: ", "memmap", "--sysroot", b.vmlinuz)
}

// Links in a tree, also absolute ones, lead to what is in it.
func TestSysrootLinks(t *testing.T) {
	b := newBench(t)
	b.want(exitOK, "crash memory", "", "memmap", "--sysroot", b.kernel.Dir)
	want := b.stdout.String()
	real := filepath.Join(b.kernel.Dir, "srv")
	if err := errors.Join(os.Mkdir(real, 0o755), os.Rename(filepath.Join(b.kernel.Dir, "proc"), filepath.Join(real, "proc")),
		os.Symlink("/srv/proc", filepath.Join(b.kernel.Dir, "proc"))); err != nil {
		t.Fatal(err)
	}
	b.want(exitOK, "crash memory", "", "memmap", "--sysroot", b.kernel.Dir)
	if got := b.stdout.String(); got != want {
		t.Errorf("through links the memory is\n%s\nwant\n%s", got, want)
	}
}
