package hotplug

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gokexec/gokexec/internal/announce"
	"github.com/gokexec/gokexec/pkg/accuracy"
	"github.com/gokexec/gokexec/pkg/statedir"
)

// Status is the result of a check.
type Status struct {
	State  accuracy.State
	Detail string // for messages: what is stale, or why it is unknown

	// Unchanged matters if the state is Unverified: memory and CPUs are those of the last load.
	Unchanged bool
}

// Attempt describes a reload to the function that makes it.
type Attempt struct {
	Lost     bool           // a crash kernel is wanted, and none is loaded
	Failures int            // how many attempts in a row to load the lost crash kernel have failed
	Lock     *statedir.Lock // held by the caller
}

// Outcome says how an event was handled.
type Outcome int

// Outcomes of an event.
const (
	Coalesced Outcome = iota // another process handles it
	Fine                     // nothing had to be done
	Reloaded                 // the header is accurate again
)

// String names the outcome.
func (o Outcome) String() string { return [...]string{"coalesced", "fine", "reloaded"}[o] }

// ErrStale is wrapped when the header is stale and reloading did not help.
var ErrStale = errors.New("the crash kernel does not fit the machine")

// ErrUnarmed is wrapped when a crash kernel is wanted, and none could be loaded.
var ErrUnarmed = errors.New("no crash kernel is loaded, although one is wanted")

// Defaults for the times of a Handler that are 0.
const (
	DefaultQuiet  = 250 * time.Millisecond
	DefaultSettle = 30 * time.Second

	// DefaultWaitForLoad is longer than a load takes.
	DefaultWaitForLoad = 10 * time.Second

	// patience is how long to wait for the reload lock before reporting it, and
	// maxPatience before giving up: a load that does not end must not block an event
	// for ever.
	patience    = time.Minute
	maxPatience = 15 * time.Minute

	// maxReloads bounds the reloads for one event if memory keeps changing.
	maxReloads = 3
)

// Handler handles events. Only one process at a time calls Reload.
type Handler struct {
	Dir statedir.Dir

	// Check compares the loaded header with the machine, without taking a lock of the
	// kernel.
	Check func(context.Context) Status
	// Reload makes one load. If it is nil, nothing can be loaded.
	Reload func(context.Context, Attempt) error
	// Report receives, as one line, what was done, and what is wrong (loud). It must not
	// wait for a reader, since a reload follows.
	Report func(loud bool, line string)

	// A burst is over when no event has arrived for Quiet. Settle bounds the wait for
	// that: after so long a stale header is reloaded even if it will be stale again.
	Quiet, Settle time.Duration

	// Sequence, if set, gives a number that grows with each event of the kernel
	// (/sys/kernel/uevent_seqnum). Event needs it to see a burst of which most events have no
	// process (see the package's protocol). It counts events of other devices too.
	Sequence func() uint64

	// WaitForLoad is how long to wait for a load by another tool (which does not take our
	// lock) before concluding that no crash kernel is loaded. The kernel silently drops
	// hotplug updates during such a load.
	WaitForLoad time.Duration
}

