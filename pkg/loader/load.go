package loader

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/internal/kexecsys"
)

// DefaultWait is how long a busy kernel is tried again.
const DefaultWait = 10 * time.Second

// Kernel is what loads: the running kernel, or a fake one in tests.
type Kernel interface {
	KexecFileLoad(kernel, initrd *os.File, cmdline string, flags FileFlags) error
	KexecLoad(entry uint64, segments []KernelSegment, flags LoadFlags) error
	ReuseDiskKeys(reuse bool) error
	Reboot() error
}

// Loader carries plans out.
type Loader struct {
	Kernel Kernel
	Root   fs.FS // the machine, for looking again after an error
	Arch   Arch
	// StateDir is where the last good crash load is noted, so that it can be
	// put back; "" keeps no note.
	StateDir string
	// Wait bounds how long a busy kernel (EBUSY) is tried again.
	Wait time.Duration
	// Report, if set, is told what happens besides success, one line each.
	Report func(string)
}

// DefaultStateDir is where gokexec keeps its notes; it is empty after a boot,
// as is the kernel.
const DefaultStateDir = "/run/gokexec"

// System is a Loader for the running machine.
func System() (*Loader, error) {
	arch, err := NativeArch()
	if err != nil {
		return nil, err
	}
	return &Loader{Kernel: kexecsys.Kernel{}, Root: os.DirFS("/"), Arch: arch, StateDir: DefaultStateDir, Wait: DefaultWait}, nil
}

// LoadSpec reads the machine, plans, checks and loads: all that a program that
// has no wish to look at the steps needs.
func (l *Loader) LoadSpec(ctx context.Context, spec *Spec) error {
	host, err := ReadHost(l.Root, l.Arch)
	if err != nil {
		return err
	}
	plan, err := New(host, spec)
	if err != nil {
		return err
	}
	if err := FirstFailure(slices.Concat(CheckHost(host, spec.Kind), plan.Check(host), plan.CheckInitrd(host))); err != nil {
		return err
	}
	return l.Load(ctx, plan)
}

// Load makes the one system call. The kernel frees the old image of that kind
// before it builds the new one, so everything that can be checked should have
// been (CheckHost, Plan.Check). If it fails all the same and the old crash image
// is gone, the last one that gokexec loaded is put back, and the error says so.
// Errors of the call are explained (Explain).
//
// If p was made with the method Auto, and the kernel has no kexec_file_load or
// does not take this image, it is loaded by segments; then p becomes that plan.
func (l *Loader) Load(ctx context.Context, p *Plan) error {
	if err := p.checkWriters(); err != nil {
		return err
	}
	wasLoaded := l.crashLoaded()
	err := l.call(ctx, p.Kind, func() error { return l.carryOut(p) })
	if p.fallback != nil && fallsBack(err) {
		err = l.fallBack(ctx, p, err)
	}
	if err == nil {
		if p.Kind == Crash {
			l.remember(p)
		}
		return nil
	}
	err = Explain(l.Root, l.Arch, Attempt{Plan: p, Kind: p.Kind, Method: p.Method}, err)
	if p.Kind == Crash && wasLoaded && !l.crashLoaded() {
		return l.putBack(ctx, err)
	}
	return err
}

// carryOut makes the call of the plan's method.
func (l *Loader) carryOut(p *Plan) error {
	if p.Method == Segments {
		return l.Kernel.KexecLoad(uint64(p.Entry), p.kernelSegments(), p.LoadFlags)
	}
	return l.fileLoad(p)
}

// fallBack loads by segments what kexec_file_load refused with cause.
func (l *Loader) fallBack(ctx context.Context, p *Plan, cause error) error {
	q, err := p.fallback()
	if err != nil {
		if errors.Is(cause, unix.ENOSYS) {
			return err // the only way there is
		}
		l.report(fmt.Sprintf("not loaded by segments either: %v", err))
		return cause
	}
	q.Why = cause.Error()
	if !errors.Is(cause, unix.ENOSYS) { // which is how many kernels are built
		l.report(q.Why + "; loading by segments")
	}
	*p = *q
	return l.call(ctx, p.Kind, func() error { return l.carryOut(p) })
}

func (l *Loader) fileLoad(p *Plan) error {
	kernel, err := p.Kernel.Open()
	if err != nil {
		return err
	}
	defer kernel.Close()
	var initrd *os.File
	if p.Initrd != nil {
		if initrd, err = p.Initrd.Open(); err != nil {
			return err
		}
		defer initrd.Close()
	}
	return l.Kernel.KexecFileLoad(kernel, initrd, p.Cmdline, p.Flags)
}

