package loader

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/internal/kexectest"
	"github.com/gokexec/gokexec/pkg/accuracy"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/plan"
	"github.com/gokexec/gokexec/pkg/record"
	"github.com/gokexec/gokexec/pkg/statedir"
)

func (b *bench) stateDir() statedir.Dir { return statedir.Dir(b.StateDir) }

// spec is what plan plans, for Load.
func (b *bench) spec(t *testing.T, initrd string) *plan.Spec { return b.plan(t, initrd).Spec }

// The call for programs waits for the lock, loads again when memory changes under it,
// and leaves a record by which another program's load is known.
func TestLoadWhole(t *testing.T) { synctest.Test(t, testLoadWhole) }

func testLoadWhole(t *testing.T) {
	b := newBench(t)
	lock, err := b.stateDir().LockReload(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	b.Wait = 20 * time.Millisecond
	if err := b.loadOnly(t.Context(), b.spec(t, "x")); !errors.Is(err, statedir.ErrLocked) || b.kernel.Calls != 0 {
		t.Errorf("Load while another loads = %v after %d calls; want ErrLocked before any", err, b.kernel.Calls)
	}
	if err := lock.Release(); err != nil {
		t.Fatal(err)
	}
	round := 0
	b.kernel.DuringLoad = func() {
		if round++; round == 1 {
			b.kernel.AddMemory(kexectest.DIMM())
		}
		if !b.stateDir().Locked() {
			t.Error("a load is made without the lock")
		}
	}
	if err := b.loadOnly(t.Context(), b.spec(t, "x")); err != nil || round != 2 {
		t.Errorf("Load = %v after %d loads; want two, since memory came during the first", err, round)
	}
	b.kernel.DuringLoad = nil
	if found := b.verify(); found.Accuracy != accuracy.Accurate || found.Foreign {
		t.Errorf("after Load: %+v; want accurate and ours", found)
	}
	foreign := &Loader{Kernel: b.kernel, Root: b.Root, Arch: b.Arch}
	if err := foreign.loadOnly(t.Context(), b.spec(t, "theirs")); err != nil {
		t.Fatal(err)
	}
	if found := b.verify(); !found.Foreign {
		t.Errorf("after another program's load: %+v; want it seen", found)
	}
	b.kernel.Write("proc/sys/kernel/kexec_load_disabled", "1\n")
	calls := b.kernel.Calls
	if err := b.loadOnly(t.Context(), b.spec(t, "x")); err == nil || b.kernel.Calls != calls {
		t.Errorf("Load where loading is disabled = %v after %d calls; want it refused before any", err, b.kernel.Calls-calls)
	}
}

// Once a crash kernel was loaded one is wanted, whatever becomes of later loads.
func TestWanted(t *testing.T) {
	ctx := context.Background()
	late := func(n int) func(*bench) {
		return func(b *bench) {
			for range n {
				b.kernel.FailLate = append(b.kernel.FailLate, unix.ENOMEM)
			}
		}
	}
	for _, tt := range []struct {
		name    string
		first   bool // nothing was loaded before
		set     func(*bench)
		load    func(*testing.T, *bench) error
		unarmed bool // and that is noted
		wanted  bool
	}{
		{name: "a load", load: func(t *testing.T, b *bench) error { return b.loadOnly(ctx, b.spec(t, "new")) }, wanted: true},
		{name: "a first load fails", first: true, set: late(1), load: func(t *testing.T, b *bench) error { return b.loadOnly(ctx, b.spec(t, "new")) }},
		{name: "a load fails early", set: func(b *bench) { b.kernel.FailEarly = []unix.Errno{unix.EPERM} },
			load: func(t *testing.T, b *bench) error { return b.loadOnly(ctx, b.spec(t, "new")) }, wanted: true},
		{name: "a load fails late, and so does the restore", set: late(2), load: func(t *testing.T, b *bench) error { return b.loadOnly(ctx, b.spec(t, "new")) }, unarmed: true, wanted: true},
		{name: "a load fails late over another program's", first: true, set: func(b *bench) {
			foreign := &Loader{Kernel: b.kernel, Root: b.Root, Arch: b.Arch}
			if err := foreign.loadPlan(ctx, b.plan(b.t, "theirs")); err != nil {
				b.t.Fatal(err)
			}
			late(1)(b)
		}, load: func(t *testing.T, b *bench) error { return b.loadOnly(ctx, b.spec(t, "new")) }, unarmed: true, wanted: true},
		{name: "a load was killed, and the next one is refused", first: true, set: func(b *bench) {
			lock, err := b.stateDir().LockReload(ctx, 0)
			if err = errors.Join(err, lock.Begin(), lock.Release()); err != nil {
				b.t.Fatal(err)
			}
			b.kernel.Write("proc/sys/kernel/kexec_load_disabled", "1\n")
		}, load: func(t *testing.T, b *bench) error { return b.loadOnly(ctx, b.spec(t, "new")) }, unarmed: true, wanted: true},
		{name: "an unload", load: func(_ *testing.T, b *bench) error { return b.Unload(ctx, machine.Crash, plan.Auto) }},
		{name: "an unload after a killed load", set: func(b *bench) {
			lock, err := b.stateDir().LockReload(ctx, 0)
			if err = errors.Join(err, lock.Begin(), lock.Release()); err != nil {
				b.t.Fatal(err)
			}
		}, load: func(_ *testing.T, b *bench) error { return b.Unload(ctx, machine.Crash, plan.Auto) }},
		{name: "an unload that fails", set: func(b *bench) { b.kernel.FailEarly = []unix.Errno{unix.EPERM} },
			load: func(_ *testing.T, b *bench) error { return b.Unload(ctx, machine.Crash, plan.Auto) }, wanted: true},
		{name: "an unload as a step of a reload", set: func(b *bench) {
			b.Lock = func(context.Context) (*statedir.Lock, error) { return b.stateDir().Inherited(), nil }
		}, load: func(_ *testing.T, b *bench) error { return b.Unload(ctx, machine.Crash, plan.Auto) }, wanted: true},
		{name: "an unload of the other kind", load: func(_ *testing.T, b *bench) error { return b.Unload(ctx, machine.Boot, plan.Auto) }, wanted: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			if !tt.first {
				if err := b.loadOnly(ctx, b.spec(t, "old")); err != nil {
					t.Fatal(err)
				}
			}
			if tt.set != nil {
				tt.set(b)
			}
			err := tt.load(t, b)
			dir := b.stateDir()
			if errors.Is(err, ErrUnarmed) != tt.unarmed || (dir.Problem() != "") != tt.unarmed || dir.Marked() != tt.unarmed {
				t.Errorf("%v; problem %q, marked %v; want both and ErrUnarmed: %v", err, dir.Problem(), dir.Marked(), tt.unarmed)
			}
			w, wanted := dir.Wanted()
			if wanted != tt.wanted || (w.Failures > 0) != tt.unarmed {
				t.Errorf("wanted: %v, %+v; want %v, and a failure: %v", wanted, w, tt.wanted, tt.unarmed)
			}
			if _, err := os.Lstat(filepath.Join(b.StateDir, "loading")); err == nil {
				t.Error("the note of a load is left")
			}
			// What was lost comes back by the next load, and all is forgotten.
			b.kernel.Write("proc/sys/kernel/kexec_load_disabled", "0\n")
			b.Lock = nil
			if err := b.loadOnly(ctx, b.spec(t, "new")); err != nil || dir.Problem() != "" {
				t.Errorf("the next load = %v, problem %q; want none", err, dir.Problem())
			}
			if w, wanted := dir.Wanted(); !wanted || w != (statedir.Wanted{}) {
				t.Errorf("after the next load: wanted %v, %+v; want it so, without failures", wanted, w)
			}
		})
	}
}

