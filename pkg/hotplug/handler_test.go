package hotplug

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gokexec/gokexec/pkg/accuracy"
	"github.com/gokexec/gokexec/pkg/statedir"
)

// machine is a kernel whose header follows reloads only, for processes' real locks in a
// real directory. (They can be taken in a bubble of synctest: flock(2) is only tried.)
type machine struct {
	mu             sync.Mutex
	memory, header int
	unloaded       bool
	loading        bool
	loads          int
	twoAtOnce      bool
	loadTime       time.Duration
	unknown        bool
	fail           error
	told           []string
	changesPerLoad int
	unarmed        time.Duration
	looks          int
}

func (m *machine) change() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.memory++
}

func (m *machine) look(context.Context) Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.looks++
	switch {
	case m.unloaded:
		return Status{State: accuracy.NotLoaded}
	case m.unknown:
		return Status{State: accuracy.Unverified, Detail: "hidden", Unchanged: m.memory == m.header}
	case m.memory != m.header:
		return Status{State: accuracy.Stale, Detail: "memory is missing"}
	}
	return Status{State: accuracy.Accurate}
}

func (m *machine) reload(context.Context, Attempt) error {
	m.mu.Lock()
	if m.fail != nil {
		m.mu.Unlock()
		return m.fail
	}
	m.twoAtOnce = m.twoAtOnce || m.loading
	m.loading = true
	m.loads++
	memory := m.memory
	m.mu.Unlock()
	time.Sleep(m.loadTime)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.header, m.loading, m.unloaded = memory, false, false
	m.memory += m.changesPerLoad
	m.unarmed += m.loadTime
	return nil
}

func (m *machine) handler(dir statedir.Dir) *Handler {
	return &Handler{Dir: dir, Check: m.look, Reload: m.reload, Quiet: 20 * time.Millisecond, WaitForLoad: 200 * time.Millisecond, Report: func(loud bool, line string) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.told = append(m.told, line)
	}}
}

func TestEvent(t *testing.T) {
	refused := errors.New("kexec_load_disabled is 1")
	for _, tt := range []struct {
		name  string
		m     *machine
		set   func(*Handler, statedir.Dir)
		want  Outcome
		err   string
		loads int
	}{
		{"accurate", &machine{}, nil, Fine, "", 0},
		{"stale", &machine{memory: 1}, nil, Reloaded, "", 1},
		{"nothing loaded", &machine{unloaded: true, memory: 1}, nil, Fine, "", 0},
		{"unknown, unchanged", &machine{unknown: true}, nil, Fine, "", 0},
		{"unknown, changed", &machine{unknown: true, memory: 1}, nil, Reloaded, "", 1},
		{"unknown for good", &machine{unknown: true, memory: 1, changesPerLoad: 1}, nil, Reloaded, "", 1},
		{"it keeps changing", &machine{memory: 1, changesPerLoad: 1}, nil, Reloaded, "after 3 reloads still memory is missing", 3},
		{"refused", &machine{memory: 1, fail: refused}, nil, Fine, "memory is missing: kexec_load_disabled is 1", 0},
		{"no way", &machine{memory: 1}, func(h *Handler, _ statedir.Dir) { h.Reload = nil }, Fine, "no way to reload", 0},
		{"a load was killed", &machine{unloaded: true}, func(_ *Handler, d statedir.Dir) { leave(d, "loading") }, Reloaded, "", 1},
		{"a load was killed when it was done", &machine{}, func(_ *Handler, d statedir.Dir) { leave(d, "loading") }, Fine, "", 0},
		{"an event was killed", &machine{memory: 1}, func(_ *Handler, d statedir.Dir) { leave(d, "mark.looking") }, Reloaded, "", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dir := statedir.Dir(filepath.Join(t.TempDir(), "run"))
				h := tt.m.handler(dir)
				if tt.set != nil {
					tt.set(h, dir)
				}
				got, err := h.Event(t.Context())
				if got != tt.want || tt.m.loads != tt.loads || (err == nil) != (tt.err == "") || err != nil && (!strings.Contains(err.Error(), tt.err) || !errors.Is(err, ErrStale)) {
					t.Errorf("Event = %v, %v after %d loads; want %v, %q, %d", got, err, tt.m.loads, tt.want, tt.err, tt.loads)
				}
				if dir.Marked() != (err != nil) || (dir.Problem() != "") != (err != nil) {
					t.Errorf("afterwards marked: %v, problem %q; want both only after a failure", dir.Marked(), dir.Problem())
				}
				if is(dir, "loading") || dir.Locked() {
					t.Errorf("a note of a load is left (%v), or the lock (%v)", is(dir, "loading"), dir.Locked())
				}
			})
		})
	}
}