// steps are what the protocol does to the outside, each atomic, so that a test can
// interleave other processes between them.
type steps interface {
	mark() error
	tryPending() (bool, error)
	cover()
	takeCover() error
	settle(ctx context.Context)
	awaitLoad(ctx context.Context) bool // false: nothing was loaded
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

// Event handles one event. If another process will handle it, Event returns Coalesced at
// once; otherwise it returns when it has checked and, if necessary, reloaded the crash
// kernel. The error wraps ErrStale or ErrUnarmed if the problem remains.
func (h *Handler) Event(ctx context.Context) (Outcome, error) {
	p := h.process()
	p.sequence = h.Sequence
	return h.event(ctx, p)
}

// Announce writes the mark of an event, and tells whether another process will handle
// it. If not, the caller must start one (Event). An error means that the event could not be
// marked.
func (h *Handler) Announce() (coalesced bool, err error) { return announceEvent(h.process()) }

func announceEvent(s steps) (coalesced bool, err error) {
	coalesced, err = announce.Event(s.mark, s.tryPending, s.releasePending)
	return coalesced, markError(err)
}

func (h *Handler) process() *process {
	p := &process{dir: h.Dir, quiet: h.Quiet, settleMax: h.Settle, loadWait: h.WaitForLoad, report: h.report}
	p.loaded = func(ctx context.Context) bool { return h.Check(ctx).State != accuracy.NotLoaded }
	if p.quiet == 0 {
		p.quiet = DefaultQuiet
	}
	if p.settleMax == 0 {
		p.settleMax = DefaultSettle
	}
	if p.loadWait == 0 {
		p.loadWait = DefaultWaitForLoad
	}
	return p
}

func (h *Handler) event(ctx context.Context, s steps) (Outcome, error) {
	h.setMark(s)
	return h.handle(ctx, s)
}

func (h *Handler) setMark(s steps) {
	if err := markError(s.mark()); err != nil {
		h.report(true, err.Error())
	}
}

func markError(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("an event can't be marked, so it would be lost if this process were killed: %w", err)
}

// attempt is what was tried for one event, in all its checks.
type attempt struct {
	last     bool // no other program is loading
	reloads  int
	unproven bool // the result of the last reload has not been checked yet
	outcome  Outcome
}

// handle handles the marked events. While nothing is loaded it waits for a load to end,
// without the reload lock, and starts over.
func (h *Handler) handle(ctx context.Context, s steps) (Outcome, error) {
	a := &attempt{outcome: Fine}
	for absent := false; ; absent = true {
		mine, err := s.tryPending()
		if err != nil {
			h.report(true, "events can't be coalesced, each is handled separately: "+err.Error())
		} else if !mine {
			return Coalesced, nil
		} else {
			s.cover()
		}
		if absent {
			a.last = !s.awaitLoad(ctx)
		} else {
			s.settle(ctx)
		}
		lock, err := s.lockReload(ctx)
		if err != nil {
			s.releasePending()
			err = fmt.Errorf("event not handled: %w", err)
			s.problem(err.Error())
			return Fine, err
		}
		if done, err := h.checkLocked(ctx, s, lock, a); done {
			return a.outcome, err
		}
	}
}

// checkLocked checks, and loads if necessary. It is not done if nothing is loaded, unless
// no other program is loading.
func (h *Handler) checkLocked(ctx context.Context, s steps, lock *statedir.Lock, a *attempt) (done bool, err error) {
	defer s.releaseReload(lock)
	taken := s.takeCover()
	// From here on events are not coalesced with this one: they may follow the check.
	s.releasePending()
	taken = errors.Join(taken, s.takeMark())
	state, err := h.repair(ctx, s, lock, a)
	if err == nil && state == accuracy.NotLoaded {
		if !a.last && ctx.Err() == nil {
			return false, nil
		}
		if _, wanted := s.wanted(lock); wanted {
			err = fmt.Errorf("%w: %w", ErrUnarmed, context.Cause(ctx)) // otherwise repair has tried
		}
	}
	if err != nil {
		s.problem(err.Error())
		return true, err // the mark stays
	}
	s.problem("")
	if taken != nil {
		return true, nil // mark has reported it, and an extra mark is harmless
	}
	if err := s.clearMark(); err != nil {
		h.report(false, err.Error())
	}
	return true, nil
}

// seen is the result of a check together with the saved state.
type seen struct {
	Status
	w           statedir.Wanted
	wanted      bool
	interrupted bool // a load was killed
}

// repair checks, and reloads as long as that can help. It returns the last state.
func (h *Handler) repair(ctx context.Context, s steps, lock *statedir.Lock, a *attempt) (accuracy.State, error) {
	for {
		now := seen{interrupted: s.interrupted(lock)}
		now.Status = h.Check(ctx)
		now.w, now.wanted = s.wanted(lock)
		if now.State != accuracy.NotLoaded {
			if a.unproven = false; now.w.Failures > 0 {
				now.w = statedir.Wanted{Unloaded: now.w.Unloaded}
				h.warn(s.want(lock, now.w))
			}
		}
		lost := now.State == accuracy.NotLoaded && (now.interrupted && a.reloads == 0 || now.wanted && a.last)
		stale := now.State == accuracy.Stale || now.State == accuracy.Unverified && !now.Unchanged && a.reloads == 0
		if !lost && !stale {
			if now.interrupted && now.State != accuracy.NotLoaded {
				h.warn(s.done(lock))
			}
			return now.State, nil
		}
		reload := h.reload
		if lost {
			reload = h.loadLost
		}
		if err := reload(ctx, s, lock, a, now); err != nil {
			return now.State, err
		}
	}
}

// loadLost loads a crash kernel that is wanted but not loaded.
func (h *Handler) loadLost(ctx context.Context, s steps, lock *statedir.Lock, a *attempt, now seen) error {
	if a.unproven {
		// If it was lost, the failure is counted already.
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
	// Written before the attempt, so that one that is killed counts, too.
	now.w.Failures, now.w.Last, now.w.Cause = now.w.Failures+1, time.Now(), ""
	h.warn(s.want(lock, now.w))
	now.wanted = true
	return h.reload(ctx, s, lock, a, now)
}

// reload makes one reload. It records that a crash kernel is wanted if the reload has
// loaded one, or has cost the one that was loaded.
func (h *Handler) reload(ctx context.Context, s steps, lock *statedir.Lock, a *attempt, now seen) error {
	lost, failure := now.State == accuracy.NotLoaded, ErrStale
	if lost {
		failure = ErrUnarmed
	}
	what := now.Detail
	if now.State == accuracy.Unverified {
		what = "memory or CPUs have changed, and whether the header is accurate is unknown (" + now.Detail + ")"
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
	err := h.Reload(ctx, Attempt{Lost: lost, Failures: max(now.w.Failures-1, 0), Lock: lock})
	switch {
	case err == nil:
		if a.outcome, a.unproven = Reloaded, true; !now.wanted {
			h.warn(s.want(lock, statedir.Wanted{}))
		}
	case lost || h.Check(ctx).State == accuracy.NotLoaded:
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
		return "another program has unloaded it, or lost it in a load (gokexec unload --crash records that none is wanted)"
	}
	return "it was lost: " + cause(now.w)
}

func (h *Handler) report(loud bool, line string) {
	if h.Report != nil {
		h.Report(loud, line)
	}
}

// warn reports a non-fatal error.
func (h *Handler) warn(err error) {
	if err != nil {
		h.report(false, err.Error())
	}
}
