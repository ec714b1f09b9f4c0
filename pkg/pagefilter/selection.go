package pagefilter

import (
	"context"
	"fmt"
)

// Selection leaves out what one dump level says. It implements kdumpfile.Filter and may be used
// concurrently if the Filter may.
type Selection struct {
	f        *Filter
	excluded left
	known    *runs // nil: none
}

// Selection returns the selection of a level. The classes that s has refused are kept; with a nil s
// nothing has been checked, and only the classes that VMCOREINFO does not describe are.
func (f *Filter) Selection(level Level, s *Survey) *Selection {
	sel, refused := &Selection{f: f}, f.rules.unknown
	if s != nil {
		refused = s.Refused
	}
	for c := range NumClasses {
		sel.excluded[c] = Class(c) != Zero && level.excludesBut(Class(c), refused)
	}
	if s != nil && s.left.within(sel.excluded) {
		sel.known = s.known
	}
	return sel
}

// within reports whether all of l are in m, too.
func (l left) within(m left) bool {
	for c := range l {
		if l[c] && !m[c] {
			return false
		}
	}
	return true
}

// Filter clears in keep the bits of the page frames to leave out. Bit i (word i/64, bit i%64) is
// page frame first+i. first is a multiple of WindowPages, and keep has at most WindowPages bits.
func (s *Selection) Filter(ctx context.Context, first uint64, keep []uint64) error {
	if first%WindowPages != 0 || len(keep) > WindowPages/64 {
		return fmt.Errorf("page filter: %d page frames from %#x are no window", 64*len(keep), first)
	}
	if !s.any(keep) {
		return nil
	}
	known := s.known.of(first)
	if known == nil {
		return s.classify(ctx, first, keep)
	}
	for at, end := uint64(0), 64*uint64(len(keep)); at < end; {
		var c Class
		var n uint64
		c, n, known = nextRun(known)
		n = min(n, end-at)
		switch {
		case c == mixed:
			if err := s.classify(ctx, first+at, keep[at/64:(at+n)/64]); err != nil {
				return err
			}
		case s.excluded[c]:
			clearBits(keep, at, at+n)
		}
		at += n
	}
	return nil
}

// classify clears the bits of the page frames from first on that their struct pages say are left out.
func (s *Selection) classify(ctx context.Context, first uint64, keep []uint64) error {
	buf := s.f.windows.Get().(*[]Class)
	defer s.f.windows.Put(buf)
	classes := (*buf)[:64*len(keep)]
	if _, err := s.f.classify(ctx, first, classes, s.excluded); err != nil {
		return err
	}
	for i, w := range keep {
		if w == 0 {
			continue
		}
		out := uint64(0)
		for j, c := range classes[64*i : 64*i+64] {
			if s.excluded[c] {
				out |= 1 << j
			}
		}
		keep[i] = w &^ out
	}
	return nil
}

// any reports whether there is a page frame to decide about, and a class to leave out.
func (s *Selection) any(keep []uint64) bool {
	if s.excluded == (left{}) {
		return false
	}
	for _, w := range keep {
		if w != 0 {
			return true
		}
	}
	return false
}
