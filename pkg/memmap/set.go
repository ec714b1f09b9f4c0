package memmap

import (
	"cmp"
	"slices"
	"strings"
)

// Set is a set of physical addresses. The zero Set is empty. A Set never
// changes; its methods return new ones, and it may be shared.
type Set struct {
	r []Range // sorted, none empty, none touching another
}

// NewSet returns the set of all bytes in the ranges, which may be empty, touch,
// overlap and be in any order.
func NewSet(ranges ...Range) Set {
	rs := make([]Range, 0, len(ranges))
	for _, r := range ranges {
		if !r.Empty() {
			rs = append(rs, r)
		}
	}
	byStart := func(a, b Range) int { return cmp.Compare(a.Start, b.Start) }
	if !slices.IsSortedFunc(rs, byStart) {
		slices.SortFunc(rs, byStart)
	}
	return Set{merge(rs)}
}

// merge joins what touches or overlaps in rs, which is sorted by Start and is
// overwritten.
func merge(rs []Range) []Range {
	out := rs[:0]
	for _, r := range rs {
		if n := len(out); n > 0 && r.Start <= out[n-1].End {
			out[n-1].End = max(out[n-1].End, r.End)
			continue
		}
		out = append(out, r)
	}
	return out
}

// Ranges returns the set as ascending ranges, of which none is empty and none
// touches another. The caller may change the slice.
func (s Set) Ranges() []Range { return slices.Clone(s.r) }

// Len returns the number of ranges that Ranges returns.
func (s Set) Len() int { return len(s.r) }

// Empty reports whether the set holds no byte.
func (s Set) Empty() bool { return len(s.r) == 0 }

// Size returns the number of bytes in the set.
func (s Set) Size() uint64 {
	var n uint64
	for _, r := range s.r {
		n += r.Size()
	}
	return n
}

// Equal reports whether s and o hold the same bytes.
func (s Set) Equal(o Set) bool { return slices.Equal(s.r, o.r) }

// Union returns the bytes that are in s or in o.
func (s Set) Union(o Set) Set {
	rs := make([]Range, 0, len(s.r)+len(o.r))
	i, j := 0, 0
	for i < len(s.r) || j < len(o.r) {
		if j == len(o.r) || i < len(s.r) && s.r[i].Start <= o.r[j].Start {
			rs = append(rs, s.r[i])
			i++
			continue
		}
		rs = append(rs, o.r[j])
		j++
	}
	return Set{merge(rs)}
}

// Intersect returns the bytes that are in both s and o.
func (s Set) Intersect(o Set) Set {
	var rs []Range
	for i, j := 0, 0; i < len(s.r) && j < len(o.r); {
		if x := s.r[i].Intersect(o.r[j]); !x.Empty() {
			rs = append(rs, x)
		}
		if s.r[i].End <= o.r[j].End {
			i++
		} else {
			j++
		}
	}
	return Set{rs}
}

// Minus returns the bytes that are in s but not in o.
func (s Set) Minus(o Set) Set {
	var rs []Range
	j := 0
	for _, r := range s.r {
		for j < len(o.r) && o.r[j].End <= r.Start {
			j++
		}
		for k := j; k < len(o.r) && o.r[k].Start < r.End; k++ {
			if r.Start < o.r[k].Start {
				rs = append(rs, Range{r.Start, o.r[k].Start})
			}
			r.Start = min(r.End, o.r[k].End)
			j = k // a long range of o may reach into the next of s
		}
		if !r.Empty() {
			rs = append(rs, r)
		}
	}
	return Set{rs}
}

// Find returns the range of the set that holds the byte at a.
func (s Set) Find(a PhysAddr) (Range, bool) {
	i := s.after(a)
	if i == 0 || s.r[i-1].End <= a {
		return Range{}, false
	}
	return s.r[i-1], true
}

// Next returns what of the set comes first at or after a: the rest of the range that holds a, or the
// next one. It is false if there is nothing.
func (s Set) Next(a PhysAddr) (Range, bool) {
	i := s.after(a)
	if i > 0 && s.r[i-1].End > a {
		return Range{Start: a, End: s.r[i-1].End}, true
	}
	if i == len(s.r) {
		return Range{}, false
	}
	return s.r[i], true
}

// after returns the index of the first range that starts after a.
func (s Set) after(a PhysAddr) int {
	i, _ := slices.BinarySearchFunc(s.r, a, func(r Range, a PhysAddr) int {
		if r.Start <= a {
			return -1
		}
		return 1
	})
	return i
}

// Contains reports whether every byte of r is in the set. Every set contains
// an empty range.
func (s Set) Contains(r Range) bool {
	if r.Empty() {
		return true
	}
	f, ok := s.Find(r.Start)
	return ok && r.End <= f.End
}

// Overlaps reports whether the set and r have a byte in common.
func (s Set) Overlaps(r Range) bool {
	if r.Empty() {
		return false
	}
	if _, ok := s.Find(r.Start); ok {
		return true
	}
	i := s.after(r.Start)
	return i < len(s.r) && s.r[i].Start < r.End
}

// String returns the ranges as Range.String prints them, with a blank between
// them.
func (s Set) String() string {
	var b strings.Builder
	for i, r := range s.r {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(r.String())
	}
	return b.String()
}
