package store

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

// Bounds of the waits between attempts.
const (
	firstWait = 250 * time.Millisecond
	maxWait   = 15 * time.Second
	// maxRetryAfter bounds what a server may ask for.
	maxRetryAfter = 60 * time.Second
)

// permanent is an error that another attempt would not change.
type permanent struct{ error }

func (p permanent) Unwrap() error { return p.error }

// after is an error of a server that says when to come back.
type after struct {
	error
	wait time.Duration
}

func (a after) Unwrap() error { return a.error }

// retry calls do until it succeeds, fails permanently, or has failed for as long as patience allows. With each attempt
// that got further, do calls progress, and the time begins anew.
func (o Options) retry(ctx context.Context, what string, patience time.Duration, do func(progress func()) error) error {
	since, wait := time.Now(), firstWait
	for {
		err := do(func() { since, wait = time.Now(), firstWait })
		var final permanent
		switch {
		case err == nil:
			return nil
		case errors.As(err, &final):
			return final.error
		case ctx.Err() != nil:
			return errors.Join(err, context.Cause(ctx))
		}
		// Many machines may have crashed for the same reason.
		pause := wait/2 + rand.N(wait)
		var asked after
		if errors.As(err, &asked) {
			pause = max(pause, min(asked.wait, maxRetryAfter))
		}
		if time.Since(since)+pause > patience {
			return err
		}
		o.say("%s: %v; trying again in %v", what, err, pause.Round(100*time.Millisecond))
		wait = min(wait*2, maxWait)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return errors.Join(err, context.Cause(ctx))
		}
	}
}
