package stack

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

const timeout = 20 * time.Second

func (w *world) assembler() *Assembler { return NewAssembler(w.k, func(string, ...any) {}) }

// assemble sets the world's stack up, with the clock of a bubble.
func (w *world) assemble() (*Assembled, error) {
	return w.assembler().Assemble(w.t.(*testing.T).Context(), w.s, Options{Timeout: timeout})
}

func bubble(t *testing.T, name string, f func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}

// tables prints the maps as they are.
func (k *fakeSystem) tables() string {
	var b strings.Builder
	for _, m := range k.maps {
		for _, row := range m.table {
			fmt.Fprintf(&b, "%s %v: %d %d %s %s\n", m.name, m.number, row.Start, row.Length, row.Type, row.Args)
		}
	}
	return b.String()
}

func TestAssemble(t *testing.T) { synctest.Test(t, testAssemble) }

func testAssemble(t *testing.T) {
	w := rich(t)
	// Disks come late, the last one first.
	for i, d := range w.k.disks {
		d.after = 3 * (len(w.k.disks) - i)
	}
	x, err := w.assemble()
	if err != nil {
		t.Fatal(err)
	}
	want := `mpath2 254:7: 0 16384 multipath 0 0 2 1 service-time 0 1 2 8:640 1 1 service-time 0 1 2 8:624 1 1
r_rmeta_0 254:8: 0 2048 linear 8:576 2048
r_rimage_0 254:9: 0 8192 linear 8:576 4096
r_rmeta_1 254:10: 0 2048 linear 8:560 2048
r_rimage_1 254:11: 0 8192 linear 8:560 4096
r 254:12: 0 8192 raid raid1 3 0 region_size 1024 2 254:8 254:9 254:10 254:11
t-tmeta 254:13: 0 4096 linear 8:544 2048
t-tdata 254:14: 0 8192 linear 8:544 6144
t-tpool 254:15: 0 8192 thin-pool 254:13 254:14 128 0 1 error_if_no_space
t 254:16: 0 204800 thin 254:15 1
o-real 254:17: 0 4096 linear 8:528 2048
o-cow 254:18: 0 2048 linear 8:528 6144
o-snap 254:19: 0 4096 snapshot 254:17 254:18 P 8
o 254:20: 0 4096 snapshot-origin 254:17
both 254:21: 0 8192 linear 254:7 0
both 254:21: 8192 8192 linear 259:12701 8
`
	if got := w.k.tables(); got != want {
		t.Errorf("tables:\n%swant:\n%s", got, want)
	}
	if a := w.k.arrays[0]; a.name != "md127" || a.state != "read-auto" || !a.frozen || len(a.members) != 2 {
		t.Errorf("array %+v; want md127 of two, read-auto and frozen", a)
	}
	if got, want := x.Node()+" "+x.Options(), "/dev/dm-21 device=/dev/dm-12,device=/dev/dm-16,device=/dev/dm-20"; got != want {
		t.Errorf("node and options: %s; want %s", got, want)
	}
	// The snapshot: 90 % of 2032 sectors. The pool has 54 blocks of 64 KiB.
	if room, bounded, err := x.Room(); room != 936345 || !bounded || err != nil {
		t.Errorf("Room = %d, %v, %v; want 936345", room, bounded, err)
	}
	w.k.status["o-snap"] = "Invalid"
	if room, bounded, err := x.Room(); room != 54*64<<10 || !bounded || err != nil {
		t.Errorf("Room = %d, %v, %v; want that of the pool", room, bounded, err)
	}
	w.closed(x)
	if len(w.k.wrong) > 0 {
		t.Errorf("%v", w.k.wrong)
	}
}

// closed closes a stack, after which nothing may remain.
func (w *world) closed(x *Assembled) {
	w.t.Helper()
	if err := x.Close(); err != nil || len(w.k.remains()) > 0 {
		w.t.Errorf("Close = %v; %v remain", err, w.k.remains())
	}
}

// Whatever call fails, all is taken down again.
func TestEachCallFails(t *testing.T) {
	total := 0
	bubble(t, "whole", func(t *testing.T) {
		w := rich(t)
		if _, err := w.assemble(); err != nil {
			t.Fatal(err)
		}
		total = len(w.k.calls)
	})
	if total < 60 {
		t.Fatalf("%d calls", total)
	}
	for n := range total {
		synctest.Test(t, func(t *testing.T) {
			w := rich(t)
			w.k.fail = n
			x, err := w.assemble()
			what := w.k.calls[n]
			if err == nil {
				// Disks are searched for, and read, until they are there.
				if !strings.HasPrefix(what, "find") && !strings.HasPrefix(what, "open") {
					t.Errorf("call %d (%s) fails: no error", n, what)
				}
				w.closed(x)
				return
			}
			if !errors.Is(err, errInjected) {
				t.Errorf("call %d (%s) fails: %v; want that error", n, what, err)
			}
			if left := w.k.remains(); len(left) > 0 {
				t.Errorf("call %d (%s) fails: %v remain", n, what, left)
			}
		})
	}
}

