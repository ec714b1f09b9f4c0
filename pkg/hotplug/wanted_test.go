package hotplug

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gokexec/gokexec/pkg/accuracy"
	"github.com/gokexec/gokexec/pkg/statedir"
)

// arm has a crash kernel wanted.
func arm(t *testing.T, dir statedir.Dir, w statedir.Wanted) {
	t.Helper()
	lock, err := dir.LockReload(t.Context(), 0)
	if err = errors.Join(err, lock.Want(w), lock.Release()); err != nil {
		t.Fatal(err)
	}
}

// leave puts a file into the directory; is tells whether it is there.
func leave(d statedir.Dir, name string) {
	err := os.MkdirAll(string(d), 0o700)
	if err = errors.Join(err, os.WriteFile(filepath.Join(string(d), name), nil, 0o600)); err != nil {
		panic(err)
	}
}

func is(d statedir.Dir, name string) bool {
	_, err := os.Lstat(filepath.Join(string(d), name))
	return err == nil
}

// While a crash kernel is wanted and none is loaded, each check reports that and tries to
// load one, whatever the cause.
func TestWantedAndNothingLoaded(t *testing.T) {
	noMemory := errors.New("no memory")
	for _, tt := range []struct {
		name   string
		wanted bool // before the first event
		lost   bool // nothing is loaded at first; else a DIMM is missing
		// lose is a reload that costs the image; err is what it reports.
		reload func(*machine) error
		err    string
		loud   string // said in addition to the error
	}{
		{"a reload fails late", true, false, func(m *machine) error { m.unloaded = true; return noMemory }, "no memory", ""},
		{"a reload of what another program had loaded fails late", false, false, func(m *machine) error { m.unloaded = true; return noMemory }, "no memory", ""},
		{"a reload loads nothing and reports success", true, false, func(m *machine) error { m.unloaded = true; return nil }, "a reload ended without an error, but has loaded nothing", ""},
		{"so does one of what another program had loaded", false, false, func(m *machine) error { m.unloaded = true; return nil }, "a reload ended without an error, but has loaded nothing", ""},
		{"another program has unloaded it", true, true, func(*machine) error { return noMemory }, "no memory", "another program has unloaded it"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := &machine{memory: 1, unloaded: tt.lost}
				h := m.handler(statedir.Dir(t.TempDir()))
				if tt.wanted {
					arm(t, h.Dir, statedir.Wanted{})
				}
				works, reloads := false, 0
				h.Reload = func(ctx context.Context, a Attempt) error {
					if reloads++; !works {
						return tt.reload(m)
					}
					if !a.Lost {
						t.Error("the reload is not told that nothing is loaded")
					}
					return m.reload(ctx, a)
				}
				for look := 1; look <= 2; look++ {
					reloads = 0
					_, err := h.Event(t.Context())
					if !errors.Is(err, ErrUnarmed) || !strings.Contains(err.Error(), tt.err) || reloads != 1 {
						t.Fatalf("look %d = %v after %d reloads; want ErrUnarmed with %q, after 1", look, err, reloads, tt.err)
					}
					if w, wanted := h.Dir.Wanted(); !h.Dir.Marked() || h.Dir.Problem() != err.Error() || !wanted || w.Failures != look {
						t.Errorf("look %d leaves marked %v, problem %q, wanted %v %+v", look, h.Dir.Marked(), h.Dir.Problem(), wanted, w)
					}
				}
				if said := strings.Join(m.told, "\n"); !strings.Contains(said, tt.loud) {
					t.Errorf("said %q; want %q", said, tt.loud)
				}
				works = true
				if outcome, err := h.Event(t.Context()); outcome != Reloaded || err != nil || m.unloaded {
					t.Errorf("a look when it can be loaded again = %v, %v; want it reloaded", outcome, err)
				}
				if w, wanted := h.Dir.Wanted(); h.Dir.Marked() || h.Dir.Problem() != "" || !wanted || w.Failures != 0 {
					t.Errorf("it leaves marked %v, problem %q, wanted %v %+v", h.Dir.Marked(), h.Dir.Problem(), wanted, w)
				}
			})
		})
	}
}

