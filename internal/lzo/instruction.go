package lzo

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
	w.n += copy(w.out[w.n:], run)
	w.lit = end
}

// match writes a copy of length bytes, at least 3, from distance bytes back.
func (w *writer) match(length, distance int) {
	switch d := distance - 1; {
	case d < maxNear && length <= 8:
		w.put(byte((length-1)<<5|d&7<<2), byte(d>>3))
		return
	case d < maxMiddle:
		w.long(0x20, length-2, 31)
		w.put(byte(d<<2), byte(d>>6))
	default:
		d = distance - maxMiddle
		w.long(byte(0x10|d>>14<<3), length-2, 7)
		w.put(byte(d<<2), byte(d&(maxMiddle-1)>>6))
	}
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

func (w *writer) put(b ...byte) { w.n += copy(w.out[w.n:], b) }
