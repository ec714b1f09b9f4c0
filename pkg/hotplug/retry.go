package hotplug

import (
	"errors"
	"fmt"
	"time"

	"github.com/gokexec/gokexec/pkg/statedir"
)

// While a crash kernel is wanted and none is loaded, each event, timer and restart
// tries to load it, within these bounds. They prevent an endless series of attempts: the
// kernel may limit the number of loads, and each one costs time and memory.
const (
	// freeAttempts is how many attempts are made without a pause. After that RetryMin,
	// twice that and so on, at most RetryMax, must have passed since the last attempt.
	freeAttempts = 3

	// RetryMin and RetryMax bound the time between attempts. The daemon's own timer
	// starts with RetryMin after the first failure.
	RetryMin = 10 * time.Second
	RetryMax = 10 * time.Minute

	// MaxAttempts is how many attempts in a row may fail. After that the problem is only
	// reported.
	MaxAttempts = 20

	// MaxUnloaded is how often a crash kernel that another program has unloaded is loaded
	// again. The administrator may have unloaded it with another tool on purpose.
	MaxUnloaded = 3
)

// retryAfter returns the pause after the given number of failures in a row, at least 1.
func retryAfter(failures int) time.Duration {
	after := RetryMin
	for range failures - 1 {
		if after *= 2; after >= RetryMax {
			return RetryMax
		}
	}
	return after
}

// mayLoad returns nil if a lost crash kernel may be loaded now, or the reason why not.
func mayLoad(w statedir.Wanted, byOthers bool, now time.Time) error {
	const explicit = "gokexec load --crash or gokexec reload loads it, gokexec unload --crash records that none is wanted"
	switch {
	case byOthers && w.Unloaded >= MaxUnloaded:
		return fmt.Errorf("another program has unloaded it %d times, so it is not loaded again: %s", w.Unloaded+1, explicit)
	case w.Failures >= MaxAttempts:
		return fmt.Errorf("no further attempt after %d failures (the last one: %s): %s", w.Failures, cause(w), explicit)
	case w.Failures < freeAttempts:
		return nil
	}
	next := w.Last.Add(retryAfter(w.Failures - freeAttempts + 1))
	if now.Before(w.Last) || !now.Before(next) { // a clock that was set back must not prevent it
		return nil
	}
	return fmt.Errorf("next attempt not before %s, after %d failures (the last one: %s)", next.Format(time.RFC3339), w.Failures, cause(w))
}

func cause(w statedir.Wanted) string {
	if w.Cause == "" {
		return "its process was killed"
	}
	return w.Cause
}

// errInVain is the error of a reload that reported success.
var errInVain = errors.New("a reload ended without an error, but has loaded nothing")
