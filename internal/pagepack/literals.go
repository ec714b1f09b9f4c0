package pagepack

import "encoding/binary"

// maxHuffman is the longest code of a literal, in bits.
const maxHuffman = 11

// huffman codes literals.
type huffman struct {
	code    prefixCode
	weights [256]uint8
	table   fseTable // of the weights
}

// appendLiterals appends the section of literals, RFC 8878 section 3.1.1.3.1.
func (h *huffman) appendLiterals(dst, lits []byte) []byte {
	if len(lits) >= 64 {
		if out, ok := h.appendPacked(dst, lits); ok {
			return out
		}
	}
	switch n := len(lits); {
	case n < 1<<5:
		dst = append(dst, byte(n<<3))
	case n < 1<<12:
		dst = binary.LittleEndian.AppendUint16(dst, uint16(n<<4|1<<2))
	default:
		dst = append(dst, byte(n<<4|3<<2), byte(n>>4), byte(n>>12))
	}
	return append(dst, lits...)
}

// appendPacked appends literals in code. ok is false if that is not worth it.
func (h *huffman) appendPacked(dst, lits []byte) (out []byte, ok bool) {
	counts := h.code.counts[:256]
	clear(counts)
	for _, c := range lits {
		counts[c]++
	}
	if most := int(h.code.list(256)); most <= len(lits)>>7+4 || most == len(lits) {
		return dst, false // as good as evenly distributed, or all the same
	}
	maxBits := h.build()
	start := len(dst)
	head := 3
	if len(lits) >= 1<<14 {
		head = 5
	} else if len(lits) >= 1<<10 {
		head = 4
	}
	dst = append(dst, 0, 0, 0, 0, 0)[:start+head]
	if dst, ok = h.appendWeights(dst, maxBits); !ok {
		return dst[:start], false
	}
	if head == 3 {
		dst = h.appendStream(dst, lits)
	} else {
		jump := len(dst)
		dst = append(dst, 0, 0, 0, 0, 0, 0)
		quarter := (len(lits) + 3) / 4
		for i := range 4 {
			from := len(dst)
			dst = h.appendStream(dst, lits[min(i*quarter, len(lits)):min((i+1)*quarter, len(lits))])
			if i < 3 {
				binary.LittleEndian.PutUint16(dst[jump+2*i:], uint16(len(dst)-from))
			}
		}
	}
	packed := len(dst) - start - head
	if packed+head >= len(lits)-len(lits)>>6 {
		return dst[:start], false
	}
	// Type 2; one stream and 10 bits for each size, 4 streams and 14 or 18 bits.
	v, regen := uint64(2), uint64(len(lits))
	switch head {
	case 3:
		v |= regen<<4 | uint64(packed)<<14
	case 4:
		v |= 2<<2 | regen<<4 | uint64(packed)<<18
	case 5:
		v |= 3<<2 | regen<<4 | uint64(packed)<<22
	}
	for i := range head {
		dst[start+i] = byte(v >> (8 * i))
	}
	return dst, true
}

// build makes codes for the symbols that were listed, and returns how long the longest one is.
func (h *huffman) build() int {
	c := &h.code
	longest := c.build(maxHuffman)
	// Those of the same length are numbered in order, the longest from 0 on.
	var code [16]uint16
	first := uint16(0)
	for l := longest; l > 0; l-- {
		code[l] = first
		first = (first + uint16(c.perLength[l])) >> 1
	}
	for _, s := range c.used[:c.n] {
		l := c.lengths[s]
		c.codes[s] = uint32(l)<<16 | uint32(code[l%16])
		code[l%16]++
	}
	return longest
}

