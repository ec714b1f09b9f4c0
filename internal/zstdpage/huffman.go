package zstdpage

import "encoding/binary"

// maxHuffman is the longest code of a literal, in bits.
const maxHuffman = 11

// huffman codes literals.
type huffman struct {
	counts  [256]uint32
	lengths [256]uint8
	codes   [256]uint32 // the length times 65536, and the code
	sorted  [256]uint32 // symbols by count: the count times 256, and the symbol
	swap    [256]uint32
	used    [256]uint8 // the symbols, in ascending order

	perLength [33]int // symbols
	weights   [256]uint8
	table     fseTable // of the weights
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
	n := h.sort(lits)
	if n < 2 || int(h.sorted[n-1]>>8) <= len(lits)>>7+4 {
		return dst, false // as good as evenly distributed, or all the same
	}
	maxBits := h.build(n)
	start := len(dst)
	head := 3
	if len(lits) >= 1<<14 {
		head = 5
	} else if len(lits) >= 1<<10 {
		head = 4
	}
	dst = append(dst, 0, 0, 0, 0, 0)[:start+head]
	if dst, ok = h.appendWeights(dst, n, maxBits); !ok {
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

// sort lists the symbols by how often they are, and returns how many there are.
func (h *huffman) sort(lits []byte) (n int) {
	clear(h.counts[:])
	for _, c := range lits {
		h.counts[c]++
	}
	for s, c := range &h.counts {
		if c > 0 {
			h.swap[n] = c<<8 | uint32(s)
			h.used[n] = uint8(s)
			n++
		}
	}
	from, to := &h.swap, &h.sorted
	for shift := 8; ; shift += 6 {
		var at [64]uint16
		more := uint32(0)
		for _, v := range from[:n] {
			at[v>>shift&63]++
			more |= v >> shift >> 6
		}
		sum := uint16(0)
		for i, c := range at {
			at[i] = sum
			sum += c
		}
		for _, v := range from[:n] {
			i := &at[v>>shift&63]
			to[*i] = v
			*i++
		}
		from, to = to, from
		if more == 0 {
			break
		}
	}
	if from != &h.sorted {
		copy(h.sorted[:n], from[:n])
	}
	return n
}

// build makes codes for the n sorted symbols, and returns how long the longest one is.
func (h *huffman) build(n int) (maxBits int) {
	// Moffat and Katajainen: the lengths of the codes, in place. First the weights of the inner nodes,
	// then their parents, their depths, and the depths of the leaves.
	var a [256]uint32
	for i, v := range h.sorted[:n] {
		a[i] = v >> 8
	}
	a[0] += a[1]
	root, leaf := 0, 2
	for next := 1; next < n-1; next++ {
		if leaf >= n || a[root] < a[leaf] {
			a[next] = a[root]
			a[root] = uint32(next)
			root++
		} else {
			a[next] = a[leaf]
			leaf++
		}
		if leaf >= n || root < next && a[root] < a[leaf] {
			a[next] += a[root]
			a[root] = uint32(next)
			root++
		} else {
			a[next] += a[leaf]
			leaf++
		}
	}
	a[n-2] = 0
	for next := n - 3; next >= 0; next-- {
		a[next] = a[a[next]] + 1
	}
	perLength := &h.perLength
	clear(perLength[:])
	avail, used, depth := 1, 0, 0
	for root, next := n-2, n-1; avail > 0; {
		for root >= 0 && int(a[root]) == depth {
			used++
			root--
		}
		for ; avail > used; avail-- {
			perLength[min(depth, 32)]++
			next--
		}
		avail, used = 2*used, 0
		depth++
	}
	limit(perLength)
	for maxBits = maxHuffman; perLength[maxBits] == 0; maxBits-- {
	}
	// The rarest symbols have the longest codes. Of the same length they are numbered in order, the
	// longest from 0 on.
	clear(h.lengths[:])
	i := 0
	for l := maxBits; l > 0; l-- {
		for range perLength[l] {
			h.lengths[uint8(h.sorted[i])] = uint8(l)
			i++
		}
	}
	var code [16]uint16
	first := uint16(0)
	for l := maxBits; l > 0; l-- {
		code[l] = first
		first = (first + uint16(perLength[l])) >> 1
	}
	for _, s := range h.used[:n] {
		l := h.lengths[s]
		h.codes[s] = uint32(l)<<16 | uint32(code[l&15])
		code[l&15]++
	}
	return maxBits
}

// limit makes no code longer than maxHuffman, so that all of them still are a tree.
func limit(perLength *[33]int) {
	for l := maxHuffman + 1; l <= 32; l++ {
		perLength[maxHuffman] += perLength[l]
		perLength[l] = 0
	}
	total := 0
	for l := 1; l <= maxHuffman; l++ {
		total += perLength[l] << (maxHuffman - l)
	}
	for ; total > 1<<maxHuffman; total-- {
		perLength[maxHuffman]--
		for l := maxHuffman - 1; ; l-- {
			if perLength[l] > 0 {
				perLength[l]--
				perLength[l+1] += 2
				break
			}
		}
	}
}

// appendWeights describes the codes of so many symbols, RFC 8878 section 4.2.1. ok is false if that can't be.
func (h *huffman) appendWeights(dst []byte, symbols, maxBits int) (out []byte, ok bool) {
	n := int(h.used[symbols-1]) // the last symbol, whose weight isn't written
	var counts [maxHuffman + 1]uint32
	counts[0] = uint32(n - (symbols - 1))
	for l, c := range h.perLength[1 : maxBits+1] {
		counts[maxBits-l] = uint32(c)
	}
	counts[maxBits+1-int(h.lengths[n])]--
	clear(h.weights[:n])
	for _, s := range h.used[:symbols-1] {
		h.weights[s] = uint8(maxBits+1) - h.lengths[s]
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
	out, n := room(dst, len(lits)*maxHuffman/8+16)
	acc, used := uint64(0), uint32(0)
	i := len(lits)
	for ; i&3 != 0; i-- {
		c := h.codes[lits[i-1]]
		acc |= uint64(c&0xffff) << (used & 63)
		used += c >> 16
	}
	for ; i >= 4; i -= 4 {
		put8(out, n, acc)
		n += int(used / 8)
		acc >>= used &^ 7 & 63
		used &= 7
		p := (*[4]byte)(lits[i-4 : i])
		c3, c2, c1, c0 := h.codes[p[3]], h.codes[p[2]], h.codes[p[1]], h.codes[p[0]]
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
