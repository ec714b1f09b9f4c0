package zstdpage

import "encoding/binary"

// bitWriter writes a bitstream that is read from its end: what is added last is read first.
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

// close writes the mark of the end.
func (b *bitWriter) close() []byte {
	b.add(1, 1)
	b.flush()
	if b.bits > 0 {
		b.out = append(b.out, byte(b.acc))
	}
	return b.out
}
