package kdumpfile

import (
	"encoding/binary"
	"iter"
	"math/bits"
)

// A page set is a bitmap of the page frames of a window: bit i is bit i%64 of word i/64.

// setBits sets bits i to before j.
func setBits(b []uint64, i, j uint64) {
	for i < j {
		n := min(64-i%64, j-i)
		b[i/64] |= ^uint64(0) >> (64 - n) << (i % 64)
		i += n
	}
}

// onesCount counts the set bits.
func onesCount(b []uint64) (n uint64) {
	for _, w := range b {
		n += uint64(bits.OnesCount64(w))
	}
	return n
}

// nextRun returns the first run of set bits at or after bit i, from first to before last; first is the number of
// bits if there is none.
func nextRun(b []uint64, i uint64) (first, last uint64) {
	n := uint64(len(b)) * 64
	first = nextBit(b, i, 0)
	return first, min(n, nextBit(b, first, ^uint64(0)))
}

// nextBit returns the first bit at or after bit i that is 1, or 0 if flip is all ones.
func nextBit(b []uint64, i, flip uint64) uint64 {
	k := i / 64
	if k >= uint64(len(b)) {
		return uint64(len(b)) * 64
	}
	w := (b[k] ^ flip) >> (i % 64) << (i % 64)
	for w == 0 {
		if k++; k == uint64(len(b)) {
			return k * 64
		}
		w = b[k] ^ flip
	}
	return k*64 + uint64(bits.TrailingZeros64(w))
}

// runsOf gives the runs of set bits, from first to before last.
func runsOf(b []uint64) iter.Seq2[uint64, uint64] {
	return func(yield func(first, last uint64) bool) {
		n := uint64(len(b)) * 64
		for last := uint64(0); last < n; {
			var first uint64
			if first, last = nextRun(b, last); first < n && !yield(first, last) {
				return
			}
		}
	}
}

// packBits returns b in short, as the lengths of its runs of clear and of set bits in turn, or nil when that takes more than limit
// bytes.
func packBits(b []uint64, limit int) []byte {
	out := make([]byte, 0, 64)
	end := uint64(0)
	for first, last := range runsOf(b) {
		out = binary.AppendUvarint(binary.AppendUvarint(out, first-end), last-first)
		if end = last; len(out) > limit {
			return nil
		}
	}
	return out
}

// unpackBits is the reverse of packBits.
func unpackBits(b []uint64, packed []byte) {
	clear(b)
	for i := uint64(0); len(packed) > 0; {
		skip, n := binary.Uvarint(packed)
		set, m := binary.Uvarint(packed[n:])
		packed = packed[n+m:]
		setBits(b, i+skip, i+skip+set)
		i += skip + set
	}
}
