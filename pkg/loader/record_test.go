package loader

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/pkg/kexec"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/plan"
	"github.com/gokexec/gokexec/pkg/record"
	"github.com/gokexec/gokexec/pkg/statedir"
)

// What the load was told for the method that it did not use is not forgotten by the
// reload that uses it.
func TestReloadForgetsNothing(t *testing.T) {
	b := newBench(t)
	b.kernel.HotplugFlag = true
	b.kernel.Write("sys/kernel/crash_elfcorehdr_size", "8192\n")
	told := func(s *plan.Spec) {
		s.Hotplug, s.NoChecks, s.Serial, s.FileFlags = plan.HotplugOff, true, plan.Serial{Port: 0x3f8}, kexec.FileNoCMA
	}
	planned := b.plan(t, "x")
	told(planned.Spec)
	_, _, err := b.settle(t.Context(), func() (*plan.Plan, error) {
		host, err := machine.ReadHost(b.Root, b.Arch)
		if err != nil {
			return nil, err
		}
		return plan.New(host, planned.Spec)
	})
	if err != nil || b.kernel.Crash.Flags&kexec.FileNoCMA == 0 {
		t.Fatalf("loaded with %v, %v; want NO_CMA", b.kernel.Crash.Flags, err)
	}
	p, _, err := b.reload(t.Context(), ReloadOptions{})
	if err != nil || p.Method != plan.Segments || p.Hotplug || !p.NoChecks || p.Serial.Port != 0x3f8 {
		t.Fatalf("Reload = by %v, kernel updates: %v, no checks: %v, serial %v, %v; want what the load was told", p.Method, p.Hotplug, p.NoChecks, p.Serial, err)
	}
	if p, _, err = b.reload(t.Context(), ReloadOptions{Method: plan.File}); err != nil || p.Flags&kexec.FileNoCMA == 0 {
		t.Errorf("Reload by kexec_file_load = %v, %v; want NO_CMA again", p.Flags, err)
	}
}

// A restored image is recorded as it was: what was asked for, and by what it is told
// from another program's.
func TestRestoreIsRecordedInFull(t *testing.T) {
	b := newBench(t)
	b.loadOne(t, "old")
	before, err := record.Read(b.StateDir)
	if err != nil {
		t.Fatal(err)
	}
	b.kernel.FailLate = []unix.Errno{unix.ENOMEM, 0}
	if err := b.loadPlan(t.Context(), b.plan(t, "new")); err == nil || !strings.Contains(err.Error(), "restored") {
		t.Fatalf("Load = %v; want the old one restored", err)
	}
	after, err := record.Read(b.StateDir)
	if err != nil || after.Asked.Method != plan.Auto || after.Generation == "" || after.Generation != before.Generation || after.Memory.SHA256 == "" || after.Memory.SHA256 == before.Memory.SHA256 {
		t.Errorf("recorded %+v of %+v, %v; want auto asked for, the generation, and the new image's fingerprint", after, after.Asked, err)
	}
	foreign := &Loader{Kernel: b.kernel, Root: b.Root, Arch: b.Arch}
	if err := foreign.loadPlan(t.Context(), b.plan(t, "theirs")); err != nil {
		t.Fatal(err)
	}
	if found := b.verify(); !found.Foreign {
		t.Errorf("after a restore and a load by another tool: %+v; want it seen", found)
	}
}

// A note of version 1, as gokexec wrote it before, is still good for a reload.
func TestStateVersion1(t *testing.T) {
	b := newBench(t)
	p := b.plan(t, "x")
	b.loadOne(t, "x")
	note := func(more string) string {
		return `{"version":1,"method":"file","kernel":{"path":"` + p.Kernel.Path + `","size_bytes":1,"modified_at":"2026-01-01T00:00:00Z"},
			"initrd":{"path":"` + p.Initrd.Path + `"},"cmdline":"exact words","loaded_at":"2026-01-01T00:00:00Z","method_asked_for":"auto",
			"hotplug":"off","kernel_updates_header":false,"no_checks":true,"serial":{"port":1016},"segment_options":{"mem_min":905969664}` + more + "}"
	}
	for _, tt := range []struct {
		note   string
		initrd bool
	}{{note(""), true}, {strings.Replace(note(""), p.Initrd.Path, p.Kernel.Path, 1), false}, {note(`,"of_tomorrow":1`), true}} {
		if err := os.WriteFile(filepath.Join(b.StateDir, statedir.RecordName), []byte(tt.note), 0o600); err != nil {
			t.Fatal(err)
		}
		state, err := record.Read(b.StateDir)
		if err != nil {
			t.Fatal(err)
		}
		if s := state.Asked; s.Method != plan.Auto || state.Method != plan.File || s.Cmdline != "exact words" || !s.CmdlineExact || s.Hotplug != plan.HotplugOff || !s.NoChecks ||
			s.Serial.Port != 0x3f8 || s.Options.MemMin != 905969664 || (s.Initrd != nil) != tt.initrd {
			t.Errorf("the note reads as %+v of %+v", state, s)
		}
		got, _, err := b.reload(t.Context(), ReloadOptions{})
		if err != nil || got.Cmdline != "exact words" {
			t.Errorf("Reload = %+v, %v; want the note's command line", got, err)
		}
		if state, err = record.Read(b.StateDir); err != nil || state.Version != record.Version {
			t.Errorf("after the reload the note is %+v, %v; want version %d", state, err, record.Version)
		}
	}
}

// A file that was replaced while it was loaded is not taken for the one that was loaded.
func TestStateIsOfTheHandle(t *testing.T) {
	b := newBench(t)
	initrd := filepath.Join(b.dir, "initrd-x")
	b.kernel.DuringLoad = func() {
		if err := os.WriteFile(initrd+".new", []byte("y"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(initrd+".new", initrd); err != nil {
			t.Fatal(err)
		}
	}
	b.loadOne(t, "x")
	b.kernel.DuringLoad = nil
	state, err := record.Read(b.StateDir)
	if err != nil {
		t.Fatal(err)
	}
	in, err := plan.Open(state.Spec())
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if changed := state.ChangedFiles(in.Spec); len(changed) != 1 || changed[0] != initrd {
		t.Errorf("changed files %q; want %s", changed, initrd)
	}
}
