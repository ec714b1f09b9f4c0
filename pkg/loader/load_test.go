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

	"github.com/gokexec/gokexec/internal/imagetest"
	"github.com/gokexec/gokexec/internal/kexectest"
	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/kexec"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/plan"
	"github.com/gokexec/gokexec/pkg/record"
	"github.com/gokexec/gokexec/pkg/statedir"
)

type bench struct {
	*Loader
	kernel *kexectest.Kernel
	dir    string // for kernels and initrds
	told   []string
	t      *testing.T
}

func newBench(t *testing.T) *bench {
	m := kexectest.NewMachine(t)
	k := kexectest.NewKernel(m)
	b := &bench{kernel: k, dir: t.TempDir(), t: t}
	b.Loader = &Loader{Kernel: k, Root: os.DirFS(m.Dir), Arch: kexectest.Arch(t, "x86_64"), StateDir: filepath.Join(m.Dir, "run/gokexec"), Wait: 2 * time.Second,
		Report: func(s string) { b.told = append(b.told, s) }}
	return b
}

// initrdOf is an initramfs with one empty file of that name.
func initrdOf(name string) []byte { return imagetest.Initramfs(name) }

// initrdName undoes initrdOf.
func initrdName(b []byte) string {
	if len(b) < 110 {
		return ""
	}
	name, _, _ := strings.Cut(string(b[110:]), "\x00")
	return name
}

