package pagepack

import (
	"encoding/binary"
	"slices"
)

// bitWriter writes a bitstream, the lowest bits first. That of Zstandard is read from its end: what is added last is read first.
type bitWriter struct {
	out  []byte
	acc  uint64
	bits uint // of acc that are in use
}

// add adds the low n bits of v; the others must be 0. No more than 63 bits may be in use
// at flush.
func (b *bitWriter) add(v uint64, n uint) {
	b.acc |= v << (b.bits & 63)
	b.bits += n
}

// flush writes whole bytes; less than 8 bits stay.
func (b *bitWriter) flush() {
	n := b.bits / 8
	b.out = binary.LittleEndian.AppendUint64(b.out, b.acc)
	b.out = b.out[:len(b.out)-8+int(n)]
	b.acc >>= n * 8 & 63
	b.bits &= 7
}

// put8 writes eight bytes of acc, the lowest first, at out[n:].
func put8(out []byte, n int, acc uint64) { binary.LittleEndian.PutUint64(out[n:n+8], acc) }

// room is dst with room for n bytes more, all of it, and how much of it is in use.
func room(dst []byte, n int) (out []byte, used int) {
	dst = slices.Grow(dst, n)
	return dst[:cap(dst)], len(dst)
}

// align writes what there is, and zeroes up to the next whole byte.
func (b *bitWriter) align() {
	b.bits = (b.bits + 7) &^ 7
	b.flush()
}

// close writes the mark of the end.
func (b *bitWriter) close() []byte {
	b.add(1, 1)
	b.align()
	return b.out
}
