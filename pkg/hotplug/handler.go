package hotplug

import (
	"context"
	"errors"
	"fmt"
	"time"
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
	Lost bool  // a load was killed, and nothing is loaded since
	Lock *Lock // held by the caller
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

// ErrStale is wrapped when the header is stale, or the crash kernel lost, and
// that could not be mended.
var ErrStale = errors.New("the crash kernel does not fit the machine")

// Times of a Handler whose own are 0.
const (
	DefaultQuiet  = 250 * time.Millisecond
	DefaultSettle = 30 * time.Second

	// DefaultAbsent is longer than a load takes.
	DefaultAbsent = 10 * time.Second

	// patience is how long the reload lock is waited for without a word.
	patience = time.Minute

	// maxReloads bounds the reloads of one look, should memory keep changing.
	maxReloads = 3
)

// Handler looks after events. Reload is called by one process at a time.
type Handler struct {
	Dir Dir

	// Look looks at the machine, without taking a lock of the kernel's.
	Look func(context.Context) Look
	// Reload makes one load. nil: there is nothing to load.
	Reload func(context.Context, Attempt) error
	// Report is told, in one line, what was done, and what is wrong (loud).
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
	lockReload(ctx context.Context) (*Lock, error)
	releasePending()
	takeMark() error
	clearMark() error
	begin(*Lock) error
	done(*Lock) error
	interrupted(*Lock) bool
	problem(text string)
	releaseReload(*Lock)
}

// Event looks after one event: it returns Covered at once if another process
// will, and otherwise when the machine has been looked at and, if need be, the
// crash kernel reloaded. The error wraps ErrStale if that was in vain.
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

// lookAfter handles what is marked. While nothing is loaded it waits for a load to
// end, without the reload lock, and begins anew.
func (h *Handler) lookAfter(ctx context.Context, s steps) (Outcome, error) {
	for absent, last := false, false; ; absent = true {
		mine, err := s.tryPending()
		if err != nil {
			h.report(true, "events can't be gathered, each is looked after by itself: "+err.Error())
		} else if !mine {
			return Covered, nil
		}
		if absent {
			last = !s.awaitLoad(ctx)
		} else {
			s.settle(ctx)
		}
		lock, err := s.lockReload(ctx)
		if err != nil {
			s.releasePending()
			return Fine, fmt.Errorf("event not looked after: %w", err)
		}
		if outcome, done, err := h.lookLocked(ctx, s, lock, last); done {
			return outcome, err
		}
	}
}

// lookLocked looks, and mends. It is not done if nothing is loaded, unless that is
// known to be so for good.
func (h *Handler) lookLocked(ctx context.Context, s steps, lock *Lock, last bool) (outcome Outcome, done bool, err error) {
	defer s.releaseReload(lock)
	// From here on an event is not covered any more: it may come after the look.
	s.releasePending()
	taken := s.takeMark()
	outcome, state, err := h.mend(ctx, s, lock)
	if err != nil {
		s.problem(err.Error())
		return outcome, true, err // the mark stays
	}
	if state == NotLoaded && !last && ctx.Err() == nil {
		return outcome, false, nil
	}
	s.problem("")
	if taken != nil {
		return outcome, true, nil // said by mark, and harmless: there is a mark too many
	}
	if err := s.clearMark(); err != nil {
		h.report(false, err.Error())
	}
	return outcome, true, nil
}

// mend looks, and reloads while that is of use.
func (h *Handler) mend(ctx context.Context, s steps, lock *Lock) (outcome Outcome, state State, err error) {
	outcome = Fine
	for reloads := 0; ; reloads++ {
		interrupted := s.interrupted(lock)
		look := h.Look(ctx)
		lost := look.State == NotLoaded && interrupted
		unsure := look.State == Unknown && !look.Unchanged && reloads == 0
		if look.State != Stale && !lost && !unsure {
			if interrupted {
				h.warn(s.done(lock))
			}
			return outcome, look.State, nil
		}
		what := describe(look, lost)
		switch {
		case h.Reload == nil:
			return outcome, look.State, fmt.Errorf("%w: %s; there is no way to reload it", ErrStale, what)
		case reloads == maxReloads:
			return outcome, look.State, fmt.Errorf("%w: after %d reloads still %s", ErrStale, reloads, what)
		case ctx.Err() != nil:
			return outcome, look.State, fmt.Errorf("%w: %s: %w", ErrStale, what, context.Cause(ctx))
		}
		h.report(false, "reloading the crash kernel: "+what)
		h.warn(s.begin(lock))
		err := h.Reload(ctx, Attempt{Lost: lost, Lock: lock})
		h.warn(s.done(lock))
		if err != nil {
			return outcome, look.State, fmt.Errorf("%w: %s: %w", ErrStale, what, err)
		}
		outcome = Reloaded
	}
}

func describe(look Look, lost bool) string {
	switch {
	case lost:
		return "it was lost when a load was killed"
	case look.State == Unknown:
		return "memory or CPUs have changed, and whether it fits is unknown (" + look.Detail + ")"
	}
	return look.Detail
}

func (h *Handler) report(loud bool, line string) {
	if h.Report != nil {
		h.Report(loud, line)
	}
}

// warn tells of what is only a pity.
func (h *Handler) warn(err error) {
	if err != nil {
		h.report(false, err.Error())
	}
}