// appendWeights describes the codes, RFC 8878 section 4.2.1. ok is false if that can't be.
func (h *huffman) appendWeights(dst []byte, maxBits int) (out []byte, ok bool) {
	c := &h.code
	used := c.used[:c.n-1]
	n := int(c.used[c.n-1]) // the last symbol, whose weight isn't written
	var counts [maxHuffman + 1]uint32
	counts[0] = uint32(n - len(used))
	for l, c := range c.perLength[1 : maxBits+1] {
		counts[maxBits-l] = uint32(c)
	}
	counts[maxBits+1-int(c.lengths[n])]--
	clear(h.weights[:n])
	for _, s := range used {
		h.weights[s] = uint8(maxBits+1) - c.lengths[s]
	}
	start := len(dst)
	var norm [maxHuffman + 1]int16
	if n > 2 && normalize(norm[:], counts[:], uint32(n), 6) && norm[h.weights[0]] < 1<<6 {
		h.table.build(norm[:], 6)
		dst = appendNorm(append(dst, 0), norm[:], 6)
		dst = h.appendWeightCodes(dst, h.weights[:n])
		if size := len(dst) - start - 1; size < 128 && (n > 128 || size < (n+1)/2) {
			dst[start] = byte(size)
			return dst, true
		}
		dst = dst[:start]
	}
	if n > 128 {
		return dst, false
	}
	dst = append(dst, byte(127+n))
	h.weights[n] = 0
	for i := 0; i < n; i += 2 {
		dst = append(dst, h.weights[i]<<4|h.weights[i+1])
	}
	return dst, true
}

// appendWeightCodes appends weights, at least two, in the code of the table. Two states take turns.
func (h *huffman) appendWeightCodes(dst []byte, weights []uint8) []byte {
	out, n := room(dst, len(weights)+16)
	acc, used := uint64(0), uint32(0)
	t := &h.table
	i := len(weights) - 2
	now, next := t.first(weights[i]), t.first(weights[i+1])
	for i--; i >= 0; i-- {
		// The state of a weight comes from that of the one two further on.
		d := &t.delta[weights[i]%maxSymbols]
		k := (next + d.bits) >> 16
		acc |= uint64(next&(1<<(k&31)-1)) << (used & 63)
		used += k
		now, next = uint32(t.states[(next>>(k&31)+d.state)%(1<<maxTableLog)]), now
		if used > 40 {
			put8(out, n, acc)
			n += int(used / 8)
			acc >>= used &^ 7 & 63
			used &= 7
		}
	}
	// The decoder begins with the state of the first weight.
	b := bitWriter{out: out[:n], acc: acc, bits: uint(used)}
	b.flush()
	t.end(&b, next)
	t.end(&b, now)
	return b.close()
}

// appendStream appends the codes of literals.
func (h *huffman) appendStream(dst, lits []byte) []byte {
	// In the loops what a bitWriter has is in registers.
	codes := &h.code.codes
	out, n := room(dst, len(lits)*maxHuffman/8+16)
	acc, used := uint64(0), uint32(0)
	i := len(lits)
	for ; i&3 != 0; i-- {
		c := codes[lits[i-1]]
		acc |= uint64(c&0xffff) << (used & 63)
		used += c >> 16
	}
	for ; i >= 4; i -= 4 {
		put8(out, n, acc)
		n += int(used / 8)
		acc >>= used &^ 7 & 63
		used &= 7
		p := (*[4]byte)(lits[i-4 : i])
		c3, c2, c1, c0 := codes[p[3]], codes[p[2]], codes[p[1]], codes[p[0]]
		acc |= uint64(c3&0xffff) << (used & 63)
		used += c3 >> 16
		acc |= uint64(c2&0xffff) << (used & 63)
		used += c2 >> 16
		acc |= uint64(c1&0xffff) << (used & 63)
		used += c1 >> 16
		acc |= uint64(c0&0xffff) << (used & 63)
		used += c0 >> 16
	}
	put8(out, n, acc)
	n += int(used / 8)
	b := bitWriter{out: out[:n], acc: acc >> (used &^ 7 & 63), bits: uint(used & 7)}
	return b.close()
}
