package hotplug

import (
	"errors"
	"fmt"
	"time"

	"github.com/gokexec/gokexec/pkg/statedir"
)

// While a crash kernel is wanted and none is loaded, each event, timer and restart
// tries to load it, within these bounds. They are there lest attempts follow each
// other without end: a kernel may count loads, and each one costs time and memory.
const (
	// freeAttempts are made as soon as there is an event. After that RetryMin, twice
	// that and so on must have passed since the last attempt, RetryMax at most.
	freeAttempts = 3

	// RetryMin and RetryMax bound the time between attempts. A daemon, which has a
	// timer of its own, waits RetryMin from the beginning.
	RetryMin = 10 * time.Second
	RetryMax = 10 * time.Minute

	// MaxAttempts is how many attempts in a row may fail. After that it is only said.
	MaxAttempts = 20

	// MaxUnloaded is how often what another program has unloaded is loaded again.
	// Who wants no crash kernel and unloads it with another tool is not to be fought.
	MaxUnloaded = 3
)

// retryAfter is how long after the nth failure in a row the next attempt is made.
func retryAfter(failures int) time.Duration {
	after := RetryMin
	for range failures - 1 {
		if after *= 2; after >= RetryMax {
			return RetryMax
		}
	}
	return after
}

// mayLoad says why what is lost is not to be loaded now; nil if it may be.
func mayLoad(w statedir.Wanted, byOthers bool, now time.Time) error {
	const explicit = "gokexec load --crash or gokexec reload loads it, gokexec unload --crash says that none is wanted"
	switch {
	case byOthers && w.Unloaded >= MaxUnloaded:
		return fmt.Errorf("another program has unloaded it %d times, and it is not loaded again: %s", w.Unloaded+1, explicit)
	case w.Failures >= MaxAttempts:
		return fmt.Errorf("not tried again after %d failed attempts (the last one: %s): %s", w.Failures, cause(w), explicit)
	case w.Failures < freeAttempts:
		return nil
	}
	next := w.Last.Add(retryAfter(w.Failures - freeAttempts + 1))
	if now.Before(w.Last) || !now.Before(next) { // a clock that was set back must not stop it
		return nil
	}
	return fmt.Errorf("not tried before %s after %d failed attempts (the last one: %s)", next.Format(time.RFC3339), w.Failures, cause(w))
}

func cause(w statedir.Wanted) string {
	if w.Cause == "" {
		return "its process was killed"
	}
	return w.Cause
}

// errInVain is the failure of a reload that reports none.
var errInVain = errors.New("a reload ended without an error, but has loaded nothing")