// plan writes kernel and initrd to files and plans their load.
func (b *bench) plan(t *testing.T, initrd string) *plan.Plan {
	t.Helper()
	files := map[string][]byte{"vmlinuz": imagetest.SmallBzImage().Bytes(), "initrd-" + initrd: initrdOf(initrd)}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(b.dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	spec := &plan.Spec{Kind: machine.Crash, Kernel: plan.FromFile(filepath.Join(b.dir, "vmlinuz")), Initrd: plan.FromFile(filepath.Join(b.dir, "initrd-"+initrd)), Cmdline: "name=" + initrd}
	host, err := machine.ReadHost(b.Root, b.Arch)
	if err != nil {
		t.Fatal(err)
	}
	p, err := plan.New(host, spec)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestLoad(t *testing.T) {
	b := newBench(t)
	p := b.plan(t, "one")
	if err := b.loadPlan(context.Background(), p); err != nil {
		t.Fatal(err)
	}
	got := b.kernel.Crash
	if got == nil || initrdName(got.Initrd) != "one" || got.Cmdline != p.Cmdline || got.Flags != kexec.FileOnCrash {
		t.Fatalf("the kernel holds %+v; want the plan", got)
	}
	state, err := record.Read(b.StateDir)
	if err != nil || state.Cmdline != p.Cmdline || filepath.Base(state.Asked.Kernel.Path) != "vmlinuz" {
		t.Errorf("ReadState = %+v, %v; want the load", state, err)
	}
	if err := b.unloadBy(context.Background(), machine.Crash, plan.Auto); err != nil || b.kernel.Crash != nil {
		t.Errorf("Unload = %v, kernel holds %v; want nothing", err, b.kernel.Crash)
	}
	if _, err := record.Read(b.StateDir); !errors.Is(err, record.ErrNone) {
		t.Errorf("ReadState after unload: %v; want ErrNoState", err)
	}
}

func TestLoadBusy(t *testing.T) { synctest.Test(t, testLoadBusy) }

func testLoadBusy(t *testing.T) {
	b := newBench(t)
	b.kernel.Busy = 3
	if err := b.loadPlan(context.Background(), b.plan(t, "x")); err != nil || b.kernel.Calls != 4 {
		t.Errorf("Load = %v after %d calls; want success at the 4th", err, b.kernel.Calls)
	}
	if len(b.told) != 1 {
		t.Errorf("told %q; want one line about waiting", b.told)
	}

	b = newBench(t)
	b.kernel.Busy, b.Wait = 1<<30, 100*time.Millisecond
	start := time.Now()
	err := b.loadPlan(context.Background(), b.plan(t, "x"))
	if !errors.Is(err, unix.EBUSY) || time.Since(start) > time.Second || !strings.Contains(advice.Hint(err), "--wait") {
		t.Errorf("Load on a busy kernel = %v (hint %q) after %v; want EBUSY within the bound", err, advice.Hint(err), time.Since(start))
	}

	b = newBench(t)
	ctx, cancel := context.WithCancel(context.Background())
	b.kernel.Busy, b.Wait = 1<<30, time.Hour
	time.AfterFunc(50*time.Millisecond, cancel)
	if err := b.loadPlan(ctx, b.plan(t, "x")); !errors.Is(err, unix.EBUSY) {
		t.Errorf("Load, cancelled = %v; want EBUSY", err)
	}
}

// Each attempt counts against a limit, so a busy kernel is not tried again.
func TestLoadBusyWithLimit(t *testing.T) {
	b := newBench(t)
	b.kernel.Write("proc/sys/kernel/kexec_load_limit_panic", "3\n")
	b.kernel.Busy = 1
	if err := b.loadPlan(context.Background(), b.plan(t, "x")); !errors.Is(err, unix.EBUSY) || b.kernel.Calls != 1 {
		t.Errorf("Load with a limit = %v after %d calls; want EBUSY after 1", err, b.kernel.Calls)
	}
}

func TestLoadPutsBack(t *testing.T) {
	b := newBench(t)
	ctx := context.Background()
	if err := b.loadPlan(ctx, b.plan(t, "old")); err != nil {
		t.Fatal(err)
	}
	// Fails after the old image is freed; the restore succeeds.
	b.kernel.FailLate = []unix.Errno{unix.ENOMEM, 0}
	err := b.loadPlan(ctx, b.plan(t, "new"))
	if !errors.Is(err, unix.ENOMEM) || !strings.Contains(err.Error(), "was restored") {
		t.Errorf("Load = %v; want ENOMEM, and that the old one was restored", err)
	}
	if b.kernel.Crash == nil || initrdName(b.kernel.Crash.Initrd) != "old" || !strings.HasPrefix(b.kernel.Crash.Cmdline, "name=old") {
		t.Errorf("the kernel holds %+v; want the old image", b.kernel.Crash)
	}

	// The restore fails too: the machine is unarmed, and that is said.
	b.kernel.FailLate = []unix.Errno{unix.ENOMEM, unix.ENOMEM}
	err = b.loadPlan(ctx, b.plan(t, "new"))
	if err == nil || !strings.Contains(err.Error(), "could not be restored") || !strings.Contains(advice.Hint(err), "no crash kernel now") {
		t.Errorf("Load = %v (hint %q); want a loud word about the unarmed machine", err, advice.Hint(err))
	}

	// Nothing was loaded before: nothing is restored.
	b.kernel.FailLate = []unix.Errno{unix.ENOMEM}
	if err = b.loadPlan(ctx, b.plan(t, "new")); err == nil || strings.Contains(err.Error(), "restored") {
		t.Errorf("Load = %v; want plain ENOMEM", err)
	}
}

// Files that are gone can't be restored.
func TestLoadPutBackInputsGone(t *testing.T) {
	b := newBench(t)
	if err := b.loadPlan(context.Background(), b.plan(t, "old")); err != nil {
		t.Fatal(err)
	}
	next := b.plan(t, "new")
	if err := os.Remove(filepath.Join(b.dir, "initrd-old")); err != nil {
		t.Fatal(err)
	}
	b.kernel.FailLate = []unix.Errno{unix.ENOMEM}
	if err := b.loadPlan(context.Background(), next); err == nil || !strings.Contains(err.Error(), "initrd-old") {
		t.Errorf("Load = %v; want the missing file named", err)
	}
}

// An early refusal leaves the old image alone.
func TestLoadEarlyFailureKeepsImage(t *testing.T) {
	b := newBench(t)
	if err := b.loadPlan(context.Background(), b.plan(t, "old")); err != nil {
		t.Fatal(err)
	}
	calls := b.kernel.Calls
	b.kernel.FailEarly = []unix.Errno{unix.EPERM}
	err := b.loadPlan(context.Background(), b.plan(t, "new"))
	if !errors.Is(err, unix.EPERM) || b.kernel.Calls != calls+1 || initrdName(b.kernel.Crash.Initrd) != "old" {
		t.Errorf("Load = %v after %d calls; want EPERM after 1, the old image in place", err, b.kernel.Calls-calls)
	}
}

func TestUnloadWithoutFileLoad(t *testing.T) {
	b := newBench(t)
	b.kernel.NoFileLoad = true
	b.kernel.Crash = &kexectest.Image{}
	if err := b.unloadBy(context.Background(), machine.Crash, plan.Auto); err != nil || b.kernel.Crash != nil {
		t.Errorf("Unload without kexec_file_load = %v, image %v; want it gone by kexec_load", err, b.kernel.Crash)
	}
}

func TestStateTornOrForeign(t *testing.T) {
	dir := t.TempDir()
	for _, content := range []string{"", "{", "null", "[]", `{"version":99,"kernel":{"path":"/x"}}`, `{"version":1}`} {
		if err := os.WriteFile(filepath.Join(dir, statedir.RecordName), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if s, err := record.Read(dir); !errors.Is(err, record.ErrNone) {
			t.Errorf("ReadState of %q = %v, %v; want ErrNoState", content, s, err)
		}
	}
}

// A note that can't be written does not fail the load.
func TestStateUnwritable(t *testing.T) {
	b := newBench(t)
	b.StateDir = filepath.Join(b.dir, "vmlinuz", "not-a-directory")
	if err := b.loadPlan(context.Background(), b.plan(t, "x")); err != nil {
		t.Errorf("Load = %v; want success", err)
	}
	if len(b.told) != 1 || !strings.Contains(b.told[0], "not noted") {
		t.Errorf("told %q; want that it is not noted", b.told)
	}
}