// An event is coalesced while another waits; that one checks when the lock is free.
func TestEventCovered(t *testing.T) { synctest.Test(t, testEventCovered) }

func testEventCovered(t *testing.T) {
	dir := statedir.Dir(t.TempDir())
	m := &machine{memory: 1}
	h := m.handler(dir)
	lock, err := dir.LockReload(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := dir.LockReload(t.Context(), 10*time.Millisecond); !errors.Is(err, statedir.ErrLocked) {
		t.Errorf("a second LockReload = %v; want statedir.ErrLocked", err)
	}
	first := make(chan Outcome)
	go func() {
		outcome, err := h.Event(context.Background())
		if err != nil {
			t.Error(err)
		}
		first <- outcome
	}()
	time.Sleep(10 * h.Quiet) // the burst is over, so the first event waits for the lock
	if outcome, err := h.Event(t.Context()); outcome != Coalesced || err != nil {
		t.Errorf("second event = %v, %v; want covered", outcome, err)
	}
	m.mu.Lock()
	if m.looks != 0 {
		t.Error("a check was made without the reload lock")
	}
	m.mu.Unlock()
	if err := lock.Release(); err != nil {
		t.Fatal(err)
	}
	if outcome := <-first; outcome != Reloaded {
		t.Errorf("first event = %v; want reloaded", outcome)
	}
}

// A load by another program does not take our lock: nothing is loaded until it ends,
// and then what it has loaded is checked.
func TestEventLoadByAnother(t *testing.T) { synctest.Test(t, testEventLoadByAnother) }

func testEventLoadByAnother(t *testing.T) {
	m := &machine{unloaded: true, memory: 1}
	h := m.handler(statedir.Dir(t.TempDir()))
	h.WaitForLoad = 10 * time.Second
	time.AfterFunc(100*time.Millisecond, func() {
		lock, err := h.Dir.LockReload(context.Background(), 0)
		if err != nil {
			t.Errorf("the reload lock is held while a load is waited for: %v", err)
		} else if err := lock.Release(); err != nil {
			t.Error(err)
		}
		if outcome, err := h.Event(context.Background()); outcome != Coalesced || err != nil {
			t.Errorf("an event meanwhile = %v, %v; want covered", outcome, err)
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		m.unloaded = false
	})
	began := time.Now()
	if outcome, err := h.Event(t.Context()); outcome != Reloaded || err != nil || m.look(t.Context()).State != accuracy.Accurate || h.Dir.Marked() {
		t.Errorf("Event = %v, %v, marked %v; want a reload", outcome, err, h.Dir.Marked())
	}
	if time.Since(began) > time.Second {
		t.Errorf("Event took %v; want little more than the other load", time.Since(began))
	}
}

// A storm as of 480 GiB: 3,840 events, eight at a time, and a load that takes
// 500 ms.
func TestStorm(t *testing.T) { synctest.Test(t, testStorm) }

func testStorm(t *testing.T) {
	const events, workers = 3840, 8
	dir := statedir.Dir(t.TempDir())
	m := &machine{loadTime: 500 * time.Millisecond}
	h := m.handler(dir)
	h.Quiet = DefaultQuiet
	var left, covered atomic.Int64
	left.Store(events)
	var wg sync.WaitGroup
	var lastEvent atomic.Int64
	began := time.Now()
	for range workers {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				m.change()
				lastEvent.Store(int64(time.Since(began)))
				time.Sleep(time.Millisecond)
				outcome, err := h.Event(context.Background())
				if err != nil {
					t.Error(err)
				}
				if outcome == Coalesced {
					covered.Add(1)
				}
			}
		})
	}
	wg.Wait()
	late := time.Since(began) - time.Duration(lastEvent.Load())
	t.Logf("%d events in %v: %d covered, %d looks, %d reloads, unarmed %v, accurate %v after the last",
		events, time.Duration(lastEvent.Load()).Round(time.Millisecond), covered.Load(), m.looks, m.loads, m.unarmed, late.Round(time.Millisecond))
	if m.header != m.memory || m.twoAtOnce || dir.Marked() {
		t.Errorf("header %d of memory %d, two loads at once: %v, marked: %v; want an accurate one", m.header, m.memory, m.twoAtOnce, dir.Marked())
	}
	if m.loads > 2 || late > time.Second+m.loadTime {
		t.Errorf("%d reloads, accurate %v after the last event; want 2 at most, within 1 s and a load", m.loads, late)
	}
}

