package memmap

import (
	"fmt"
	"io"
	"math"
	"strconv"
)

// PhysAddr is a physical address in bytes.
type PhysAddr uint64

// String returns the address as 0x and hexadecimal digits.
func (a PhysAddr) String() string { return "0x" + strconv.FormatUint(uint64(a), 16) }

// Format prints an address as String does for %v and %s, and as the number it
// is for every other verb: without it, %x would print the string in hexadecimal.
func (a PhysAddr) Format(f fmt.State, verb rune) {
	switch verb {
	case 'v', 's':
		io.WriteString(f, a.String())
	default:
		fmt.Fprintf(f, fmt.FormatString(f, verb), uint64(a))
	}
}

// maxAddr is the highest address a Range can end at, exclusive.
const maxAddr PhysAddr = math.MaxUint64

// Range is the half-open range of physical addresses [Start, End), in bytes.
// A range with End <= Start is empty. The last byte of the 64-bit space,
// 0xffffffffffffffff, can't be part of a Range; no machine has memory there.
type Range struct {
	Start PhysAddr // first byte
	End   PhysAddr // first byte after the range
}

// RangeOf returns the range of size bytes at start. It reports false if the
// range would pass the end of the 64-bit space.
func RangeOf(start PhysAddr, size uint64) (Range, bool) {
	if size > uint64(maxAddr-start) {
		return Range{}, false
	}
	return Range{start, start + PhysAddr(size)}, true
}

// RangeTo returns the range from start to last, both inclusive, as /proc and
// /sys print ranges. If last is the last byte of the 64-bit space, the range
// ends one byte before it.
func RangeTo(start, last PhysAddr) Range {
	if last == maxAddr {
		return Range{start, maxAddr}
	}
	return Range{start, last + 1}
}

// Size returns the number of bytes in r.
func (r Range) Size() uint64 {
	if r.Empty() {
		return 0
	}
	return uint64(r.End - r.Start)
}

// Empty reports whether r holds no byte.
func (r Range) Empty() bool { return r.End <= r.Start }

// Contains reports whether every byte of o lies in r. Every range contains an
// empty one.
func (r Range) Contains(o Range) bool {
	return o.Empty() || r.Start <= o.Start && o.End <= r.End
}

// ContainsAddr reports whether the byte at a lies in r.
func (r Range) ContainsAddr(a PhysAddr) bool { return r.Start <= a && a < r.End }

// Overlaps reports whether r and o have a byte in common.
func (r Range) Overlaps(o Range) bool { return !r.Intersect(o).Empty() }

// Intersect returns the bytes that r and o have in common; the zero Range if
// there are none.
func (r Range) Intersect(o Range) Range {
	x := Range{max(r.Start, o.Start), min(r.End, o.End)}
	if x.Empty() {
		return Range{}
	}
	return x
}

// String returns "[0xSTART-0xEND)"; END is exclusive.
func (r Range) String() string {
	return fmt.Sprintf("[%#x-%#x)", uint64(r.Start), uint64(r.End))
}
