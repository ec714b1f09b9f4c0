package excerpt

import (
	"context"
	"errors"
	"strings"
	"testing"
)

// failing is a filter that fails in some way.
type failing func(ctx context.Context) error

func (f failing) Filter(ctx context.Context, _ uint64, _ []uint64) error { return f(ctx) }

// An error of a filter is known as such, also a panic; that the writing was cancelled is none of it.
func TestGuarded(t *testing.T) {
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, tt := range []struct {
		name   string
		ctx    context.Context
		filter failing
		ours   bool
		says   string
	}{
		{"error", t.Context(), func(context.Context) error { return errors.New("planted") }, true, "planted"},
		{"panic", t.Context(), func(context.Context) error { panic("planted") }, true, "internal error: planted"},
		{"cancelled", cancelled, func(ctx context.Context) error { return ctx.Err() }, false, "canceled"},
	} {
		err := guarded{tt.filter}.Filter(tt.ctx, 0, nil)
		if err == nil || errors.Is(err, ErrFilter) != tt.ours || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v; want %q, of the filter: %v", tt.name, err, tt.says, tt.ours)
		}
	}
	if err := (guarded{failing(func(context.Context) error { return nil })}).Filter(t.Context(), 0, nil); err != nil {
		t.Errorf("no error: %v", err)
	}
}
