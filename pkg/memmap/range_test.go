package memmap

import (
	"fmt"
	"testing"
)

const top = ^PhysAddr(0)

func TestRange(t *testing.T) {
	tests := []struct {
		name      string
		a, b      Range
		contains  bool // a contains b
		intersect Range
	}{
		{"apart", Range{0, 1}, Range{2, 3}, false, Range{}},
		{"touching", Range{0, 1}, Range{1, 3}, false, Range{}},
		{"overlapping", Range{0, 2}, Range{1, 3}, false, Range{1, 2}},
		{"nested", Range{0, 9}, Range{1, 3}, true, Range{1, 3}},
		{"nested the other way", Range{1, 3}, Range{0, 9}, false, Range{1, 3}},
		{"equal", Range{4, 8}, Range{4, 8}, true, Range{4, 8}},
		{"empty in it", Range{4, 8}, Range{6, 6}, true, Range{}},
		{"empty elsewhere", Range{4, 8}, Range{9, 9}, true, Range{}},
		{"backwards", Range{4, 8}, Range{7, 5}, true, Range{}},
		{"at the top", Range{0, top}, Range{top - 1, top}, true, Range{top - 1, top}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.a.Contains(tt.b); got != tt.contains {
				t.Errorf("%v.Contains(%v) = %v; want %v", tt.a, tt.b, got, tt.contains)
			}
			if got := tt.a.Intersect(tt.b); got != tt.intersect {
				t.Errorf("%v.Intersect(%v) = %v; want %v", tt.a, tt.b, got, tt.intersect)
			}
			if got, want := tt.a.Overlaps(tt.b), !tt.intersect.Empty(); got != want {
				t.Errorf("%v.Overlaps(%v) = %v; want %v", tt.a, tt.b, got, want)
			}
		})
	}
}

func TestRangeOf(t *testing.T) {
	tests := []struct {
		start PhysAddr
		size  uint64
		want  Range
		ok    bool
	}{
		{0x1000, 0x1000, Range{0x1000, 0x2000}, true},
		{top - 1, 1, Range{top - 1, top}, true},
		{top - 1, 2, Range{}, false},
		{1, ^uint64(0), Range{}, false},
		{0, ^uint64(0), Range{0, top}, true},
	}
	for _, tt := range tests {
		if got, ok := RangeOf(tt.start, tt.size); got != tt.want || ok != tt.ok {
			t.Errorf("RangeOf(%v, %#x) = %v, %v; want %v, %v", tt.start, tt.size, got, ok, tt.want, tt.ok)
		}
	}
}

func TestRangeTo(t *testing.T) {
	tests := []struct {
		start, last PhysAddr
		want        Range
		size        uint64
		text        string
	}{
		{0, 0, Range{0, 1}, 1, "[0x0-0x1)"},
		{0x1000, 0x1fff, Range{0x1000, 0x2000}, 0x1000, "[0x1000-0x2000)"},
		{0, top, Range{0, top}, ^uint64(0), "[0x0-0xffffffffffffffff)"},
		{top, top, Range{top, top}, 0, "[0xffffffffffffffff-0xffffffffffffffff)"},
		{top - 1, top - 1, Range{top - 1, top}, 1, "[0xfffffffffffffffe-0xffffffffffffffff)"},
	}
	for _, tt := range tests {
		got := RangeTo(tt.start, tt.last)
		if got != tt.want || got.Size() != tt.size || got.String() != tt.text {
			t.Errorf("RangeTo(%v, %v) = %v of %#x bytes; want %v of %#x bytes", tt.start, tt.last, got, got.Size(), tt.text, tt.size)
		}
	}
}

func TestPhysAddrFormat(t *testing.T) {
	tests := []struct{ format, want string }{
		{"%v", "0x9fc00"}, {"%s", "0x9fc00"}, {"%x", "9fc00"}, {"%#x", "0x9fc00"}, {"%08X", "0009FC00"}, {"%d", "654336"},
	}
	for _, tt := range tests {
		if got := fmt.Sprintf(tt.format, PhysAddr(0x9fc00)); got != tt.want {
			t.Errorf("Sprintf(%q) = %q; want %q", tt.format, got, tt.want)
		}
	}
}
