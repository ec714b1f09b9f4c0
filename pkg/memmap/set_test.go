package memmap

import (
	"encoding/binary"
	"errors"
	"math/bits"
	"slices"
	"testing"
)

func TestNewSet(t *testing.T) {
	tests := []struct {
		name  string
		input []Range
		want  []Range
		size  uint64
	}{
		{"nothing", nil, nil, 0},
		{"empty ranges", []Range{{5, 5}, {7, 3}}, nil, 0},
		{"any order", []Range{{8, 9}, {1, 2}}, []Range{{1, 2}, {8, 9}}, 2},
		{"touching", []Range{{1, 2}, {2, 3}}, []Range{{1, 3}}, 2},
		{"nested", []Range{{1, 9}, {2, 3}, {8, 12}}, []Range{{1, 12}}, 11},
		{"at the top", []Range{{top - 2, top}, {top - 4, top - 1}}, []Range{{top - 4, top}}, 4},
		{"everything", []Range{{0, top}, {top - 4, top}}, []Range{{0, top}}, ^uint64(0)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			input := slices.Clone(tt.input)
			s := NewSet(tt.input...)
			if got := s.Ranges(); !slices.Equal(got, tt.want) {
				t.Errorf("NewSet(%v).Ranges() = %v; want %v", input, got, tt.want)
			}
			if got := s.Size(); got != tt.size {
				t.Errorf("NewSet(%v).Size() = %#x; want %#x", input, got, tt.size)
			}
			if !slices.Equal(input, tt.input) {
				t.Errorf("NewSet changed its argument to %v; want %v", tt.input, input)
			}
		})
	}
}

func TestSetMinus(t *testing.T) {
	tests := []struct {
		name string
		s, o []Range
		want []Range
	}{
		{"nothing", []Range{{1, 5}}, nil, []Range{{1, 5}}},
		{"from nothing", nil, []Range{{1, 5}}, nil},
		{"all", []Range{{1, 5}, {7, 9}}, []Range{{0, 10}}, nil},
		{"the middle", []Range{{0, 10}}, []Range{{3, 5}}, []Range{{0, 3}, {5, 10}}},
		{"both ends", []Range{{2, 10}}, []Range{{0, 3}, {9, 12}}, []Range{{3, 9}}},
		{"one over two", []Range{{0, 4}, {6, 10}}, []Range{{3, 7}}, []Range{{0, 3}, {7, 10}}},
		{"many holes", []Range{{0, 10}}, []Range{{1, 2}, {3, 4}, {9, 10}}, []Range{{0, 1}, {2, 3}, {4, 9}}},
		{"touching", []Range{{2, 4}}, []Range{{0, 2}, {4, 6}}, []Range{{2, 4}}},
		{"at the top", []Range{{top - 4, top}}, []Range{{top - 2, top - 1}}, []Range{{top - 4, top - 2}, {top - 1, top}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := NewSet(tt.s...).Minus(NewSet(tt.o...))
			if !slices.Equal(got.Ranges(), tt.want) {
				t.Errorf("%v.Minus(%v) = %v; want %v", tt.s, tt.o, got, tt.want)
			}
		})
	}
}

func TestSetPlace(t *testing.T) {
	s := NewSet(Range{0x1000, 0x9f000}, Range{0x100000, 0x180001}, Range{0x40000000, 0x50000000}, Range{top - 0x10000 + 1, top})
	tests := []struct {
		name string
		hole Hole
		want Range
		err  error
	}{
		{"lowest", Hole{Size: 0x1000}, Range{0x1000, 0x2000}, nil},
		{"a whole range", Hole{Size: 0x9e000}, Range{0x1000, 0x9f000}, nil},
		{"larger than its alignment", Hole{Size: 0x1000, Align: 0x200000}, Range{0x40000000, 0x40001000}, nil},
		{"below", Hole{Size: 0x1000, TopDown: true, Max: 0x9f001}, Range{0x9e000, 0x9f000}, nil},
		{"top down aligned", Hole{Size: 0x1800, Align: 0x1000, TopDown: true, Max: 0x200000}, Range{0x17e000, 0x17f800}, nil},
		{"from", Hole{Size: 0x1000, Min: 0x2001, Align: 0x1000}, Range{0x3000, 0x4000}, nil},
		{"the very top", Hole{Size: 0x10, TopDown: true}, Range{top - 0x10, top}, nil},
		{"the very top aligned", Hole{Size: 0xff, Align: 0x100, TopDown: true}, Range{top - 0xff, top}, nil},
		{"start would wrap", Hole{Size: 1, Align: 1 << 63, Min: 1<<63 + 1}, Range{}, ErrNoSpace},
		{"too large", Hole{Size: 0x10000001}, Range{}, ErrNoSpace},
		{"bounds the wrong way", Hole{Size: 1, Min: 0x3000, Max: 0x2000}, Range{}, ErrNoSpace},
		{"largest size", Hole{Size: ^uint64(0)}, Range{}, ErrNoSpace},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := s.Place(tt.hole)
			if got != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("Place(%+v) = %v, %v; want %v, %v", tt.hole, got, err, tt.want, tt.err)
			}
		})
	}
	for _, bad := range []Hole{{}, {Size: 1, Align: 3}} {
		if got, err := s.Place(bad); err == nil || errors.Is(err, ErrNoSpace) {
			t.Errorf("Place(%+v) = %v, %v; want an error other than ErrNoSpace", bad, got, err)
		}
	}
}

