package pagepack

import "math/bits"

// Limits of the tables that are made.
const (
	maxTableLog = 8
	maxSymbols  = 64 // a power of 2: 53 are in use
)

// fseTable codes symbols by finite state entropy, RFC 8878 section 4.1.
type fseTable struct {
	log    uint
	states [1 << maxTableLog]uint16
	delta  [maxSymbols]symbolDelta

	symbols [1 << maxTableLog]uint8 // of the states, while the table is made
}

// symbolDelta leads from one state to the next by a symbol.
type symbolDelta struct {
	bits  uint32 // that are written, in the upper half, less what the state lacks to that
	state uint32 // to add to the rest of the state, modulo 1<<32
}

// build makes the table of a distribution of 1<<log; -1 is a probability below 1.
func (t *fseTable) build(norm []int16, log uint) {
	size := 1 << log
	t.log = log
	var at [maxSymbols]uint16 // the next state of a symbol
	high, sum := size-1, 0
	for s, n := range norm {
		at[s%maxSymbols] = uint16(sum)
		if n < 0 {
			t.symbols[high%len(t.symbols)] = uint8(s)
			high--
			n = 1
		}
		sum += int(n)
	}
	t.spread(norm, size, high)
	total := 0
	for s, n := range norm {
		s %= maxSymbols
		switch {
		case n == 0:
			continue
		case n < 0 || n == 1:
			t.delta[s] = symbolDelta{uint32(log<<16) - uint32(size), uint32(total - 1)}
			total++
		default:
			out := log - uint(bits.Len16(uint16(n-1))-1)
			t.delta[s] = symbolDelta{uint32(out<<16) - uint32(n)<<out, uint32(total - int(n))}
			total += int(n)
		}
	}
	for u, s := range t.symbols[:size] {
		i := &at[s%maxSymbols]
		t.states[*i%(1<<maxTableLog)] = uint16(size + u)
		*i++
	}
}

// spread lays the symbols out on the states up to high.
func (t *fseTable) spread(norm []int16, size, high int) {
	pos, step, mask := 0, size>>1+size>>3+3, size-1
	for s, n := range norm {
		for ; n > 0; n-- {
			t.symbols[pos&(1<<maxTableLog-1)] = uint8(s)
			for pos = (pos + step) & mask; pos > high; pos = (pos + step) & mask {
			}
		}
	}
}

// first is the state that the last symbol leaves.
func (t *fseTable) first(s uint8) uint32 {
	d := t.delta[s]
	n := (d.bits + 1<<15) >> 16
	return uint32(t.states[((n<<16-d.bits)>>n+d.state)%(1<<maxTableLog)])
}

// end writes a state.
func (t *fseTable) end(b *bitWriter, state uint32) {
	b.add(uint64(state)&(1<<t.log-1), t.log)
}

// normalize makes a distribution of 1<<log out of counts that add up to total. ok is false if the table is too
// small for so many symbols.
func normalize(norm []int16, counts []uint32, total uint32, log uint) (ok bool) {
	left, largest := 1<<log, 0
	scale := (uint64(1)<<(32+log) + uint64(total)/2) / uint64(total)
	for s, c := range counts {
		norm[s] = 0
		if c == 0 {
			continue
		}
		n := max(int((uint64(c)*scale+1<<31)>>32), 1)
		norm[s] = int16(n)
		left -= n
		if n > int(norm[largest]) || norm[largest] == 0 {
			largest = s
		}
	}
	if int(norm[largest])+left < 1 || left < 0 && -left > int(norm[largest])/2 {
		return false
	}
	norm[largest] += int16(left)
	return true
}

// appendNorm appends the description of a distribution, RFC 8878 section 4.1.1.
func appendNorm(dst []byte, norm []int16, log uint) []byte {
	for len(norm) > 0 && norm[len(norm)-1] == 0 {
		norm = norm[:len(norm)-1]
	}
	b := bitWriter{out: dst}
	b.add(uint64(log-5), 4)
	remaining, threshold, width := 1<<log+1, 1<<log, log+1
	for s := 0; s < len(norm) && remaining > 1; {
		n := int(norm[s])
		s++
		limit := 2*threshold - 1 - remaining
		remaining -= max(n, -n)
		v, w := n+1, width
		if v >= threshold {
			v += limit
		}
		if v < limit {
			w--
		}
		b.add(uint64(v), w)
		if n == 0 {
			zeroes := 0
			for s < len(norm) && norm[s] == 0 {
				s++
				zeroes++
			}
			for ; zeroes >= 3; zeroes -= 3 {
				b.add(3, 2)
				b.flush()
			}
			b.add(uint64(zeroes), 2)
		}
		for remaining < threshold {
			width--
			threshold >>= 1
		}
		b.flush()
	}
	if b.bits > 0 {
		b.out = append(b.out, byte(b.acc))
	}
	return b.out
}