// No crash kernel is loaded if none is wanted.
func TestNothingWanted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &machine{unloaded: true}
		h := m.handler(statedir.Dir(t.TempDir()))
		if outcome, err := h.Event(t.Context()); outcome != Fine || err != nil || m.loads != 0 || h.Dir.Marked() {
			t.Errorf("Event = %v, %v after %d loads; want nothing done", outcome, err, m.loads)
		}
	})
}

// Attempts in a row have pauses between them, and an end.
func TestAttemptsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &machine{unloaded: true, fail: errors.New("no memory")}
		h := m.handler(statedir.Dir(t.TempDir()))
		h.WaitForLoad, h.Quiet = time.Millisecond, time.Millisecond
		arm(t, h.Dir, statedir.Wanted{Failures: 1, Last: time.Now(), Cause: "no memory"})
		attempts, last, began := 0, time.Now(), time.Now()
		var pauses []time.Duration
		h.Reload = func(context.Context, Attempt) error {
			attempts++
			pauses = append(pauses, time.Since(last))
			last = time.Now()
			return m.fail
		}
		for time.Since(began) < 4*time.Hour {
			if _, err := h.Event(t.Context()); !errors.Is(err, ErrUnarmed) || !strings.Contains(err.Error(), "no memory") || !h.Dir.Marked() || h.Dir.Problem() == "" {
				t.Fatalf("after %d attempts: %v, marked %v, problem %q; want each look to say it", attempts, err, h.Dir.Marked(), h.Dir.Problem())
			}
			time.Sleep(3 * time.Second)
		}
		if attempts != MaxAttempts-1 {
			t.Errorf("%d attempts in 4 hours of events; want %d", attempts, MaxAttempts-1)
		}
		for i, pause := range pauses[freeAttempts-1:] {
			if want := retryAfter(i + 1); pause < want || pause > want+6*time.Second {
				t.Errorf("attempt %d was %v after the one before; want %v", i+freeAttempts, pause, want)
			}
		}
		if first, end := retryAfter(1), retryAfter(MaxAttempts); first != RetryMin || end != RetryMax {
			t.Errorf("pauses from %v to %v; want %v to %v", first, end, RetryMin, RetryMax)
		}
	})
}

// An attempt that is killed counts, and a clock that was set back stops none.
func TestAttemptsCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &machine{unloaded: true}
		h := m.handler(statedir.Dir(t.TempDir()))
		arm(t, h.Dir, statedir.Wanted{Failures: 2, Last: time.Now()})
		h.Reload = func(context.Context, Attempt) error {
			if w, _ := h.Dir.Wanted(); w.Failures != 3 {
				t.Errorf("during the attempt %+v is noted; want it counted", w)
			}
			return errors.New("no")
		}
		if _, err := h.Event(t.Context()); !errors.Is(err, ErrUnarmed) {
			t.Errorf("Event = %v; want ErrUnarmed", err)
		}
		arm(t, h.Dir, statedir.Wanted{Failures: 10, Last: time.Now().Add(1000 * time.Hour)})
		h.Reload = m.reload
		if outcome, err := h.Event(t.Context()); outcome != Reloaded || err != nil {
			t.Errorf("Event after the clock was set back = %v, %v; want a reload", outcome, err)
		}
	})
}

// If another program unloads again and again, gokexec gives up.
func TestUnloadedByOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &machine{}
		h := m.handler(statedir.Dir(t.TempDir()))
		arm(t, h.Dir, statedir.Wanted{})
		for n := range MaxUnloaded {
			m.unloaded = true
			if outcome, err := h.Event(t.Context()); outcome != Reloaded || err != nil || m.unloaded {
				t.Fatalf("unload %d: %v, %v; want it reloaded", n+1, outcome, err)
			}
			time.Sleep(100 * time.Hour)
		}
		for range 3 {
			m.unloaded = true
			_, err := h.Event(t.Context())
			if !errors.Is(err, ErrUnarmed) || !strings.Contains(err.Error(), "gokexec unload --crash records that none is wanted") || !m.unloaded || h.Dir.Problem() == "" || !h.Dir.Marked() {
				t.Errorf("after that: %v, marked %v, problem %q; want it said and left", err, h.Dir.Marked(), h.Dir.Problem())
			}
		}
	})
}

