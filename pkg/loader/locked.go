package loader

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gokexec/gokexec/pkg/accuracy"
	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/check"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/plan"
	"github.com/gokexec/gokexec/pkg/statedir"
)

// Outcome is what came of a load. It is there also when the load has failed.
type Outcome struct {
	Plan     *plan.Plan       // that was carried out, or the one that was refused; nil: none was made
	Findings []advice.Finding // of the checks of that plan
	// Verification is that of a crash kernel that was loaded; nil for an ordinary kexec.
	Verification *accuracy.Verification
	Held         bool // nothing was loaded: what is asked for is loaded already, see LoadUnlessHeld
}

// Load is a load from beginning to end: it takes the reload lock, reads the machine,
// plans, checks and makes the system call, verifies what the kernel has made of it and
// loads again while memory changes, restores what was loaded before if that is lost, and
// records what was loaded. That the header is stale in the end is no error: the
// Verification says so.
func (l *Loader) Load(ctx context.Context, spec *plan.Spec) (*Outcome, error) {
	return l.loadSpec(ctx, spec, func(*plan.Inputs) bool { return false })
}

// LoadUnlessHeld is Load, unless what is loaded is just that already (Holds).
func (l *Loader) LoadUnlessHeld(ctx context.Context, spec *plan.Spec) (*Outcome, error) {
	return l.loadSpec(ctx, spec, l.Holds)
}

// errHeld ends a load that is not needed.
var errHeld = errors.New("it is loaded already")

func (l *Loader) loadSpec(ctx context.Context, spec *plan.Spec, held func(*plan.Inputs) bool) (*Outcome, error) {
	out := &Outcome{}
	in, err := plan.Open(spec)
	if err != nil {
		return out, err
	}
	defer in.Close()
	err = l.locked(ctx, spec.Kind, func(bool) (err error) {
		defer l.begin()()
		if held(in) {
			return errHeld
		}
		out.Plan, out.Verification, err = l.loadSettled(ctx, in, maxRounds, func() (p *plan.Plan, host *machine.Host, err error) {
			p, host, out.Findings, err = l.planInputs(in)
			return p, host, err
		})
		return err
	})
	if errors.Is(err, errHeld) {
		out.Held, err = true, nil
	}
	return out, err
}

// planInputs plans a load for the machine as it is now, and checks it.
func (l *Loader) planInputs(in *plan.Inputs) (*plan.Plan, *machine.Host, []advice.Finding, error) {
	host, err := machine.ReadHost(l.Root, l.Arch)
	if err != nil {
		return nil, nil, nil, err
	}
	check.PrepareInitrd(in, host)
	p, err := in.Plan(host, in.Spec.Method)
	if err != nil {
		return nil, nil, nil, err
	}
	p.RequireDiskKeys(check.RequiredDiskKeys(in, p, host))
	keys := check.DiskKeys(l.Root, host, p, in.Release())
	if l.Check != nil {
		findings, err := l.Check(host, in, p)
		if err == nil {
			err = advice.FirstFailure(keys)
		}
		return p, host, append(findings, keys...), err
	}
	findings := append(append(check.Load(host, p), check.Initrd(l.Root, in, p, host)...), keys...)
	return p, host, findings, advice.FirstFailure(findings)
}

func (l *Loader) begin() (end func()) {
	if l.Begin == nil {
		return func() {}
	}
	return l.Begin()
}

// locked makes a load under the reload lock, and keeps book of what becomes of it:
// once a crash kernel was loaded, one is wanted until it is unloaded (Unload),
// also if a load fails or its process is killed. The next look of gokexec hotplug then
// tries to load it. Where no lock can be had (statedir.ErrNoLock) that is reported.
// The load is told whether a crash kernel is wanted although none is loaded. Without
// a StateDir there is neither lock nor book.
func (l *Loader) locked(ctx context.Context, kind machine.Kind, load func(lost bool) error) error {
	if l.StateDir == "" {
		return load(false)
	}
	lock, err := l.lock(ctx)
	if err != nil {
		return err
	}
	defer lock.Release()
	if !lock.Inherited() {
		l.dropStaleReuse()
	}
	if kind != machine.Crash {
		return load(false)
	}
	note, wanted := lock.Wanted()
	wanted = wanted || lock.Interrupted()
	lost := wanted && l.crashGone()
	wanted = wanted || l.crashLoaded()
	began := lock.Begin()
	err = load(lost)
	switch gone := l.crashGone(); {
	case err == nil && !gone:
		l.warn(errors.Join(began, lock.Want(statedir.Wanted{}), lock.Dir().SetProblem("")))
	case gone && wanted:
		if err == nil {
			err = ErrUnarmed
		}
		note.Failures, note.Last, note.Cause = note.Failures+1, time.Now(), err.Error()
		l.warn(errors.Join(lock.Want(note), lock.Dir().SetProblem(err.Error()), lock.Dir().Mark()))
		err = unarmed(err)
	}
	l.warn(lock.Done())
	return err
}

// unarmed has the error say that nothing is loaded.
func unarmed(err error) error {
	if errors.Is(err, ErrUnarmed) {
		return err
	}
	return &advice.Problem{What: fmt.Sprintf("%v; %v, although one is wanted", err, ErrUnarmed), Hint: advice.Hint(err), Err: errors.Join(err, ErrUnarmed)}
}

// Unload frees the image of that kind, under the reload lock. That none is loaded is no
// error; a caller that cares looks at Host.Loaded. Auto takes kexec_load where there is no
// kexec_file_load. After it no crash kernel is wanted,
// whatever failed before, unless it is a step of a reload that another process makes
// and waits for.
func (l *Loader) Unload(ctx context.Context, kind machine.Kind, method plan.Method) error {
	if l.StateDir == "" {
		return l.unloadBy(ctx, kind, method)
	}
	lock, err := l.lock(ctx)
	if err != nil {
		return err
	}
	defer lock.Release()
	if kind != machine.Crash || lock.Inherited() {
		step := *l
		step.StateDir = ""
		return step.unloadBy(ctx, kind, method)
	}
	began := lock.Begin()
	if err := l.unloadBy(ctx, kind, method); err != nil {
		return errors.Join(err, lock.Done())
	}
	l.warn(errors.Join(began, lock.Unwant()))
	return nil
}

// EndWanted is what Unload does apart from unloading, for where nothing is loaded. It
// tells whether a crash kernel was wanted.
func (l *Loader) EndWanted(ctx context.Context) (was bool, err error) {
	if l.StateDir == "" {
		return false, nil
	}
	lock, err := l.lock(ctx)
	if err != nil {
		return false, err
	}
	defer lock.Release()
	if _, was = lock.Wanted(); !was && !lock.Interrupted() || lock.Inherited() {
		return false, nil
	}
	return true, lock.Unwant()
}

// lock takes the reload lock.
func (l *Loader) lock(ctx context.Context) (*statedir.Lock, error) {
	take := l.Lock
	if take == nil {
		take = func(ctx context.Context) (*statedir.Lock, error) {
			return statedir.Dir(l.StateDir).LockReload(ctx, l.Wait)
		}
	}
	lock, err := take(ctx)
	if errors.Is(err, statedir.ErrNoLock) {
		l.report("loading without the lock: " + err.Error())
		return lock, nil
	}
	return lock, err
}
