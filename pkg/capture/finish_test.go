package capture

import (
	"context"
	"errors"
	"io"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// TestEnd: what hangs on a dead disk holds up neither the action nor what stands in for it.
func TestEnd(t *testing.T) {
	tests := []struct {
		name      string
		action    Action
		hangIn    string
		rebootErr error
		atMost    time.Duration // the action, or sysrq, is reached by then
		key       string        // of sysrq
	}{
		{name: "whole", action: Poweroff},
		{name: "sync hangs", action: Reboot, hangIn: "Sync", atMost: 7 * time.Second},
		{name: "reboot hangs", action: Reboot, hangIn: "Reboot", atMost: rebootTimeout + sysrqWait, key: "b"},
		{name: "not allowed", action: Poweroff, rebootErr: syscall.EPERM, atMost: sysrqWait, key: "o"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newInitSystem(t, "")
			s.hangIn, s.rebootErr = tt.hangIn, tt.rebootErr
			synctest.Test(t, func(t *testing.T) {
				s.hang = make(chan struct{})
				out := NewConsole(io.Discard)
				start := time.Now()
				err := End(s, Config{StallTimeoutSeconds: 7}, tt.action, out)
				if took := time.Since(start); took > tt.atMost {
					t.Errorf("it took %v; want at most %v", took, tt.atMost)
				}
				if (err != nil) != (tt.key != "") {
					t.Errorf("End: %v", err)
				}
				if !s.has("do " + string(tt.action)) {
					t.Errorf("events = %q; want the action", s.events)
				}
				if got := string(mustRead(t, s.path("/proc/sysrq-trigger"))); got != tt.key {
					t.Errorf("sysrq-trigger got %q; want %q", got, tt.key)
				}
				close(s.hang)
				out.Close(flushTimeout)
			})
		})
	}
}

// TestRunUnheard: the dump does not wait for a console, or a pipe, that takes nothing, and
// modules don't either.
func TestRunUnheard(t *testing.T) {
	keepLimits(t)
	t.Run("command", func(t *testing.T) {
		s := newFakeSystem(t)
		s.file(t, VMCorePath, string(testVMCore(t)))
		s.file(t, "/crash/x", "")
		synctest.Test(t, func(t *testing.T) {
			stuck := make(chan struct{})
			start := time.Now()
			res, err := Run(t.Context(), dirConfig, Options{System: s, Console: writerFunc(func(p []byte) (int, error) { <-stuck; return len(p), nil })})
			if err != nil || !res.Saved() {
				t.Errorf("Run = %+v, %v; want all saved", res, err)
			}
			if took := time.Since(start); took > flushTimeout {
				t.Errorf("it took %v; want at most %v", took, flushTimeout)
			}
			close(stuck)
		})
	})
	t.Run("init", func(t *testing.T) {
		s := newInitSystem(t, goodConfig)
		synctest.Test(t, func(t *testing.T) {
			stuck := make(chan struct{})
			s.screenHang = stuck
			loaded := 0
			start := time.Now()
			end := Init(InitOptions{System: s, LoadModules: func(_ context.Context, console io.Writer) error {
				for range 2 * consoleBacklog {
					if _, err := io.WriteString(console, "gokexec: module nvme: no such device\n"); err != nil {
						return err
					}
					loaded++
				}
				return errors.New("some failed")
			}})
			if end.Action != Poweroff || end.ExitCode != ExitComplete || loaded != 2*consoleBacklog {
				t.Errorf("Init = %+v after %d modules; want all of them, and the dump saved", end, loaded)
			}
			if took := time.Since(start); took > 3*flushTimeout {
				t.Errorf("it took %v; want at most %v", took, 3*flushTimeout)
			}
			close(stuck)
		})
	})
}
