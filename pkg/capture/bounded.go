package capture

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync/atomic"
	"time"
)

// ErrStalled means that something made no progress for too long and was given
// up, still running: a disk that no longer answers leaves its callers in an
// uninterruptible sleep.
var ErrStalled = errors.New("no progress")

// looks is how often progress is looked for in the time that may pass without any.
const looks = 10

// bounded runs f in a goroutine of its own, for as long as f calls touch at
// least once in every limit. A panic in f is returned as an error. When f is
// given up it keeps running; it must touch nothing that the caller goes on to use.
func bounded[T any](ctx context.Context, limit time.Duration, what string, f func(touch func()) (T, error)) (T, error) {
	type outcome struct {
		value T
		err   error
	}
	var touched atomic.Int64
	done := make(chan outcome, 1)
	go func() {
		var o outcome
		defer func() {
			if p := recover(); p != nil {
				o.err = panicError(what, p)
			}
			done <- o
		}()
		o.value, o.err = f(func() { touched.Add(1) })
	}()
	ticker := time.NewTicker(max(limit/looks, time.Millisecond))
	defer ticker.Stop()
	var zero T
	seen, alive := int64(0), time.Now()
	for {
		select {
		case o := <-done:
			return o.value, o.err
		case <-ticker.C:
			if now := touched.Load(); now != seen {
				seen, alive = now, time.Now()
			} else if time.Since(alive) >= limit {
				return zero, fmt.Errorf("%s: %w for %v", what, ErrStalled, limit)
			}
		case <-ctx.Done():
			return zero, fmt.Errorf("%s: %w", what, ctx.Err())
		}
	}
}

// within is bounded for what has no progress of its own: all of f may take at most d.
func within[T any](ctx context.Context, d time.Duration, what string, f func() (T, error)) (T, error) {
	return bounded(ctx, d, what, func(func()) (T, error) { return f() })
}

// panicError keeps the stack of a panic, short enough for a serial console.
func panicError(what string, p any) error {
	stack := debug.Stack()
	return fmt.Errorf("%s: internal error: %v\n%s", what, p, stack[:min(len(stack), 2000)])
}
