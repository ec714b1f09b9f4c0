package excerpt

import (
	"context"
	"sync"

	"github.com/gokexec/gokexec/pkg/kdumpfile"
)

// decided is a filter whose first answer stands.
type decided struct {
	filter kdumpfile.Filter

	mu      sync.Mutex
	windows map[uint64][]uint64 // by the first page frame: which pages are kept
}

// Filter asks the filter below once for each window.
func (d *decided) Filter(ctx context.Context, first uint64, keep []uint64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	answer := d.windows[first]
	if answer == nil {
		answer = make([]uint64, kdumpfile.WindowPages/64)
		for i := range answer {
			answer[i] = ^uint64(0)
		}
		if err := d.filter.Filter(ctx, first, answer); err != nil {
			return err
		}
		d.windows[first] = answer
	}
	for i := range keep {
		keep[i] &= answer[i]
	}
	return nil
}
