package capture

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestProgressLine(t *testing.T) {
	tests := []struct {
		at      step
		elapsed time.Duration
		want    string
	}{
		{step{all: 207519}, 0, "vmcore   0%  0 of 207519 pages"},
		{step{pages: 93262, all: 207519, saved: 93262, kept: 207519}, 5380 * time.Millisecond, "vmcore  44%  93262 of 207519 pages  71 MB/s  ETA 7s"},
		{step{pages: 207519, all: 207519, saved: 207519, kept: 207519}, 12340 * time.Millisecond, "vmcore 100%  207519 of 207519 pages  69 MB/s  in 12.3s"},
		{step{pages: 60000, all: 131072, saved: 18200, kept: 41418}, time.Second, "vmcore  43%  18200 of 41418 pages, kept of 131072  75 MB/s  ETA 1s"},
		{step{pages: 65536, all: 131072}, time.Second, "vmcore  50%  65536 of 131072 pages  268 MB/s  ETA 1s"},
		{step{}, time.Second, "vmcore 100%  0 of 0 pages"},
		{step{pages: 1 << 50, all: 1<<50 + 1<<49, saved: 1 << 50, kept: 1<<50 + 1<<49}, time.Hour, "vmcore  66%  1125899906842624 of 1688849860263936 pages  1281023894 MB/s  ETA 30m0s"},
	}
	for _, tt := range tests {
		start := time.Unix(0, 0)
		p := newProgress(nil, VMCoreName, false, 4096, start)
		if got := p.line(tt.at, start.Add(tt.elapsed)); got != tt.want {
			t.Errorf("line(%+v, %v) = %q; want %q", tt.at, tt.elapsed, got, tt.want)
		}
	}
}

// TestProgressRate: at most one line a second on a screen, one in five on a
// serial console, whatever the number of updates.
func TestProgressRate(t *testing.T) {
	for _, replace := range []bool{true, false} {
		var out bytes.Buffer
		start := time.Unix(0, 0)
		p := newProgress(&out, VMCoreName, replace, 4096, start)
		for ms := range int64(20000) {
			p.update(step{pages: uint64(ms) * 50, all: 1e6}, start.Add(time.Duration(ms)*time.Millisecond))
		}
		p.finish(step{pages: 1e6, all: 1e6}, start.Add(20*time.Second))
		lines := strings.Count(out.String(), "vmcore")
		want := 4
		if replace {
			want = 20
		}
		if lines != want {
			t.Errorf("replace %v: %d lines; want %d", replace, lines, want)
		}
		if got := strings.Contains(out.String(), "\r"); got != replace || !strings.HasSuffix(out.String(), "\n") {
			t.Errorf("replace %v: shown %q", replace, out.String())
		}
	}
}

func TestProgressCoversLongerLine(t *testing.T) {
	var out bytes.Buffer
	p := newProgress(&out, VMCoreName, true, 4096, time.Now())
	p.show("a long line")
	p.show("short")
	if got, want := out.String(), "\ra long line\rshort      "; got != want {
		t.Errorf("shown %q; want %q", got, want)
	}
}

func TestWithin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		if got, err := within(ctx, time.Second, "x", func() (int, error) { return 7, nil }); got != 7 || err != nil {
			t.Errorf("within = %d, %v", got, err)
		}
		slow := func() (int, error) { time.Sleep(time.Minute); return 1, nil }
		if _, err := within(ctx, time.Second, "x", slow); !errors.Is(err, ErrStalled) {
			t.Errorf("within: %v; want ErrStalled", err)
		}
		if _, err := within(ctx, time.Second, "x", func() (int, error) { panic("planted") }); err == nil || !strings.Contains(err.Error(), "planted") {
			t.Errorf("within: %v; want the panic", err)
		}
		cancelled, cancel := context.WithCancel(ctx)
		cancel()
		if _, err := within(cancelled, time.Second, "x", slow); !errors.Is(err, context.Canceled) {
			t.Errorf("within: %v; want Canceled", err)
		}
		time.Sleep(2 * time.Minute)
	})
}

// TestBounded: work that stays alive may take any time; what doesn't is
// given up after one to two limits.
func TestBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got, err := bounded(t.Context(), time.Minute, "x", func(touch func()) (int, error) {
			for range 100 {
				time.Sleep(40 * time.Second)
				touch()
			}
			return 7, nil
		})
		if got != 7 || err != nil {
			t.Errorf("bounded = %d, %v", got, err)
		}
		start := time.Now()
		_, err = bounded(t.Context(), time.Minute, "x", func(touch func()) (int, error) {
			touch()
			time.Sleep(time.Hour)
			return 7, nil
		})
		if d := time.Since(start); !errors.Is(err, ErrStalled) || d < time.Minute || d > 2*time.Minute {
			t.Errorf("bounded: %v after %v; want ErrStalled", err, d)
		}
		if _, err := bounded(t.Context(), time.Minute, "x", func(func()) (int, error) { panic("planted") }); err == nil || !strings.Contains(err.Error(), "planted") {
			t.Errorf("bounded: %v; want the panic", err)
		}
		time.Sleep(2 * time.Hour)
	})
}