// The wait for a lock that is never released ends.
func TestEventWaitsNotForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &machine{memory: 1}
		h := m.handler(statedir.Dir(t.TempDir()))
		lock, err := h.Dir.LockReload(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		_, err = h.Event(t.Context())
		if !errors.Is(err, statedir.ErrLocked) || time.Since(began) < maxPatience || time.Since(began) > maxPatience+time.Minute || !h.Dir.Marked() || h.Dir.Problem() == "" {
			t.Errorf("Event = %v after %v, marked %v, problem %q; want ErrLocked after %v, and both kept", err, time.Since(began), h.Dir.Marked(), h.Dir.Problem(), maxPatience)
		}
		if len(m.told) != 1 || !strings.Contains(m.told[0], "does not end") {
			t.Errorf("told %q; want that it waits", m.told)
		}
		if err := lock.Release(); err != nil {
			t.Fatal(err)
		}
		if outcome, err := h.Event(t.Context()); outcome != Reloaded || err != nil {
			t.Errorf("the next event = %v, %v; want a reload", outcome, err)
		}
	})
}

// The daemon checks again by itself after a failure, less and less often, and stops.
func TestDaemonTriesAgain(t *testing.T) {
	for _, lost := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			m := &machine{memory: 1, unloaded: lost, fail: errors.New("busy")}
			h := m.handler(statedir.Dir(t.TempDir()))
			h.WaitForLoad = time.Millisecond
			if lost {
				arm(t, h.Dir, statedir.Wanted{Failures: 1, Last: time.Now()})
			}
			var made []time.Time // guarded by m.mu
			h.Reload = func(ctx context.Context, a Attempt) error {
				m.mu.Lock()
				made = append(made, time.Now())
				m.mu.Unlock()
				return m.reload(ctx, a)
			}
			after := func(d time.Duration) []time.Time {
				time.Sleep(d)
				m.mu.Lock()
				defer m.mu.Unlock()
				return slices.Clone(made)
			}
			ctx, cancel := context.WithCancel(t.Context())
			events := make(chan error)
			ended := make(chan error)
			go func() { ended <- h.Daemon(ctx, func() error { return <-events }) }()
			attempts := after(time.Hour)
			many := len(attempts)
			if many < 6 || many > 15 || h.Dir.Problem() == "" || !h.Dir.Marked() {
				t.Errorf("lost %v: %d attempts in an hour, problem %q; want some", lost, many, h.Dir.Problem())
			}
			for i := 1; i < many; i++ {
				if pause := attempts[i].Sub(attempts[i-1]); pause < RetryMin || pause > 2*RetryMax {
					t.Errorf("lost %v: attempt %d was %v after the one before", lost, i, pause)
				}
			}
			stopped, later := len(after(100*time.Hour)), len(after(100*time.Hour))
			if later != stopped || stopped > MaxAttempts+1 {
				t.Errorf("lost %v: %d attempts, then %d; want an end", lost, stopped, later)
			}
			m.mu.Lock()
			m.fail = nil
			m.mu.Unlock()
			if !lost { // what is lost is given up then; a stale header is looked at for each event
				events <- nil
				time.Sleep(time.Minute)
				if m.look(ctx).State != accuracy.Accurate || h.Dir.Problem() != "" || h.Dir.Marked() {
					t.Errorf("after the next event: %+v, problem %q; want it accurate", m.look(ctx), h.Dir.Problem())
				}
			}
			cancel()
			if err := <-ended; err != nil {
				t.Errorf("Daemon = %v; want nil", err)
			}
			events <- errors.New("closed") // ends its goroutine
		})
	}
}
