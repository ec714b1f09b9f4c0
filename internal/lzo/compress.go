package lzo

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

const (
	// segment is how much of the input one table covers, in bytes: its entries have 16 bits.
	segment = 1 << 16
	// minMatch is the shortest match that is looked for.
	minMatch = 4
	// margin is how much before the end of a segment the search ends, in bytes, so that
	// all loads of 8 bytes are within the input.
	margin = 8 + minMatch

	tableBits = 14
)

// Work is the memory that Compress needs, to be used again: the zero value is ready. One
// call at a time may use it.
type Work struct {
	// table has, by the hash of four bytes, where they were seen last, from the beginning
	// of the segment.
	table [1 << tableBits]uint16
}

// MaxSize is the room that Compress needs for n bytes of input, and more than it appends:
// each match may be preceded by 19 bytes or more that grow by two, of which it saves one.
func MaxSize(n int) int { return n + n/16 + 64 }

// Compress appends src, compressed, to dst, and returns the whole. It does not allocate if
// dst has room for MaxSize(len(src)) bytes, which must not be those of src. src may have any
// length; matches are found within stretches of 64 KiB.
func Compress(dst, src []byte, work *Work) []byte {
	room := MaxSize(len(src))
	dst = slices.Grow(dst, room)
	w := writer{out: dst[len(dst) : len(dst)+room], src: src}
	for start := 0; start < len(src); start += segment {
		w.segment(start, min(start+segment, len(src)), work)
	}
	w.literals(len(src))
	w.n += copy(w.out[w.n:], "\x11\x00\x00")
	return dst[:len(dst)+w.n]
}

// writer writes a stream.
type writer struct {
	out []byte
	n   int // bytes in out
	src []byte
	lit int // what is in out is src[:lit]
}

// segment finds matches in src[start:end], and writes all up to the last one.
func (w *writer) segment(start, end int, work *Work) {
	src := w.src[start:end]
	if len(src) < 2*margin {
		return
	}
	// A small input neither needs nor clears the whole table: with half an entry for each byte the
	// matches are nearer, which makes the output smaller. (The masks of slot change nothing: they
	// spare checks of bounds.)
	shift := 32 - min(tableBits, bits.Len(uint(len(src)-1))-1)
	clear(work.table[:1<<(32-shift)])
	slot := func(bytes uint32) *uint16 {
		return &work.table[bytes*0x9e3779b1>>(shift&31)%(1<<tableBits)]
	}
	last := len(src) - margin
	for at, lit := 1, max(0, w.lit-start); ; {
		var from int
		for { // The longer nothing is found, the larger the steps.
			now := binary.LittleEndian.Uint32(src[at:])
			seen := slot(now)
			from = int(*seen)
			*seen = uint16(at)
			if binary.LittleEndian.Uint32(src[from:]) == now && at-from <= maxDistance {
				break
			}
			if at += 1 + (at-lit)>>5; at > last {
				return
			}
		}
		for from > 0 && at > lit && src[from-1] == src[at-1] {
			from, at = from-1, at-1
		}
		length := minMatch + common(src[from+minMatch:], src[at+minMatch:])
		w.literals(start + at)
		w.match(length, at-from)
		at += length
		lit = at
		w.lit = start + at
		if at > last {
			return
		}
		*slot(binary.LittleEndian.Uint32(src[at-2:])) = uint16(at - 2)
	}
}

// common is how many bytes a and b, which is shorter, have in common at the beginning.
func common(a, b []byte) int {
	n := 0
	for ; n+8 <= len(b); n += 8 {
		if x := binary.LittleEndian.Uint64(a[n:]) ^ binary.LittleEndian.Uint64(b[n:]); x != 0 {
			return n + bits.TrailingZeros64(x)/8
		}
	}
	for ; n < len(b) && a[n] == b[n]; n++ {
	}
	return n
}
