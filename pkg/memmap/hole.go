package memmap

import (
	"errors"
	"fmt"
	"slices"
)

// ErrNoSpace is returned by Set.Place when no place in the set is large enough.
var ErrNoSpace = errors.New("no space")

// Hole says what place is looked for in a Set.
type Hole struct {
	Size  uint64   // bytes, more than 0
	Align uint64   // of the start, a power of two; 0 and 1 mean any address
	Min   PhysAddr // the place starts here or above
	Max   PhysAddr // the place ends here or below; 0 means no bound

	// TopDown takes the highest place instead of the lowest.
	TopDown bool
}

// Place returns the lowest, or highest, range of h.Size bytes that lies in the
// set and within the bounds. The error wraps ErrNoSpace if there is none.
func (s Set) Place(h Hole) (Range, error) {
	if h.Size == 0 {
		return Range{}, errors.New("place for 0 bytes asked for")
	}
	if h.Align&(h.Align-1) != 0 {
		return Range{}, fmt.Errorf("alignment %#x is not a power of two", h.Align)
	}
	bound := Range{h.Min, h.Max}
	if h.Max == 0 {
		bound.End = maxAddr
	}
	ranges := slices.All(s.r)
	if h.TopDown {
		ranges = slices.Backward(s.r)
	}
	for _, r := range ranges {
		if p, ok := h.in(r.Intersect(bound)); ok {
			return p, nil
		}
	}
	return Range{}, fmt.Errorf("%w for %#x bytes aligned to %#x in %v: the largest free range there has %#x bytes",
		ErrNoSpace, h.Size, max(h.Align, 1), bound, s.largest(bound))
}

// in returns the place for the hole in r.
func (h Hole) in(r Range) (Range, bool) {
	if r.Size() < h.Size {
		return Range{}, false
	}
	mask := PhysAddr(max(h.Align, 1) - 1)
	last := r.End - PhysAddr(h.Size) // the highest start without alignment
	start := last &^ mask
	if !h.TopDown {
		if up := -r.Start & mask; up <= last-r.Start {
			start = r.Start + up
		}
	}
	if start < r.Start {
		return Range{}, false
	}
	return Range{start, start + PhysAddr(h.Size)}, true
}

// largest returns the size of the largest range of s within bound, in bytes.
func (s Set) largest(bound Range) uint64 {
	var n uint64
	for _, r := range s.r {
		n = max(n, r.Intersect(bound).Size())
	}
	return n
}
