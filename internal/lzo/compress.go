package lzo

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

const (
	// segment is how much of the input is searched at a time, in bytes: no match within it reaches too far back.
	segment = maxDistance
	// minMatch is the shortest match that is looked for.
	minMatch = 4
	// slack is how far behind a segment is read.
	slack = 32

	tableBits = 12
)

// Work is the memory that Compress needs, to be used again: the zero value is ready. One
// call at a time may use it.
type Work struct {
	// in has the segment. All indices are 16 bits wide, so that none needs a check.
	in [1<<16 + slack]byte
	// table has, by the hash of four bytes, where they were seen last, from the beginning
	// of the segment.
	table [1 << tableBits]uint16
	// out has what is written of the segment from its first match on.
	out [1<<16 + slack]byte
}

// MaxSize is the room that Compress needs for n bytes of input, and more than it appends:
// each match may be preceded by 19 bytes or more that grow by two, of which it saves one.
func MaxSize(n int) int { return n + n/16 + 64 }

// Compress appends src, compressed, to dst, and returns the whole. It does not allocate if
// dst has room for MaxSize(len(src)) bytes, which must not be those of src. src may have any
// length; matches are found within stretches of 48 KiB. If src changes meanwhile, the stream has what
// it was at some moment, byte by byte.
func Compress(dst, src []byte, work *Work) []byte {
	room := MaxSize(len(src))
	dst = slices.Grow(dst, room)
	w := writer{out: dst[len(dst) : len(dst)+room], src: src}
	for start := 0; start < len(src); start += segment {
		w.segment(start, min(start+segment, len(src)), work)
	}
	w.n = literals(w.out, w.n, src[w.lit:])
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

func (w *Work) load64(i uint) uint64 { return binary.LittleEndian.Uint64(w.in[i&0xffff:][:8]) }
func (w *Work) load32(i uint) uint32 { return binary.LittleEndian.Uint32(w.in[i&0xffff:][:4]) }

func (w *Work) store32(i uint, v uint32) { binary.LittleEndian.PutUint32(w.out[i&0xffff:][:4], v) }

func slot(bytes uint32) uint32 { return bytes * 0x9e3779b1 >> (32 - tableBits) }

// segment finds matches in src[start:end], and writes all up to the last one.
func (w *writer) segment(start, end int, work *Work) {
	size := uint(copy(work.in[:segment], w.src[start:end]))
	if size < 4*minMatch {
		return
	}
	clear(work.table[:])
	n, lit := uint(0), uint(0) // bytes in work.out; what is written of work.in
	for at, last := uint(1), size-minMatch; at < last; {
		// Two places at a time; the longer nothing is found, the larger are the steps.
		now := work.load64(at)
		seen := &work.table[slot(uint32(now))]
		from := uint(*seen)
		*seen = uint16(at)
		if uint32(now) != work.load32(from) {
			now >>= 8
			at++
			seen = &work.table[slot(uint32(now))]
			from = uint(*seen)
			*seen = uint16(at)
			if uint32(now) != work.load32(from) {
				at += 1 + (at-lit)>>4
				continue
			}
		}
		length := min(minMatch+work.common(at+minMatch, from+minMatch, size), size-at)
		switch lits := at - lit; {
		case n == 0: // also those of former segments
			w.n = literals(w.out, w.n, w.src[w.lit:start+int(at)])
		case lits <= 3:
			work.out[(n-2)&0xffff] |= byte(lits) // in the instruction of the match before
			work.store32(n, work.load32(lit))
			n += lits
		default:
			n = uint(literals(work.out[:], int(n), work.in[lit:at]))
		}
		if d := uint32(at - from - 1); length <= maxShort && d < maxMiddle {
			// What both kinds of match are, and one of them: a branch would often be guessed wrong.
			near := d<<5&0xff00 | d&7<<2 | (uint32(length)-1)<<5
			middle := d<<10 | 0x20 | (uint32(length) - 2)
			mask := uint32(int32((8-uint32(length))|(maxNear-1-d)) >> 31) // all ones: middle
			work.store32(n, near^(near^middle)&mask)
			n += 2 - uint(int32(mask))
		} else {
			n = uint(match(work.out[:], int(n), int(length), int(d)))
		}
		at += length
		lit = at
	}
	if n > 0 {
		w.n += copy(w.out[w.n:], work.out[:n])
		w.lit = start + int(lit)
	}
}

// common is how many bytes from at and from on are the same, at most up to some bytes behind size.
func (w *Work) common(at, from, size uint) uint {
	start := at
	for ; at < size; at, from = at+8, from+8 {
		if x := w.load64(at) ^ w.load64(from); x != 0 {
			return at - start + uint(bits.TrailingZeros64(x))/8
		}
	}
	return at - start
}
