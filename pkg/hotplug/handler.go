package hotplug

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gokexec/gokexec/pkg/statedir"
)

// State says what is loaded, and whether it fits the machine.
type State int

// States of what is loaded.
const (
	Unknown   State = iota // it can't be told
	Accurate               // the header is that of the machine
	Stale                  // it is not
	NotLoaded              // there is no crash kernel
)

// Look is what a look at the machine has found.
type Look struct {
	State  State
	Detail string // for messages: what is stale, why it is unknown

	// Unchanged is of use with Unknown: memory and CPUs are those of the last load.
	Unchanged bool
}

// Attempt is what a reload is told.
type Attempt struct {
	Lost bool           // a crash kernel is wanted, and none is loaded
	Lock *statedir.Lock // held by the caller
}

// Outcome says what became of an event.
type Outcome int

// Outcomes of an event.
const (
	Covered  Outcome = iota // another process looks after it
	Fine                    // nothing had to be done
	Reloaded                // the header is accurate again
)

// String names the outcome.
func (o Outcome) String() string { return [...]string{"covered", "fine", "reloaded"}[o] }

// ErrStale is wrapped when the header is stale and a reload could not help it.
var ErrStale = errors.New("the crash kernel does not fit the machine")

// ErrUnarmed is wrapped when a crash kernel is wanted, and none could be loaded.
var ErrUnarmed = errors.New("no crash kernel is loaded, although one is wanted")

// Times of a Handler whose own are 0.
const (
	DefaultQuiet  = 250 * time.Millisecond
	DefaultSettle = 30 * time.Second

	// DefaultAbsent is longer than a load takes.
	DefaultAbsent = 10 * time.Second

	// patience is how long the reload lock is waited for without a word, and
	// maxPatience at all: a load that takes longer holds an event back, not for ever.
	patience    = time.Minute
	maxPatience = 15 * time.Minute

	// maxReloads bounds the reloads of one event, should memory keep changing.
	maxReloads = 3
)

// Handler looks after events. Reload is called by one process at a time.
type Handler struct {
	Dir statedir.Dir

	// Look looks at the machine, without taking a lock of the kernel's.
	Look func(context.Context) Look
	// Reload makes one load. nil: there is nothing to load.
	Reload func(context.Context, Attempt) error
	// Report is told, in one line, what was done, and what is wrong (loud). It must
	// not wait for a reader: a reload comes after it.
	Report func(loud bool, line string)

	// Quiet is how long no event must come for a burst to be over. Settle bounds
	// how long a burst is waited for: a header that is stale for so long is mended
	// although it will be stale again.
	Quiet, Settle time.Duration

	// Absent is how long nothing must be loaded to be sure that nothing will be: the
	// load of another program, which takes no lock of ours, may be under way. The
	// kernel drops what comes or goes meanwhile, and says so to nobody.
	Absent time.Duration
}

// steps are the protocol's touches of the world, one atomic step each, so that a
// test can put every other process in between.
type steps interface {
	mark() error
	tryPending() (bool, error)
	settle(ctx context.Context)
	awaitLoad(ctx context.Context) bool // false: none has come
	lockReload(ctx context.Context) (*statedir.Lock, error)
	releasePending()
	takeMark() error
	clearMark() error
	begin(*statedir.Lock) error
	done(*statedir.Lock) error
	interrupted(*statedir.Lock) bool
	wanted(*statedir.Lock) (statedir.Wanted, bool)
	want(*statedir.Lock, statedir.Wanted) error
	problem(text string)
	releaseReload(*statedir.Lock)
}

// Event looks after one event: it returns Covered at once if another process
// will, and otherwise when the machine has been looked at and, if need be, the
// crash kernel reloaded. The error wraps ErrStale or ErrUnarmed if that was in vain.
func (h *Handler) Event(ctx context.Context) (Outcome, error) {
	return h.event(ctx, h.process())
}