// A burst that does not end is handled nevertheless.
func TestSettleIsBounded(t *testing.T) { synctest.Test(t, testSettleIsBounded) }

func testSettleIsBounded(t *testing.T) {
	m := &machine{memory: 1}
	h := m.handler(statedir.Dir(t.TempDir()))
	h.Settle = 100 * time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	var marks sync.WaitGroup
	defer marks.Wait()
	defer cancel()
	marks.Go(func() {
		for ctx.Err() == nil {
			if err := h.Dir.Mark(); err != nil {
				t.Error(err)
			}
			time.Sleep(2 * time.Millisecond)
		}
	})
	began := time.Now()
	if outcome, err := h.Event(t.Context()); outcome != Reloaded || err != nil || time.Since(began) > time.Second {
		t.Errorf("Event = %v, %v after %v; want a reload within the bound", outcome, err, time.Since(began))
	}
}

func TestDaemon(t *testing.T) { synctest.Test(t, testDaemon) }

func testDaemon(t *testing.T) {
	m := &machine{memory: 1} // something happened before it started
	h := m.handler(statedir.Dir(t.TempDir()))
	events := make(chan error)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- h.Daemon(ctx, func() error { return <-events }) }()
	idle := func() {
		time.Sleep(RetryMin / 2) // longer than an event takes
		synctest.Wait()
	}
	accurate := func(when string) {
		t.Helper()
		idle()
		if now := m.look(ctx); now.State != accuracy.Accurate || h.Dir.Marked() {
			t.Fatalf("%s: %+v, marked %v; want accurate", when, now, h.Dir.Marked())
		}
	}
	accurate("at the start")
	for range 100 {
		m.change()
		events <- nil
	}
	accurate("after a burst")
	if m.loads > 4 {
		t.Errorf("%d reloads for 100 events at once; want few", m.loads)
	}
	before := m.looks
	m.fail = errors.New("no")
	m.change()
	events <- nil
	idle()
	m.fail = nil
	if h.Dir.Problem() == "" {
		t.Error("an event that could not be repaired leaves no problem")
	}
	if n := m.looks - before; n != 2 || m.look(ctx).State != accuracy.Stale {
		t.Errorf("the daemon checked %d times after one event that it could not repair; want two, before and after the reload", n)
	}
	events <- nil
	accurate("after a failure and an event")
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Daemon = %v after the end of its context; want nil", err)
	}

	broken := errors.New("socket broken")
	if err := h.Daemon(t.Context(), func() error { return broken }); !errors.Is(err, broken) {
		t.Errorf("Daemon with a broken socket = %v; want that", err)
	}
	events <- os.ErrClosed // ends the first one's goroutine
}

// Where nothing can be written there is still one loader at a time, and the header
// follows.
func TestEventUnwritable(t *testing.T) { synctest.Test(t, testEventUnwritable) }

func testEventUnwritable(t *testing.T) {
	parent := t.TempDir()
	// The lock is on "file", which nobody else can open.
	if err := os.WriteFile(filepath.Join(parent, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	m := &machine{memory: 1, loadTime: 20 * time.Millisecond}
	h := m.handler(statedir.Dir(filepath.Join(parent, "file", "run"))) // no directory can be made there
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if outcome, err := h.Event(context.Background()); outcome == Coalesced || err != nil {
				t.Errorf("Event = %v, %v; want it handled", outcome, err)
			}
		})
	}
	wg.Wait()
	if m.header != 1 || m.loads != 1 || m.twoAtOnce {
		t.Errorf("header %d after %d loads, two at once: %v; want 1 after 1", m.header, m.loads, m.twoAtOnce)
	}
	if len(m.told) == 0 || !strings.Contains(m.told[0], "marked") {
		t.Errorf("told %q; want that events can't be marked", m.told)
	}
}

func TestNotify(t *testing.T) {
	if err := Notify("READY=1"); err != nil {
		t.Errorf("Notify without a service manager = %v; want nil", err)
	}
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	if err := Notify("READY=1"); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 64)
	if n, err := conn.Read(b); err != nil || string(b[:n]) != "READY=1" {
		t.Errorf("the service manager reads %q, %v; want READY=1", b[:n], err)
	}
	t.Setenv("NOTIFY_SOCKET", "relative")
	if err := Notify("READY=1"); err == nil {
		t.Error("Notify with a relative socket succeeds; want an error")
	}
}
