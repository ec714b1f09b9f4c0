package vmlab

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestSlots(t *testing.T) {
	c := cache{t.TempDir()}
	take := func(ctx context.Context, patience time.Duration) (func(), error) {
		t.Helper()
		return c.slot(ctx, 2, patience)
	}
	var frees []func()
	for range 2 {
		free, err := take(t.Context(), time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		frees = append(frees, free)
	}
	cancelled, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := take(cancelled, time.Hour); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a third of two slots: %v; want that it waits until its context ends", err)
	}
	if _, err := take(t.Context(), time.Millisecond); err != nil {
		t.Errorf("without patience: %v; want that it goes without a slot", err)
	}
	got := make(chan error)
	go func() {
		_, err := take(t.Context(), time.Hour)
		got <- err
	}()
	frees[1]()
	if err := <-got; err != nil {
		t.Errorf("after one was given back: %v", err)
	}
}
