package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// A load that is under way is never cut off; all else ends at once, or in order first.
func TestInterrupts(t *testing.T) {
	const loads = 7 * time.Second
	tests := []struct {
		name    string
		orderly bool
		load    time.Duration // under way when the signals come
		signals int
		endsAt  time.Duration
	}{
		{"at once", false, 0, 1, 0},
		{"in order, and the grace", true, 0, 1, interruptGrace},
		{"second signal", true, 0, 2, time.Second},
		{"in a load", true, loads, 2, loads},
		{"in a load, and the grace", true, loads, 1, interruptGrace},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				died := make(chan time.Time, 1)
				i := &interrupts{grace: interruptGrace, die: func(os.Signal) { died <- time.Now() }, listen: func() {}, outlivePipe: func() {}, load: make(chan struct{}, 1)}
				ctx := context.Background()
				if tt.orderly {
					ctx = i.orderly(ctx)
				}
				start := time.Now()
				if tt.load > 0 {
					done := i.loading()
					time.AfterFunc(tt.load, done)
				}
				ch := make(chan os.Signal, 2)
				go i.handle(ch)
				for range tt.signals {
					ch <- unix.SIGTERM
					if tt.signals > 1 {
						time.Sleep(time.Second)
					}
				}
				if got := (<-died).Sub(start); got != tt.endsAt {
					t.Errorf("it dies after %v; want %v", got, tt.endsAt)
				}
				if (ctx.Err() != nil) != tt.orderly {
					t.Errorf("the context of the command: %v", ctx.Err())
				}
			})
		})
	}
}

// A signal leaves no unfinished file.
func TestInterruptRemovesOutput(t *testing.T) {
	dir := t.TempDir()
	died := make(chan []os.DirEntry)
	i := &interrupts{grace: interruptGrace, listen: func() {}, outlivePipe: func() {}, load: make(chan struct{}, 1)}
	i.die = func(os.Signal) {
		left, err := os.ReadDir(dir)
		if err != nil {
			t.Error(err)
		}
		died <- left
	}
	ch := make(chan os.Signal, 2)
	go i.handle(ch)
	e := &env{interrupts: i}
	go writeOutput(e, filepath.Join(dir, "file"), privateFile, func(w io.Writer) (int, error) {
		ch <- unix.SIGTERM
		select {} // the process would end here
	})
	if left := <-died; len(left) != 0 {
		t.Errorf("%v is left; want nothing", left)
	}
}
