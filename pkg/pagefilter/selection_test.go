package pagefilter_test

import (
	"context"
	"errors"
	"iter"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/gokexec/gokexec/internal/dumptest"
	"github.com/gokexec/gokexec/pkg/memmap"
	"github.com/gokexec/gokexec/pkg/pagefilter"
)

// memoryBits yields the windows of a machine with the bits of its page frames set, in a slice that is used
// again.
func memoryBits(t testing.TB, f *pagefilter.Filter) iter.Seq2[uint64, []uint64] {
	return func(yield func(uint64, []uint64) bool) {
		keep := make([]uint64, pagefilter.WindowPages/64)
		err := f.EachMemory(0, 1<<40, func(from, to uint64) error {
			for first := from &^ (pagefilter.WindowPages - 1); first < to; first += pagefilter.WindowPages {
				clear(keep)
				for pfn := max(from, first); pfn < min(to, first+pagefilter.WindowPages); pfn++ {
					keep[(pfn-first)/64] |= 1 << (pfn % 64)
				}
				if !yield(first, keep) {
					return errors.New("stopped")
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// What is left out is what the level says, 0 no less than what must not be read, and what is no memory isn't touched, whether the survey remembers the classes or not.
func TestSelectionLevels(t *testing.T) {
	ks := dumptest.Kernels()
	s := newStates(dumptest.X86Paging(4, 0), ks[len(ks)-1])
	f, sv := survey(t, s)
	forgot := *sv
	forgot.Forget()
	window := classes(t, f, 0)
	for i := range 2 * (pagefilter.MaxLevel + 1) {
		level := i / 2
		sel := f.Selection(level, []*pagefilter.Survey{sv, &forgot}[i%2])
		for first, keep := range memoryBits(t, f) {
			before := slices.Clone(keep)
			if err := sel.Filter(context.Background(), first, keep); err != nil {
				t.Fatal(err)
			}
			for i := range keep {
				if keep[i]&^before[i] != 0 {
					t.Fatalf("level %d sets bits from page frame %#x on: %#x became %#x", level, first+64*uint64(i), before[i], keep[i])
				}
				for j := range 64 {
					class := window[64*i+j]
					if got, want := keep[i]>>j&1 != 0, before[i]>>j&1 != 0 && !level.Excludes(class); got != want {
						t.Fatalf("level %d, page frame %#x (%v): kept %v; want %v", level, 64*i+j, class, got, want)
					}
				}
			}
		}
	}
	if err := f.Selection(31, sv).Filter(context.Background(), 1, make([]uint64, 1)); err == nil {
		t.Error("Filter() takes a window that is none")
	}
	if err := f.Classify(context.Background(), 0, make([]pagefilter.Class, pagefilter.WindowPages+1)); err == nil {
		t.Error("Classify() takes more than a window")
	}
}

// The kernel image is kept whatever its struct pages say, and so is what the options name.
func TestImageIsKept(t *testing.T) {
	for _, p := range dumptest.Pagings() {
		t.Run(p.Name, func(t *testing.T) {
			m := dumptest.NewMachine(p, dumptest.Kernels()[0], 192<<20+8192<<p.Page)
			first, end := p.ImagePhys>>p.Page, (p.ImagePhys+16<<20)>>p.Page
			other := (p.RAM + 192<<20) >> p.Page
			for pfn := first; pfn < end; pfn++ {
				m.Anon(pfn)
			}
			m.Anon(other)
			m.Anon(other + 1)
			kept1 := memmap.NewSet(memmap.Range{Start: memmap.PhysAddr(other<<p.Page) + 1, End: memmap.PhysAddr(other<<p.Page) + 2})
			f, err := pagefilter.New(m, pagefilter.Options{Keep: kept1})
			if err != nil {
				t.Fatal(err)
			}
			window := first &^ (pagefilter.WindowPages - 1)
			c := classes(t, f, window)
			for pfn := first; pfn < end; pfn++ {
				if c[pfn-window] != kept {
					t.Fatalf("page frame %#x of the image is %v", pfn, c[pfn-window])
				}
			}
			if c[other-window] != kept || c[other+1-window] != user {
				t.Errorf("with Options.Keep the page is %v, the next %v; want kept and user", c[other-window], c[other+1-window])
			}
		})
	}
}

// segmented is a machine whose dump has the PT_LOAD of the kernel image.
type segmented struct {
	*dumptest.Machine
	size memmap.PhysAddr
}

func (s *segmented) SegmentAt(addr uint64) (memmap.Range, bool) {
	start := memmap.PhysAddr(s.ImagePhys)
	return memmap.Range{Start: start, End: start + s.size}, addr == s.ImageVirt
}

// The PT_LOAD of the image says where it ends; one that has more than an image is a direct map.
func TestImageSegment(t *testing.T) {
	for _, size := range []memmap.PhysAddr{8 << 20, 1<<30 + 1} {
		m := dumptest.NewMachine(dumptest.X86Paging(4, 0), dumptest.Kernels()[0], 256<<20)
		in, out := (m.ImagePhys+8<<20)>>12-1, (m.ImagePhys+8<<20)>>12
		m.Anon(in)
		m.Anon(out)
		f, err := pagefilter.New(&segmented{m, size}, pagefilter.Options{})
		if err != nil {
			t.Fatal(err)
		}
		want := user
		if size > 1<<30 {
			want = kept // by the page tables, which map 64 MiB
		}
		if c := classes(t, f, 0); c[in] != kept || c[out] != want {
			t.Errorf("PT_LOAD of %d bytes: last page %v, next %v; want kept and %v", size, c[in], c[out], want)
		}
	}
}

// A survey that is cancelled ends with the context's error; progress is reported window by window.
func TestSurveyContext(t *testing.T) {
	m := dumptest.NewMachine(dumptest.X86Paging(4, 0), dumptest.Kernels()[0], 8<<30)
	f, err := pagefilter.New(m, pagefilter.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var calls atomic.Int32
	_, err = f.Survey(ctx, pagefilter.SurveyOptions{Workers: 1, Advance: func(p pagefilter.Progress) {
		if p.Done == 0 || p.Done > p.Total || p.Total != 8<<30>>12 {
			t.Errorf("Progress = %+v", p)
		}
		if calls.Add(1) == 2 {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) || calls.Load() > 4 {
		t.Errorf("Survey() = %v after %d windows; want context.Canceled after 2", err, calls.Load())
	}
}