func TestBusy(t *testing.T) {
	bubble(t, "for a moment", func(t *testing.T) {
		w := rich(t)
		x, err := w.assemble()
		if err != nil {
			t.Fatal(err)
		}
		w.k.opened["both"], w.k.opened["md127"] = 3, 2
		w.closed(x)
		if err := x.Close(); err != nil {
			t.Errorf("Close again = %v", err)
		}
	})
	bubble(t, "for ever", func(t *testing.T) {
		w := rich(t)
		a := w.assembler()
		o := Options{Timeout: timeout}
		x, err := a.Assemble(t.Context(), w.s, o)
		if err != nil {
			t.Fatal(err)
		}
		w.k.opened["both"] = math.MaxInt
		start := time.Now()
		err = x.Close()
		if !errors.Is(err, unix.EBUSY) || !strings.Contains(err.Error(), "remove the map both (254:21): ") {
			t.Errorf("Close = %v; want EBUSY of both", err)
		}
		if got, want := w.k.remains(), []string{"array md127", "map both", "map mpath2"}; !slices.Equal(got, want) {
			t.Errorf("%v remain; want %v: the rest is removed", got, want)
		}
		if took := time.Since(start); took > 2*busyTime {
			t.Errorf("Close took %v", took)
		}
		// Another target uses what was left.
		w.k.opened["both"] = 0
		if x, err = a.Assemble(t.Context(), w.s, o); err != nil {
			t.Fatal(err)
		}
		w.closed(x)
	})
}

// What two targets have in common is made once, and goes with the last.
func TestShared(t *testing.T) { synctest.Test(t, testShared) }

func testShared(t *testing.T) {
	w := rich(t)
	a := w.assembler()
	o := Options{Timeout: timeout}
	first, err := a.Assemble(t.Context(), w.s, o)
	if err != nil {
		t.Fatal(err)
	}
	made := w.k.remains()
	other := *w.s
	other.Tops = []Top{{Layer: w.s.Tops[2].Layer}}
	second, err := a.Assemble(t.Context(), &other, o)
	if err != nil {
		t.Fatal(err)
	}
	if got := w.k.remains(); !slices.Equal(got, made) || second.Node() != "/dev/dm-16" {
		t.Errorf("%v, node %s; want no more than %v", got, second.Node(), made)
	}
	if err := first.Close(); err != nil || len(w.k.remains()) != len(made) {
		t.Errorf("Close of the first = %v, %v remain; want all", err, w.k.remains())
	}
	// A map with another table is another map.
	changed := *w.s
	changed.Layers = slices.Clone(w.s.Layers)
	last := &changed.Layers[len(changed.Layers)-1]
	m := *last.Map
	m.ReadOnly = true
	last.Map = &m
	if _, err := a.Assemble(t.Context(), &changed, o); err == nil || !strings.Contains(err.Error(), "for another target") {
		t.Errorf("Assemble of another table = %v", err)
	}
	w.closed(second)
}

// A call that hangs stops nobody who does not need the very device, and takes all down when it returns.
func TestHangs(t *testing.T) { synctest.Test(t, testHangs) }

func testHangs(t *testing.T) {
	w := newWorld(t)
	pv := w.pv()
	first := w.dm("first", mib, "linear", "@%d 0", pv)
	w.dm("second", mib, "linear", "@%d 4096", pv)
	w.top(first)
	one, two := *w.s, *w.s
	one.Layers = w.s.Layers[:2]
	two.Layers = []Layer{w.s.Layers[0], w.s.Layers[2]}
	a := w.assembler()
	o := Options{Timeout: timeout}
	w.k.hang, w.k.hung = "resume first", make(chan struct{})
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	given := make(chan error)
	go func() {
		_, err := a.Assemble(ctx, &one, o)
		given <- err
	}()
	time.Sleep(2 * time.Second)
	x, err := a.Assemble(t.Context(), &two, o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Assemble(t.Context(), w.s, o); err == nil || !strings.Contains(err.Error(), "dm-1 (map first): it was left half made, or is being made") {
		t.Errorf("Assemble of what hangs = %v", err)
	}
	close(w.k.hung)
	if err := <-given; !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("what hung = %v; want the deadline", err)
	}
	if got := w.k.remains(); !slices.Equal(got, []string{"map second"}) {
		t.Errorf("%v remain; want the second map", got)
	}
	w.closed(x)
}

// A context that ends stops the waiting for disks and partitions.
func TestContext(t *testing.T) {
	for name, spoil := range map[string]func(w *world){"disks": func(w *world) { w.k.disks = nil }, "partition": func(w *world) { clear(w.k.parts) }} {
		bubble(t, name, func(t *testing.T) {
			w := rich(t)
			spoil(w)
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			touched := 0
			start := time.Now()
			_, err := w.assembler().Assemble(ctx, w.s, Options{Timeout: time.Hour, Touch: func() { touched++ }})
			if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 4*time.Second {
				t.Errorf("Assemble = %v after %v; want the deadline", err, time.Since(start))
			}
			if touched < 10 || len(w.k.remains()) > 0 {
				t.Errorf("%d touches, %v remain", touched, w.k.remains())
			}
		})
	}
}

// A key in a table is in no error.
func TestNoKeyInErrors(t *testing.T) {
	const key = "00112233445566778899aabbccddeeff"
	for n := range 12 {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.top(w.dm("crypt", mib, "crypt", "aes-xts-plain64 %s 0 @%d 4096", key, w.pv()))
			if w.k.fail = n; n == 0 {
				w.k.fail = -1
				w.s.Layers[1].Size++
			}
			if _, err := w.assemble(); err != nil && strings.Contains(err.Error(), key[:8]) {
				t.Errorf("call %d fails: %v", n, err)
			}
		})
	}
}
