package capture

import (
	"fmt"
	"sync/atomic"
	"time"
)

// supervise runs f in a goroutine of its own for as long as f calls touch at
// least once in every limit, and gives it up when it doesn't. f must touch
// nothing else that the caller goes on to use. A panic in f is an error.
func supervise[T any](limit time.Duration, what string, f func(touch func()) T) (T, error) {
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
		o.value = f(func() { touched.Add(1) })
	}()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for seen := int64(0); ; {
		select {
		case o := <-done:
			return o.value, o.err
		case <-timer.C:
			now := touched.Load()
			if now == seen {
				var zero T
				return zero, fmt.Errorf("%s: %w for %v", what, ErrStalled, limit)
			}
			seen = now
			timer.Reset(limit)
		}
	}
}
