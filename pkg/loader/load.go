package loader

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/pkg/check"
	"github.com/gokexec/gokexec/pkg/kexec"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/plan"
	"github.com/gokexec/gokexec/pkg/record"
)

// load makes the one system call. The kernel frees the old image of that kind
// before it builds the new one, so everything that can be checked should have
// been (check.Load). If it fails all the same and the old crash image is gone, the
// last one that gokexec loaded is restored, and the error says so, or wraps
// ErrUnarmed. Errors of the call are explained (check.Explain). in is what p was made of,
// and before the machine that it was made for; nil: not known.
//
// If p was made with the method Auto, and the kernel has no kexec_file_load or
// does not take this image, it is loaded by kexec_load; then p becomes that plan.
func (l *Loader) load(ctx context.Context, in *plan.Inputs, p *plan.Plan, before *machine.Host) (done loaded, err error) {
	if err := checkWriters(in, p); err != nil {
		return done, err
	}
	if err := l.prepareDiskKeys(p); err != nil {
		return done, err
	}
	wasLoaded := l.crashLoaded()
	err = l.call(ctx, p.Kind, func() error { return l.carryOut(in, p) })
	if p.Fallback && fallsBack(err) {
		err = l.fallBack(ctx, in, p, err)
	}
	if err == nil {
		if p.Kind != machine.Crash {
			return done, nil
		}
		done = l.record(p, before)
		l.dropBoot(ctx)
		return done, nil
	}
	err = check.Explain(l.Root, l.Arch, check.Attempt{Plan: p, Kind: p.Kind, Method: p.Method}, err)
	if p.Kind == machine.Crash && wasLoaded && l.crashGone() {
		err = l.restore(ctx, err)
	}
	return done, err
}

// carryOut makes the call of the plan's method.
func (l *Loader) carryOut(in *plan.Inputs, p *plan.Plan) error {
	if p.Method == plan.Segments {
		return l.Kernel.KexecLoad(uint64(p.Entry), p.KernelSegments(), p.LoadFlags)
	}
	return l.fileLoad(in, p)
}

// fallBack loads by kexec_load what kexec_file_load refused with cause.
func (l *Loader) fallBack(ctx context.Context, in *plan.Inputs, p *plan.Plan, cause error) error {
	host, err := machine.ReadHost(l.Root, l.Arch)
	if err != nil {
		return errors.Join(cause, err)
	}
	q, err := in.BySegments(host, p)
	if err != nil {
		if errors.Is(cause, unix.ENOSYS) {
			return err // the only way there is
		}
		l.report(fmt.Sprintf("not loaded by kexec_load either: %v", err))
		return cause
	}
	q.Why = cause.Error()
	if !errors.Is(cause, unix.ENOSYS) { // which is how many kernels are built
		l.report(q.Why + "; loading by kexec_load")
	}
	*p = *q
	return l.call(ctx, p.Kind, func() error { return l.carryOut(in, p) })
}

func (l *Loader) fileLoad(in *plan.Inputs, p *plan.Plan) error {
	kernel, done, err := handleOf(p.Kernel, in.Kernel)
	if err != nil {
		return err
	}
	defer done()
	var initrd *os.File
	if p.Initrd != nil {
		if initrd, done, err = handleOf(p.Initrd, in.Initrd); err != nil {
			return err
		}
		defer done()
	}
	return l.Kernel.KexecFileLoad(kernel, initrd, p.Cmdline, p.Flags)
}

// unloadBy frees the image of that kind by one system call: either frees what the other
// has loaded. Auto takes kexec_load where there is no kexec_file_load. That none is loaded
// is no error of the kernel's.
func (l *Loader) unloadBy(ctx context.Context, kind machine.Kind, method plan.Method) error {
	flags, segmentFlags := kexec.FileUnload, kexec.LoadFlags(0)
	if kind == machine.Crash {
		flags |= kexec.FileOnCrash
		segmentFlags |= kexec.LoadOnCrash
	}
	err := l.call(ctx, kind, func() error {
		if method == plan.Segments {
			return l.Kernel.KexecLoad(0, nil, segmentFlags)
		}
		err := l.Kernel.KexecFileLoad(nil, nil, "", flags)
		if method == plan.Auto && errors.Is(err, unix.ENOSYS) {
			return l.Kernel.KexecLoad(0, nil, segmentFlags)
		}
		return err
	})
	if err == nil && kind == machine.Crash && l.StateDir != "" {
		l.removeDiskKeys()
		if err := record.Remove(l.StateDir); err != nil {
			l.report(err.Error())
		}
	}
	return check.Explain(l.Root, l.Arch, check.Attempt{Kind: kind, Method: method}, err)
}

// call runs one system call, again while the kernel is busy, within Wait. A
// counted limit is not spent on that: each attempt would use one up
// (kernel/kexec_core.c, kexec_load_permitted).
func (l *Loader) call(ctx context.Context, kind machine.Kind, do func() error) error {
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

func (l *Loader) unlimited(kind machine.Kind) bool { return machine.LoadsUnlimited(l.Root, kind) }

// crashLoaded tells whether a crash kernel is known to be loaded.
func (l *Loader) crashLoaded() bool {
	loaded := machine.CrashLoaded(l.Root)
	return loaded != nil && *loaded
}

// crashGone tells whether none is known to be loaded.
func (l *Loader) crashGone() bool {
	loaded := machine.CrashLoaded(l.Root)
	return loaded != nil && !*loaded
}

// fallsBack tells the errors after which Auto tries Segments: those that say
// that the call is not there or does not take this image. A refusal for another
// reason (permission, a signature, no room) would be the same or must stand.
func fallsBack(err error) bool {
	for _, errno := range []unix.Errno{unix.ENOSYS, unix.EINVAL, unix.ENOEXEC, unix.ENOTSUP} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

// Exec reboots at once into the kernel that is loaded for it: no service is stopped and no
// filesystem unmounted. It returns only if that fails.
func (l *Loader) Exec() error { return l.Kernel.Reboot() }