// Unload frees the image of that kind. That none is loaded is no error of the
// kernel's; a caller that cares looks at Host.Loaded.
func (l *Loader) Unload(ctx context.Context, kind Kind) error {
	return l.UnloadBy(ctx, kind, Auto)
}

// UnloadBy is Unload by one system call: either frees what the other has loaded.
// Auto takes kexec_load where there is no kexec_file_load.
func (l *Loader) UnloadBy(ctx context.Context, kind Kind, method Method) error {
	flags, segmentFlags := kexecsys.FileUnload, LoadFlags(0)
	if kind == Crash {
		flags |= kexecsys.FileOnCrash
		segmentFlags |= kexecsys.LoadOnCrash
	}
	err := l.call(ctx, kind, func() error {
		if method == Segments {
			return l.Kernel.KexecLoad(0, nil, segmentFlags)
		}
		err := l.Kernel.KexecFileLoad(nil, nil, "", flags)
		if method == Auto && errors.Is(err, unix.ENOSYS) {
			return l.Kernel.KexecLoad(0, nil, segmentFlags)
		}
		return err
	})
	if err == nil && kind == Crash {
		l.forget()
	}
	return Explain(l.Root, l.Arch, Attempt{Kind: kind, Method: method}, err)
}

// call runs one system call, again while the kernel is busy, within Wait. A
// counted limit is not spent on that: each attempt would use one up
// (kernel/kexec_core.c, kexec_load_permitted).
func (l *Loader) call(ctx context.Context, kind Kind, do func() error) error {
	deadline := time.Now().Add(l.Wait)
	pause := 10 * time.Millisecond
	told := false
	for {
		err := do()
		if !errors.Is(err, unix.EBUSY) || time.Now().Add(pause).After(deadline) || !l.unlimited(kind) {
			return err
		}
		if !told {
			l.report("the kernel is busy with another load; trying again for up to " + l.Wait.String())
			told = true
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w (given up: %w)", err, ctx.Err())
		case <-time.After(pause/2 + rand.N(pause)): // jitter: two loaders must not meet again
		}
		pause = min(2*pause, 500*time.Millisecond)
	}
}

func (l *Loader) unlimited(kind Kind) bool {
	r := newReader(l.Root)
	name := "proc/sys/kernel/kexec_load_limit_panic"
	if kind == Boot {
		name = "proc/sys/kernel/kexec_load_limit_reboot"
	}
	limit := r.number(name)
	return len(r.h.Unread) == 0 && (limit == nil || *limit == Unlimited)
}

// crashLoaded tells whether a crash kernel is known to be loaded.
func (l *Loader) crashLoaded() bool {
	loaded := crashLoaded(l.Root)
	return loaded != nil && *loaded
}

func (l *Loader) report(line string) {
	if l.Report != nil {
		l.Report(line)
	}
}

func (l *Loader) remember(p *Plan) {
	if l.StateDir == "" {
		return
	}
	if err := newState(p).Write(l.StateDir); err != nil {
		l.report("loaded, but not noted for putting it back later: " + err.Error())
	}
}

func (l *Loader) forget() {
	if l.StateDir == "" {
		return
	}
	if err := RemoveState(l.StateDir); err != nil {
		l.report(err.Error())
	}
}

// putBack loads the last good crash image again after a load that cost it.
func (l *Loader) putBack(ctx context.Context, cause error) error {
	unarmed := func(why error) error {
		return &Problem{Err: cause,
			What: fmt.Sprintf("%v; the crash kernel that was loaded before is gone, and could not be put back: %v", cause, why),
			Hint: "this machine has no crash kernel now; " + hintOf(cause)}
	}
	if l.StateDir == "" {
		return unarmed(errors.New("no note of it is kept"))
	}
	state, err := ReadState(l.StateDir)
	if err != nil {
		return unarmed(err)
	}
	spec, err := state.Spec()
	if err != nil {
		return unarmed(err)
	}
	defer spec.Close()
	host, err := ReadHost(l.Root, l.Arch)
	if err != nil {
		return unarmed(err)
	}
	old, err := New(host, spec)
	if err == nil {
		err = l.refuseRestored(old, state.changedFiles())
	}
	if err != nil {
		return unarmed(err)
	}
	if err := l.call(ctx, Crash, func() error { return l.carryOut(old) }); err != nil {
		return unarmed(err)
	}
	l.remember(old)
	return &Problem{Err: cause,
		What: fmt.Sprintf("%v; the crash kernel loaded before (%s) was put back", cause, state.Kernel.Path),
		Hint: hintOf(cause)}
}

func hintOf(err error) string {
	var p *Problem
	if errors.As(err, &p) {
		return p.Hint
	}
	return ""
}
