package lzo

import "encoding/binary"

// The farthest that each kind of match reaches back, in bytes.
const (
	maxNear     = 1 << 11
	maxMiddle   = 1 << 14
	maxDistance = maxMiddle + 1<<15 - 1
)

// maxShort is the longest match of which an instruction of three bytes has the length.
const maxShort = 33

// literals writes literals to out, which has n bytes already, and returns how many it has then.
func literals(out []byte, n int, run []byte) int {
	switch c := len(run); {
	case c == 0:
		return n
	case n == 0 && c <= 255-17:
		out[n] = byte(17 + c) // only at the beginning of a stream
		n++
	case c < 4 && n > 0:
		out[n-2] |= byte(c) // in the instruction of the match before
	default:
		n = long(out, n, 0, c-3, 15)
	}
	return n + copy(out[n:], run)
}

// match writes a match of any length, at least 3, and from any distance, which is one more.
func match(out []byte, n, length, distance int) int {
	if distance < maxMiddle {
		n = long(out, n, 0x20, length-2, maxShort-2)
	} else {
		distance -= maxMiddle - 1
		n = long(out, n, byte(0x10|distance>>14<<3), length-2, 7)
		distance &= maxMiddle - 1
	}
	binary.LittleEndian.PutUint16(out[n:], uint16(distance<<2))
	return n + 2
}

// long writes an instruction whose low bits hold a length of up to most, or 0 and then what the length is
// beyond that: a zero byte for each 255, and a last one that is not 0.
func long(out []byte, n int, instruction byte, length, most int) int {
	if length <= most {
		out[n] = instruction | byte(length)
		return n + 1
	}
	out[n] = instruction
	n++
	for length -= most; length > 255; length -= 255 {
		out[n] = 0
		n++
	}
	out[n] = byte(length)
	return n + 1
}
