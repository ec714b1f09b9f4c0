package capture

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"runtime/debug"
	"time"
)

// ErrStalled means that something made no progress for too long and was given
// up, still running: a disk that no longer answers leaves its callers in an
// uninterruptible sleep.
var ErrStalled = errors.New("no progress")

// within runs f in a goroutine of its own and waits at most d for it. A panic
// in f is returned as an error. When f is given up it keeps running; it must
// touch nothing that the caller goes on to use.
func within[T any](ctx context.Context, d time.Duration, what string, f func() (T, error)) (T, error) {
	type outcome struct {
		value T
		err   error
	}
	done := make(chan outcome, 1)
	go func() {
		var o outcome
		defer func() {
			if p := recover(); p != nil {
				o.err = panicError(what, p)
			}
			done <- o
		}()
		o.value, o.err = f()
	}()
	timer := time.NewTimer(d)
	defer timer.Stop()
	var zero T
	select {
	case o := <-done:
		return o.value, o.err
	case <-timer.C:
		return zero, fmt.Errorf("%s: %w for %v", what, ErrStalled, d)
	case <-ctx.Done():
		return zero, fmt.Errorf("%s: %w", what, ctx.Err())
	}
}

// panicError keeps the stack of a panic, short enough for a serial console.
func panicError(what string, p any) error {
	stack := debug.Stack()
	return fmt.Errorf("%s: internal error: %v\n%s", what, p, stack[:min(len(stack), 2000)])
}

// rooted gives the paths in errors of an fs.FS rooted at / their slash back.
func rooted(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) && !path.IsAbs(pe.Path) {
		return &fs.PathError{Op: pe.Op, Path: "/" + pe.Path, Err: pe.Err}
	}
	return err
}
