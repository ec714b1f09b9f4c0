package loader

import (
	"context"
	"errors"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/internal/imagetest"
	"github.com/gokexec/gokexec/internal/kexectest"
	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/plan"
	"github.com/gokexec/gokexec/pkg/record"
)

// Auto goes by kexec_load after the errors that say that the call is not there or
// does not take the image, and after no other.
func TestAutoFallsBack(t *testing.T) {
	for _, tt := range []struct {
		errno unix.Errno
		falls bool
	}{{unix.ENOSYS, true}, {unix.EINVAL, true}, {unix.ENOEXEC, true}, {unix.ENOTSUP, true},
		{unix.EPERM, false}, {unix.EACCES, false}, {unix.ENOMEM, false}, {unix.EADDRNOTAVAIL, false}, {unix.EKEYREJECTED, false}, {unix.EBUSY, false}, {unix.ETXTBSY, false}} {
		b := newBench(t)
		b.Wait = 0
		b.kernel.FailEarly = []unix.Errno{tt.errno}
		p := b.plan(t, "x")
		err := b.loadPlan(context.Background(), p)
		if !tt.falls {
			if !errors.Is(err, tt.errno) || b.kernel.Calls != 1 {
				t.Errorf("%v: Load = %v after %d calls; want the error after 1", tt.errno, err, b.kernel.Calls)
			}
			continue
		}
		if err != nil || b.kernel.Crash == nil || len(b.kernel.Crash.Segments) == 0 || p.Method != plan.Segments || !strings.Contains(p.Why, tt.errno.Error()) {
			t.Errorf("%v: Load = %v, by %v because %q; want a load by kexec_load, because of it", tt.errno, err, p.Method, p.Why)
		}
		lines := 1
		if tt.errno == unix.ENOSYS { // nothing unusual: many kernels are built without
			lines = 0
		}
		if len(b.told) != lines {
			t.Errorf("%v: told %q; want %d lines", tt.errno, b.told, lines)
		}
		state, err := record.Read(b.StateDir)
		if err != nil || state.Method != plan.Segments || state.Elfcorehdr != 0x36000000 {
			t.Errorf("%v: state %+v, %v; want the method and where the header is", tt.errno, state, err)
		}
	}
}

// File stays file.
func TestFileDoesNotFallBack(t *testing.T) {
	b := newBench(t)
	b.kernel.NoFileLoad = true
	host := b.kernel.Host("x86_64")
	p, err := plan.New(host, &plan.Spec{Kind: machine.Crash, Method: plan.File, Kernel: plan.FromBytes("k", imagetest.SmallBzImage().Bytes())})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.loadPlan(context.Background(), p); !errors.Is(err, unix.ENOSYS) || !strings.Contains(advice.Hint(err), "--method segments") {
		t.Errorf("Load = %v (hint %q); want ENOSYS", err, advice.Hint(err))
	}
}

// What kexec_file_load is known not to take never gets there.
func TestAutoChooses(t *testing.T) {
	locked := func(m *kexectest.Machine) {
		m.Write("sys/kernel/security/lockdown", "none [integrity] confidentiality\n")
	}
	noFile := func(m *kexectest.Machine) { m.Write("boot/config-6.12.1", "CONFIG_KEXEC=y\n") }
	for _, tt := range []struct {
		name    string
		machine func(*kexectest.Machine)
		kernel  []byte
		want    plan.Method
		why     string
	}{
		{"bzImage", nil, imagetest.SmallBzImage().Bytes(), plan.File, ""},
		{"vmlinux", nil, imagetest.SmallVmlinux(), plan.Segments, "does not take ELF"},
		{"vmlinux under lockdown", locked, imagetest.SmallVmlinux(), plan.File, ""},
		{"no CONFIG_KEXEC_FILE", noFile, imagetest.SmallBzImage().Bytes(), plan.Segments, "without CONFIG_KEXEC_FILE"},
	} {
		m := kexectest.NewMachine(t)
		if tt.machine != nil {
			tt.machine(m)
		}
		p, err := plan.New(m.Host("x86_64"), &plan.Spec{Kind: machine.Crash, Kernel: plan.FromBytes("k", tt.kernel)})
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if p.Method != tt.want || !strings.Contains(p.Why, tt.why) || (p.Why == "") != (tt.why == "") {
			t.Errorf("%s: auto takes %v because %q; want %v, %q", tt.name, p.Method, p.Why, tt.want, tt.why)
		}
	}
}

// A load by kexec_load that costs the old image is undone by kexec_load.
func TestSegmentsPutBack(t *testing.T) {
	b := newBench(t)
	b.kernel.NoFileLoad = true
	ctx := context.Background()
	if err := b.loadPlan(ctx, b.plan(t, "old")); err != nil {
		t.Fatal(err)
	}
	old := b.kernel.Crash.Segments
	b.kernel.NoFileLoad = false
	b.kernel.FailLate = []unix.Errno{unix.ENOMEM, 0}
	err := b.loadPlan(ctx, b.plan(t, "new"))
	if !errors.Is(err, unix.ENOMEM) || !strings.Contains(err.Error(), "was restored") {
		t.Errorf("Load = %v; want ENOMEM, and that the old one was restored", err)
	}
	if b.kernel.Crash == nil || len(b.kernel.Crash.Segments) != len(old) {
		t.Errorf("the kernel holds %+v; want the old segments", b.kernel.Crash)
	}
}