// What was lost while nothing was loaded can also be taken back.
func TestEndWanted(t *testing.T) {
	b := newBench(t)
	if was, err := b.EndWanted(t.Context()); was || err != nil {
		t.Errorf("EndWanted at first = %v, %v; want false", was, err)
	}
	if err := b.loadOnly(t.Context(), b.spec(t, "x")); err != nil {
		t.Fatal(err)
	}
	b.kernel.FailLate = []unix.Errno{unix.ENOMEM, unix.ENOMEM}
	if err := b.loadOnly(t.Context(), b.spec(t, "new")); !errors.Is(err, ErrUnarmed) {
		t.Fatalf("Load = %v; want ErrUnarmed", err)
	}
	if was, err := b.EndWanted(t.Context()); !was || err != nil {
		t.Errorf("EndWanted = %v, %v; want true", was, err)
	}
	if _, wanted := b.stateDir().Wanted(); wanted || b.stateDir().Problem() != "" || b.stateDir().Marked() {
		t.Errorf("afterwards wanted: %v, problem %q, marked: %v; want none", wanted, b.stateDir().Problem(), b.stateDir().Marked())
	}
}

// Where no lock can be had a load is made all the same, and that is said.
func TestLoadWithoutLock(t *testing.T) {
	b := newBench(t)
	parent := filepath.Join(b.dir, "parent")
	// Nothing above is this user's alone.
	if err := errors.Join(os.Mkdir(parent, 0o755), os.Chmod(filepath.Dir(b.dir), 0o755)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(parent, "file"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	b.StateDir = filepath.Join(parent, "file", "run") // no directory can be made there
	err := b.loadOnly(t.Context(), b.spec(t, "x"))
	if err != nil || b.kernel.Crash == nil || !strings.Contains(strings.Join(b.told, "\n"), "loading without the lock") {
		t.Errorf("Load = %v, told %q; want it loaded, and said", err, b.told)
	}
}

// What is loaded is what is asked for, or it is not.
func TestHolds(t *testing.T) {
	ctx := context.Background()
	for _, tt := range []struct {
		name   string
		change func(*bench, *plan.Spec)
		want   bool
	}{
		{"the same", nil, true},
		{"and the kernel has followed memory", func(b *bench, _ *plan.Spec) {
			b.kernel.HotplugFlag = true
			b.kernel.AddMemory(kexectest.DIMM())
			b.kernel.MemoryOnline()
		}, true},
		{"reloaded", func(b *bench, _ *plan.Spec) {
			if _, _, err := b.reload(ctx, ReloadOptions{}); err != nil {
				b.t.Fatal(err)
			}
		}, true},
		{"stale", func(b *bench, _ *plan.Spec) { b.kernel.AddMemory(kexectest.DIMM()) }, false},
		{"unloaded by another program", func(b *bench, _ *plan.Spec) {
			foreign := &Loader{Kernel: b.kernel, Root: b.Root, Arch: b.Arch}
			if err := foreign.unloadBy(ctx, machine.Crash, plan.Auto); err != nil {
				b.t.Fatal(err)
			}
		}, false},
		{"loaded by another program", func(b *bench, _ *plan.Spec) {
			foreign := &Loader{Kernel: b.kernel, Root: b.Root, Arch: b.Arch}
			if err := foreign.loadPlan(ctx, b.plan(b.t, "theirs")); err != nil {
				b.t.Fatal(err)
			}
		}, false},
		{"other words", func(_ *bench, s *plan.Spec) { s.Append = "more" }, false},
		{"another method", func(_ *bench, s *plan.Spec) { s.Method = plan.Segments }, false},
		{"no initrd", func(_ *bench, s *plan.Spec) { s.Initrd = nil }, false},
		{"the kernel hides what is loaded", func(b *bench, _ *plan.Spec) { b.kernel.HideKcore() }, false},
		{"no record", func(b *bench, _ *plan.Spec) {
			if err := record.Remove(b.StateDir); err != nil {
				b.t.Fatal(err)
			}
		}, false},
		{"a rebuilt file", func(b *bench, s *plan.Spec) {
			path := s.Initrd.Path
			info, err := os.Stat(path)
			err = errors.Join(err, os.WriteFile(path+".new", []byte("another"), 0o600), os.Chtimes(path+".new", info.ModTime(), info.ModTime()), os.Rename(path+".new", path))
			if err != nil {
				b.t.Fatal(err)
			}
		}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			spec := b.spec(t, "x")
			if err := b.loadOnly(ctx, spec); err != nil {
				t.Fatal(err)
			}
			asked := *spec
			asked.ReadSeed()
			if tt.change != nil {
				tt.change(b, &asked)
			}
			if got := b.holds(t, &asked); got != tt.want {
				t.Errorf("Holds = %v; want %v", got, tt.want)
			}
		})
	}
}

// holds is Holds of files that are opened for it.
func (b *bench) holds(t *testing.T, spec *plan.Spec) bool {
	t.Helper()
	in, err := plan.Open(spec)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	return b.Holds(in)
}