// Announce leaves the mark of an event, and tells whether another process will look
// after it. If not, the caller must have one do so (Event).
func (h *Handler) Announce() (covered bool) {
	s := h.process()
	h.leaveMark(s)
	mine, err := s.tryPending()
	s.releasePending()
	return err == nil && !mine
}

func (h *Handler) process() *process {
	p := &process{dir: h.Dir, quiet: h.Quiet, settleMax: h.Settle, absentMax: h.Absent, report: h.report}
	p.loaded = func(ctx context.Context) bool { return h.Look(ctx).State != NotLoaded }
	if p.quiet == 0 {
		p.quiet = DefaultQuiet
	}
	if p.settleMax == 0 {
		p.settleMax = DefaultSettle
	}
	if p.absentMax == 0 {
		p.absentMax = DefaultAbsent
	}
	return p
}

func (h *Handler) event(ctx context.Context, s steps) (Outcome, error) {
	h.leaveMark(s)
	return h.lookAfter(ctx, s)
}

func (h *Handler) leaveMark(s steps) {
	if err := s.mark(); err != nil {
		h.report(true, "an event can't be marked, so it would be lost if this process were killed: "+err.Error())
	}
}

// attempt is what one event has tried, over all its looks.
type attempt struct {
	last     bool // no other program is loading
	reloads  int
	unproven bool // no look has seen yet what the last reload has loaded
	outcome  Outcome
}

// lookAfter handles what is marked. While nothing is loaded it waits for a load to
// end, without the reload lock, and begins anew.
func (h *Handler) lookAfter(ctx context.Context, s steps) (Outcome, error) {
	a := &attempt{outcome: Fine}
	for absent := false; ; absent = true {
		mine, err := s.tryPending()
		if err != nil {
			h.report(true, "events can't be gathered, each is looked after by itself: "+err.Error())
		} else if !mine {
			return Covered, nil
		}
		if absent {
			a.last = !s.awaitLoad(ctx)
		} else {
			s.settle(ctx)
		}
		lock, err := s.lockReload(ctx)
		if err != nil {
			s.releasePending()
			err = fmt.Errorf("event not looked after: %w", err)
			s.problem(err.Error())
			return Fine, err
		}
		if done, err := h.lookLocked(ctx, s, lock, a); done {
			return a.outcome, err
		}
	}
}

// lookLocked looks, and loads if need be. It is not done if nothing is loaded, unless
// that is known to be so for good.
func (h *Handler) lookLocked(ctx context.Context, s steps, lock *statedir.Lock, a *attempt) (done bool, err error) {
	defer s.releaseReload(lock)
	// From here on an event is not covered any more: it may come after the look.
	s.releasePending()
	taken := s.takeMark()
	state, err := h.mend(ctx, s, lock, a)
	if err == nil && state == NotLoaded {
		if !a.last && ctx.Err() == nil {
			return false, nil
		}
		if _, wanted := s.wanted(lock); wanted {
			err = fmt.Errorf("%w: %w", ErrUnarmed, context.Cause(ctx)) // else mend has tried
		}
	}
	if err != nil {
		s.problem(err.Error())
		return true, err // the mark stays
	}
	s.problem("")
	if taken != nil {
		return true, nil // said by mark, and harmless: there is a mark too many
	}
	if err := s.clearMark(); err != nil {
		h.report(false, err.Error())
	}
	return true, nil
}

// seen is what a look has found, and what is known besides.
type seen struct {
	Look
	w           statedir.Wanted
	wanted      bool
	interrupted bool // a load was killed
}

