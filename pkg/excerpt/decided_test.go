package excerpt

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/gokexec/gokexec/pkg/kdumpfile"
)

// changing is a filter of a machine that goes on running: no answer is as the one before.
type changing struct{ asked uint64 }

var errRefused = errors.New("refused")

func (c *changing) Filter(_ context.Context, first uint64, keep []uint64) error {
	if first == 0 {
		return errRefused
	}
	c.asked++
	for i := range keep {
		keep[i] &= c.asked
	}
	return nil
}

// What was decided about a page stands, whoever asks, for as many pages as he asks.
func TestDecided(t *testing.T) {
	below := &changing{}
	d := &decided{filter: below, windows: map[uint64][]uint64{}}
	ctx := context.Background()
	if err := d.Filter(ctx, 0, make([]uint64, 1)); !errors.Is(err, errRefused) {
		t.Errorf("Filter = %v; want the error of the filter below", err)
	}
	ask := func(first uint64, keep ...uint64) []uint64 {
		if err := d.Filter(ctx, first, keep); err != nil {
			t.Error(err)
		}
		return keep
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if got := ask(kdumpfile.WindowPages, 7, 6, 0xf0); !slices.Equal(got, []uint64{1, 0, 0}) {
				t.Errorf("Filter of the first window = %x; want the first answer, less what was not asked for", got)
			}
		})
	}
	wg.Wait()
	if got := ask(2*kdumpfile.WindowPages, 7); got[0] != 2 || below.asked != 2 {
		t.Errorf("Filter of the second window = %x, after %d questions; want 2, 2", got, below.asked)
	}
	if got := ask(kdumpfile.WindowPages, ^uint64(0)); got[0] != 1 {
		t.Errorf("Filter of the first window again = %x; want 1", got)
	}
}
