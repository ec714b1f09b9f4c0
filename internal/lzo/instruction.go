package lzo

import "encoding/binary"

// The farthest that each kind of match reaches back, in bytes.
const (
	maxNear     = 1 << 11
	maxMiddle   = 1 << 14
	maxDistance = maxMiddle + 1<<15 - 1
)

// literals writes src up to end.
func (w *writer) literals(end int) {
	run := w.src[w.lit:end]
	switch n := len(run); {
	case n == 0:
		return
	case w.n == 0 && n <= 255-17:
		w.put(byte(17 + n)) // only at the beginning of a stream
	case n < 4 && w.n > 0:
		w.out[w.n-2] |= byte(n) // in the instruction of the match before
	case n <= 3+15:
		w.put(byte(n - 3))
	default:
		w.put(0)
		w.count(n - 3 - 15)
	}
	// A few bytes are copied as 16, where there are so many: the next ones overwrite the rest.
	if from := w.src[w.lit:]; len(run) <= 16 && len(from) >= 16 {
		*(*[16]byte)(w.out[w.n:]) = [16]byte(from)
		w.n += len(run)
	} else {
		w.n += copy(w.out[w.n:], run)
	}
	w.lit = end
}

// match writes a copy of length bytes, at least 3, from distance bytes back.
func (w *writer) match(length, distance int) {
	d := distance - 1
	switch {
	case d < maxNear && length <= 8:
		w.put2((length-1)<<5|d&7<<2, d>>3)
		return
	case d < maxMiddle:
		w.long(0x20, length-2, 31)
	default:
		d = distance - maxMiddle
		w.long(byte(0x10|d>>14<<3), length-2, 7)
		d &= maxMiddle - 1
	}
	w.put2(d<<2, d>>6)
}

// long writes an instruction whose low bits hold a length of up to most, or 0 and then
// what the length is beyond that.
func (w *writer) long(instruction byte, length, most int) {
	if length <= most {
		w.put(instruction | byte(length))
		return
	}
	w.put(instruction)
	w.count(length - most)
}

// count writes a number, at least 1: a zero byte for each 255, and a last one that is not 0.
func (w *writer) count(n int) {
	for ; n > 255; n -= 255 {
		w.put(0)
	}
	w.put(byte(n))
}

func (w *writer) put(b byte) {
	w.out[w.n] = b
	w.n++
}

// put2 writes the low bytes of two numbers.
func (w *writer) put2(a, b int) {
	binary.LittleEndian.PutUint16(w.out[w.n:], uint16(a&0xff|b<<8))
	w.n += 2
}