// mend looks, and reloads while that is of use. It gives what it saw last.
func (h *Handler) mend(ctx context.Context, s steps, lock *statedir.Lock, a *attempt) (State, error) {
	for {
		now := seen{interrupted: s.interrupted(lock)}
		now.Look = h.Look(ctx)
		now.w, now.wanted = s.wanted(lock)
		if now.State != NotLoaded {
			if a.unproven = false; now.w.Failures > 0 {
				now.w = statedir.Wanted{Unloaded: now.w.Unloaded}
				h.warn(s.want(lock, now.w))
			}
		}
		lost := now.State == NotLoaded && (now.interrupted && a.reloads == 0 || now.wanted && a.last)
		stale := now.State == Stale || now.State == Unknown && !now.Unchanged && a.reloads == 0
		if !lost && !stale {
			if now.interrupted && now.State != NotLoaded {
				h.warn(s.done(lock))
			}
			return now.State, nil
		}
		reload := h.again
		if lost {
			reload = h.rescue
		}
		if err := reload(ctx, s, lock, a, now); err != nil {
			return now.State, err
		}
	}
}

// rescue loads what is wanted and not loaded.
func (h *Handler) rescue(ctx context.Context, s steps, lock *statedir.Lock, a *attempt, now seen) error {
	if a.unproven {
		// One that was lost is counted already.
		now.w.Failures, now.w.Last, now.w.Cause = max(now.w.Failures, 1), time.Now(), errInVain.Error()
		h.warn(s.want(lock, now.w))
		return fmt.Errorf("%w: %w", ErrUnarmed, errInVain)
	}
	byOthers := !now.interrupted && now.w.Failures == 0
	now.Detail = describeLost(now, byOthers)
	if err := mayLoad(now.w, byOthers, time.Now()); err != nil {
		return fmt.Errorf("%w: %w", ErrUnarmed, err)
	}
	if byOthers {
		now.w.Unloaded++
	}
	// Before the attempt, so that one that is killed counts.
	now.w.Failures, now.w.Last, now.w.Cause = now.w.Failures+1, time.Now(), ""
	h.warn(s.want(lock, now.w))
	now.wanted = true
	return h.again(ctx, s, lock, a, now)
}

// again makes one reload. What it leaves behind tells that a crash kernel is wanted,
// if it has loaded one, or cost the one that was loaded.
func (h *Handler) again(ctx context.Context, s steps, lock *statedir.Lock, a *attempt, now seen) error {
	lost, failure := now.State == NotLoaded, ErrStale
	if lost {
		failure = ErrUnarmed
	}
	what := now.Detail
	if now.State == Unknown {
		what = "memory or CPUs have changed, and whether it fits is unknown (" + now.Detail + ")"
	}
	switch {
	case h.Reload == nil:
		return fmt.Errorf("%w: %s; there is no way to reload it", failure, what)
	case a.reloads == maxReloads:
		return fmt.Errorf("%w: after %d reloads still %s", failure, a.reloads, what)
	case ctx.Err() != nil:
		return fmt.Errorf("%w: %s: %w", failure, what, context.Cause(ctx))
	}
	h.report(lost, "reloading the crash kernel: "+what)
	h.warn(s.begin(lock))
	a.reloads++
	err := h.Reload(ctx, Attempt{Lost: lost, Lock: lock})
	switch {
	case err == nil:
		if a.outcome, a.unproven = Reloaded, true; !now.wanted {
			h.warn(s.want(lock, statedir.Wanted{}))
		}
	case lost || h.Look(ctx).State == NotLoaded:
		failure = ErrUnarmed
		now.w.Failures, now.w.Last, now.w.Cause = max(now.w.Failures, 1), time.Now(), err.Error()
		h.warn(s.want(lock, now.w))
	}
	h.warn(s.done(lock))
	if err != nil {
		return fmt.Errorf("%w: %s: %w", failure, what, err)
	}
	return nil
}

func describeLost(now seen, byOthers bool) string {
	switch {
	case now.interrupted:
		return "it was lost when a load was killed"
	case byOthers:
		return "another program has unloaded it, or lost it in a load (gokexec unload --crash says that none is wanted)"
	}
	return "it was lost: " + cause(now.w)
}

func (h *Handler) report(loud bool, line string) {
	if h.Report != nil {
		h.Report(loud, line)
	}
}

// warn reports an error that keeps nothing from being done.
func (h *Handler) warn(err error) {
	if err != nil {
		h.report(false, err.Error())
	}
}
