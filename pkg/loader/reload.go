package loader

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/pkg/accuracy"
	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/check"
	"github.com/gokexec/gokexec/pkg/kcore"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/plan"
	"github.com/gokexec/gokexec/pkg/record"
)

// ErrForeign is wrapped when what is loaded is not what gokexec has noted:
// another program has loaded a crash kernel since, and it is left alone.
var ErrForeign = errors.New("another program has loaded a crash kernel since")

// ReloadOptions say how to reload.
type ReloadOptions struct {
	// Method: Auto takes Segments where the load did not ask for a method and the
	// machine allows it, since kexec_load leaves the machine without a crash kernel
	// for a shorter time; else the method of the load.
	Method plan.Method

	// LockHeld says that the caller has the reload lock, keeps book of what becomes of the
	// load, and reloads once more if the Verification says that it must.
	LockHeld bool

	// Machine is memory and CPUs, if the caller has just read them for a Verification.
	Machine *kcore.Machine

	// Lost says that a crash kernel is wanted although none is loaded. It counts with
	// LockHeld only; else Reload knows.
	Lost bool
}

// Reload loads what is noted in StateDir again, for the machine as it is now,
// over the image that is loaded: no unload comes before it. The error wraps
// record.ErrNone if nothing is recorded, and ErrForeign if something else is loaded.
func (l *Loader) Reload(ctx context.Context, opt ReloadOptions) (*Outcome, error) {
	out := &Outcome{}
	reload := func(lost bool) (err error) {
		defer l.begin()()
		opt.Lost = lost
		out.Plan, out.Verification, err = l.reload(ctx, opt)
		return err
	}
	if opt.LockHeld {
		return out, reload(opt.Lost)
	}
	return out, l.locked(ctx, machine.Crash, reload)
}

func (l *Loader) reload(ctx context.Context, opt ReloadOptions) (*plan.Plan, *accuracy.Verification, error) {
	rounds := maxRounds
	if opt.LockHeld {
		rounds = 1
	}
	state, err := record.Read(l.StateDir)
	if err != nil {
		return nil, nil, &advice.Problem{What: "nothing can be reloaded: " + err.Error(), Err: err,
			Hint: "load with gokexec load --crash, which notes what it loads; or let --reload-command do it"}
	}
	before, err := machine.HostOf(l.Root, l.Arch, opt.Machine)
	if err != nil {
		return nil, nil, err
	}
	now := accuracy.VerifyMachine(l.Root, l.StateDir, before.Dump, nil) // whether it is stale does not matter here
	switch {
	case now.Foreign && now.Accuracy != accuracy.NotLoaded:
		return nil, nil, &advice.Problem{What: "nothing is reloaded: " + ErrForeign.Error(), Err: ErrForeign,
			Hint: "load again with that program, or with gokexec load --crash; --reload-command lets gokexec do so"}
	case now.Accuracy == accuracy.NotLoaded && !opt.Lost:
		return nil, nil, &advice.Problem{What: "nothing is reloaded: no crash kernel is loaded", Err: record.ErrNone, Hint: "gokexec load --crash loads one"}
	}
	in, err := l.openRecorded(ctx, state)
	if err != nil {
		hint := advice.Hint(err)
		if hint == "" {
			hint = "its files are gone or unreadable; load with gokexec arm or gokexec load --crash"
		}
		return nil, nil, &advice.Problem{What: "the noted load can't be made again: " + err.Error(), Err: err, Hint: hint}
	}
	defer in.Close()
	changed := state.ChangedFiles(in.Spec)
	if len(changed) > 0 {
		l.report("changed since the last load, and taken as they are now: " + strings.Join(changed, ", "))
	}
	method := opt.Method
	choose := method == plan.Auto && in.Spec.Method == plan.Auto
	if method == plan.Auto {
		method = state.Method
	}
	defer l.KeepDiskKeys()()
	keys := l.recordedDiskKeys(state, in, changed)
	planned := func() (p *plan.Plan, host *machine.Host, err error) {
		if host, before = before, nil; host == nil { // it was read for an earlier round
			if host, err = machine.ReadHost(l.Root, l.Arch); err != nil {
				return nil, nil, err
			}
		}
		if p, err = l.planReload(host, in, method, choose, keys); err == nil {
			err = l.refuseChanged(host, in, p, changed)
		}
		return p, host, err
	}
	p, t, err := l.loadSettled(ctx, in, rounds, planned)
	if err != nil && choose && p != nil && p.Method == plan.Segments && state.Method == plan.File && refusedSegments(err) && l.unlimited(machine.Crash) {
		l.report(fmt.Sprintf("%v; reloading by kexec_file_load", err))
		method, choose = plan.File, false
		p, t, err = l.loadSettled(ctx, in, rounds, planned)
	}
	return p, t, err
}

// refusedSegments tells the errors by which a kernel refuses kexec_load as such,
// before it touches what is loaded (kernel/kexec.c, kexec_load_check).
func refusedSegments(err error) bool {
	for _, errno := range []unix.Errno{unix.EPERM, unix.EACCES, unix.ENOSYS} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

// planReload plans for the machine as it is now. Where the method is ours to choose
// it tries the better one first, whatever was better at the load: a kernel may have
// been locked down since, or keys added.
func (l *Loader) planReload(host *machine.Host, in *plan.Inputs, method plan.Method, choose bool, keys keysOf) (*plan.Plan, error) {
	first := plan.File
	if reloadsBySegments(host, l.Root) {
		first = plan.Segments
	}
	if choose && method != first {
		if p, err := l.planMethod(host, in, first, keys); err == nil {
			return p, nil
		}
	}
	p, err := l.planMethod(host, in, method, keys)
	if err != nil && choose && method == plan.Segments && p != nil && len(p.DiskKeys) > 0 {
		return l.planMethod(host, in, plan.File, keys) // what was restored without the keys
	}
	return p, err
}

func (l *Loader) planMethod(host *machine.Host, in *plan.Inputs, method plan.Method, keys keysOf) (*plan.Plan, error) {
	p, err := in.Plan(host, method)
	if err != nil {
		return nil, err
	}
	p.RequireDiskKeys(keys(p, host))
	return p, advice.FirstFailure(append(check.Load(host, p), check.DiskKeys(l.Root, host, p, in.Release())...))
}

// reloadsBySegments tells whether kexec_load does for what kexec_file_load has
// loaded: nobody wants a signature, and no disk key goes with it, which only the
// latter hands over (Documentation/admin-guide/kdump/kdump.rst).
func reloadsBySegments(h *machine.Host, root fs.FS) bool {
	signed := h.LockedDown() || h.Config.On("KEXEC_SIG_FORCE") || h.SecureBoot != nil && *h.SecureBoot
	return plan.CanPlanSegments(h.Arch) && !signed && !machine.HasDiskKeys(root)
}
