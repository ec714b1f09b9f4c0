package excerpt

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/gokexec/gokexec/pkg/kdumpfile"
)

// ErrFilter is wrapped by the error of a Write that failed since the pages could not be told apart
// after all. KeepAll lets the next Write do without.
var ErrFilter = errors.New("tell the pages apart")

// KeepAll leaves nothing out from now on but pages of zeroes, as Whole then says.
func (e *Excerpt) KeepAll(why error) { e.whole, e.survey = why, nil }

// guarded is a filter whose errors wrap ErrFilter, and whose panics are errors.
type guarded struct{ filter kdumpfile.Filter }

// Filter asks the filter below.
func (g guarded) Filter(ctx context.Context, first uint64, keep []uint64) error {
	err := guard(func() error { return g.filter.Filter(ctx, first, keep) })
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("%w: %w", ErrFilter, err)
	}
	return err
}

// guard makes an error of a panic.
func guard(do func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("internal error: %v\n%s", p, debug.Stack())
		}
	}()
	return do()
}
