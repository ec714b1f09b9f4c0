package kdumpfile

import (
	"iter"
	"math/bits"
)

// runsOf gives the runs of set bits, from first to before last.
func runsOf(b []uint64) iter.Seq2[uint64, uint64] {
	return func(yield func(first, last uint64) bool) {
		first, in := uint64(0), false
		for i, w := range b {
			at := uint64(i) * 64
			if in && w == ^uint64(0) || !in && w == 0 {
				continue
			}
			for j := uint64(0); j < 64; {
				if !in {
					if w>>j == 0 {
						break
					}
					j += uint64(bits.TrailingZeros64(w >> j))
					first, in = at+j, true
					continue
				}
				n := uint64(bits.TrailingZeros64(^(w >> j)))
				if j+n >= 64 {
					break
				}
				j += n
				if in = false; !yield(first, at+j) {
					return
				}
			}
		}
		if in {
			yield(first, uint64(len(b))*64)
		}
	}
}