// bitmap models a set within 64 bytes of memory from base on.
type bitmap struct {
	bits uint64
	base PhysAddr
}

func (m bitmap) set() Set {
	var rs []Range
	for i := range PhysAddr(63) {
		if m.bits>>i&1 != 0 {
			rs = append(rs, Range{m.base + i, m.base + i + 1})
		}
	}
	return NewSet(rs...)
}

// place looks for the hole at every address.
func (m bitmap) place(h Hole) (PhysAddr, bool) {
	var found PhysAddr
	ok := false
	want := uint64(1)<<h.Size - 1
	for i := PhysAddr(0); i+PhysAddr(h.Size) <= 63; i++ {
		a := m.base + i
		if m.bits>>i&want != want || a < h.Min || h.Max != 0 && a+PhysAddr(h.Size) > h.Max || h.Align > 1 && uint64(a)%h.Align != 0 {
			continue
		}
		if found, ok = a, true; !h.TopDown {
			break
		}
	}
	return found, ok
}

// FuzzSet holds every operation against the same one on bitmaps, at the bottom
// and at the very top of the address space.
func FuzzSet(f *testing.F) {
	f.Add([]byte("0123456789abcdef"), false, uint8(3), uint8(2), uint8(0), uint8(0))
	f.Add([]byte("\xff\x00\xff\x00\xff\x00\xff\x00\x0f\xf0\x0f\xf0\x0f\xf0\x0f\xf0"), true, uint8(4), uint8(1), uint8(9), uint8(40))
	f.Fuzz(func(t *testing.T, b []byte, high bool, size, align, lo, hi uint8) {
		if len(b) < 16 {
			return
		}
		const mask = 1<<63 - 1
		base := PhysAddr(0)
		if high {
			base = top - 63 // the last bit models the last byte a Range can hold
		}
		x := bitmap{binary.LittleEndian.Uint64(b) & mask, base}
		y := bitmap{binary.LittleEndian.Uint64(b[8:]) & mask, base}
		sx, sy := x.set(), y.set()
		check := func(op string, got Set, want uint64) {
			t.Helper()
			if w := (bitmap{want, base}).set(); !got.Equal(w) {
				t.Errorf("%v %s %v = %v; want %v", sx, op, sy, got, w)
			}
			if n := uint64(bits.OnesCount64(want)); got.Size() != n {
				t.Errorf("(%v %s %v).Size() = %d; want %d", sx, op, sy, got.Size(), n)
			}
			for i, r := range got.Ranges() {
				if r.Empty() || i > 0 && r.Start <= got.Ranges()[i-1].End {
					t.Errorf("%v %s %v = %v: not sorted, disjoint and merged", sx, op, sy, got)
				}
			}
		}
		check("union", sx.Union(sy), x.bits|y.bits)
		check("intersect", sx.Intersect(sy), x.bits&y.bits)
		check("minus", sx.Minus(sy), x.bits&^y.bits)
		check("union of ranges", NewSet(append(sy.Ranges(), sx.Ranges()...)...), x.bits|y.bits)

		l, h := PhysAddr(lo%63), PhysAddr(hi%64)
		r := Range{base + l, base + h}
		in := uint64(0)
		if l < h {
			in = (1<<h - 1) &^ (1<<l - 1)
		}
		if got, want := sx.Contains(r), x.bits&in == in; got != want {
			t.Errorf("%v.Contains(%v) = %v; want %v", sx, r, got, want)
		}
		if got, want := sx.Overlaps(r), x.bits&in != 0; got != want {
			t.Errorf("%v.Overlaps(%v) = %v; want %v", sx, r, got, want)
		}
		hole := Hole{Size: uint64(size%16) + 1, Align: 1 << (align % 7), Min: base + l, TopDown: size >= 128}
		if hi >= 128 {
			hole.Max = base + h
		}
		want, ok := x.place(hole)
		got, err := sx.Place(hole)
		if got.Start != want || ok != (err == nil) || ok && got.Size() != hole.Size {
			t.Errorf("%v.Place(%+v) = %v, %v; want %v, %v", sx, hole, got, err, want, ok)
		}
	})
}

func TestSetNext(t *testing.T) {
	s := NewSet(Range{0x1000, 0x2000}, Range{0x3000, 0x4000})
	for _, tt := range []struct {
		at   PhysAddr
		want Range
		ok   bool
	}{
		{0, Range{0x1000, 0x2000}, true}, {0x1000, Range{0x1000, 0x2000}, true}, {0x1fff, Range{0x1fff, 0x2000}, true},
		{0x2000, Range{0x3000, 0x4000}, true}, {0x3800, Range{0x3800, 0x4000}, true},
		{0x4000, Range{}, false}, {^PhysAddr(0), Range{}, false},
	} {
		if got, ok := s.Next(tt.at); got != tt.want || ok != tt.ok {
			t.Errorf("Next(%v) = %v, %v; want %v, %v", tt.at, got, ok, tt.want, tt.ok)
		}
	}
	if got, ok := (Set{}).Next(0); ok {
		t.Errorf("Next of nothing = %v", got)
	}
}
