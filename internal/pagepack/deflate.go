package pagepack

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

// zlibBlock is how many bytes are one block of deflate: no match within it reaches too far back.
const zlibBlock = 32 << 10

// zlibEffort is that with which a dump is hardly larger than one of zlib's level 1.
var zlibEffort = effort{hashed: 3, least: 3, patience: 5}

// What RFC 1951 has in section 3.2.5.
const (
	literalSymbols  = 286 // literals, the end, lengths
	distanceSymbols = 30
	endSymbol       = 256
	maxMatch        = 258
)

const (
	maxDeflate  = 13 // bits of the longest code of a literal, length or distance: four of them and what is left of a byte fit in 64
	maxMeta     = 7  // bits of the longest code of a length of a code, of which there are
	metaSymbols = 19
)

// Zlib packs pages as zlib streams. It has the memory to do so; the zero value is ready. It is for one goroutine at a time.
type Zlib struct {
	search    search
	literals  prefixCode
	distances prefixCode
	meta      prefixCode // of the lengths of these
	runs      []uint16   // symbols of meta, and 256 times what follows them
}

// Append appends the page to dst as one stream. What of a page doesn't seem to get smaller by that is in it as it is.
func (z *Zlib) Append(dst, page []byte) []byte {
	b := bitWriter{out: append(dst, 0x78, 0x01)}
	z.search.last = [3]int{1, 4, 8}
	sum := uint32(1)
	for at := 0; at == 0 || at < len(page); at += zlibBlock {
		block := page[at:min(at+zlibBlock, len(page))]
		z.search.run(block, zlibEffort)
		// Of the copy: the page may change meanwhile.
		sum = adler32(sum, z.search.page[:len(block)])
		z.appendBlock(&b, len(block), at+zlibBlock >= len(page))
	}
	b.align()
	return binary.BigEndian.AppendUint32(b.out, sum)
}

// lengthSymbol is that of a match of n bytes less 3, and how many of its bits follow.
func lengthSymbol(n uint32) (symbol, extra uint32) {
	if n == maxMatch-3 {
		return literalSymbols - 1, 0
	}
	extra = uint32(max(bits.Len32(n), 3) - 3)
	return endSymbol + 1 + 4*extra + n>>extra, extra
}

// distanceSymbol is that of a distance less 1, and how many of its bits follow.
func distanceSymbol(d uint32) (symbol, extra uint32) {
	extra = uint32(max(bits.Len32(d), 2) - 2)
	return 2*extra + d>>extra, extra
}

// cut is how much of a match is written at once, so that what is left is no shorter than a match can be.
func cut(match uint32) uint32 {
	if match <= maxMatch {
		return match
	}
	return min(maxMatch, match-3)
}

// appendBlock writes the block of so many bytes that was searched, RFC 1951 section 3.2.7.
func (z *Zlib) appendBlock(b *bitWriter, size int, last bool) {
	lits, seqs := z.search.lits[:z.search.nlits], z.search.seqs
	l, d := &z.literals.counts, &z.distances.counts
	clear(l[:literalSymbols])
	clear(d[:distanceSymbols])
	for _, v := range lits {
		l[v]++
	}
	head := uint64(0)
	if last {
		head = 1
	}
	if len(seqs) == 0 && int(slices.Max(l[:256])) <= len(lits)>>7+4 {
		// As good as evenly distributed: stored, section 3.2.4.
		b.add(head, 3)
		b.align()
		b.out = binary.LittleEndian.AppendUint32(b.out, uint32(size)|^uint32(size)<<16)
		b.out = append(b.out, lits...)
		return
	}
	l[endSymbol] = 1
	for _, s := range seqs {
		symbol, _ := distanceSymbol(s.distance() - 1)
		for left := s.match(); left > 0; {
			n := cut(left)
			left -= n
			length, _ := lengthSymbol(n - 3)
			l[length%maxAlphabet]++
			d[symbol%maxAlphabet]++
		}
	}
	nl, nd := z.literals.number(literalSymbols, maxDeflate), z.distances.number(distanceSymbols, maxDeflate)
	b.add(head|2<<1, 3)
	b.add(uint64(nl-endSymbol-1), 5)
	b.add(uint64(nd-1), 5)
	z.appendLengths(b, nl, nd)
	z.appendData(b, lits, seqs)
}

// number makes the codes, and returns how many symbols there are up to the last in use.
func (p *prefixCode) number(symbols, most int) int {
	p.list(symbols)
	for s := 0; p.n < 2; s++ {
		// Not every decoder takes a code of one symbol, or of none.
		p.counts[s%2]++
		p.list(symbols)
	}
	longest := p.build(most)
	// Those of the same length are numbered in order, the shortest first; a decoder gets the highest bit first.
	var code [16]uint16
	for l := 1; l <= longest; l++ {
		code[l] = (code[l-1] + uint16(p.perLength[l-1])) << 1
	}
	for _, s := range p.used[:p.n] {
		l := p.lengths[s] % 16
		p.codes[s] = uint32(l)<<16 | uint32(bits.Reverse16(code[l])>>(16-l))
		code[l]++
	}
	return int(p.used[p.n-1]) + 1
}

// appendLengths writes the lengths of the codes.
func (z *Zlib) appendLengths(b *bitWriter, literals, distances int) {
	z.runs = z.runs[:0]
	z.addRuns(z.literals.lengths[:literals])
	z.addRuns(z.distances.lengths[:distances])
	clear(z.meta.counts[:metaSymbols])
	for _, r := range z.runs {
		z.meta.counts[r&0xff]++
	}
	z.meta.number(metaSymbols, maxMeta)
	order := [metaSymbols]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}
	n := metaSymbols
	for n > 4 && z.meta.counts[order[n-1]] == 0 {
		n--
	}
	b.add(uint64(n-4), 4)
	b.flush()
	for i, s := range order[:n] {
		if z.meta.counts[s] > 0 {
			b.add(uint64(z.meta.lengths[s]), 3)
		} else {
			b.add(0, 3)
		}
		if i == 10 {
			b.flush()
		}
	}
	b.flush()
	extra := [metaSymbols]uint8{16: 2, 17: 3, 18: 7}
	for _, r := range z.runs {
		c := z.meta.codes[r&0xff]
		b.add(uint64(c&0xffff), uint(c>>16))
		b.add(uint64(r>>8), uint(extra[r&0xff]))
		if b.bits > 48 {
			b.flush()
		}
	}
	b.flush()
}

// addRuns adds lengths of codes: each as itself, 16 repeats the one before, 17 and 18 are zeroes.
func (z *Zlib) addRuns(lengths []uint8) {
	for i := 0; i < len(lengths); {
		v, n := lengths[i], 1
		for i+n < len(lengths) && lengths[i+n] == v {
			n++
		}
		i += n
		if v > 0 {
			z.runs = append(z.runs, uint16(v))
			n--
		}
		for n > 0 {
			m := 1
			switch {
			case n < 3:
				z.runs = append(z.runs, uint16(v))
			case v > 0:
				m = min(n, 6)
				z.runs = append(z.runs, 16|uint16(m-3)<<8)
			case n <= 10:
				m = n
				z.runs = append(z.runs, 17|uint16(m-3)<<8)
			default:
				m = min(n, 138)
				z.runs = append(z.runs, 18|uint16(m-11)<<8)
			}
			n -= m
		}
	}
}

// appendData writes the literals and the matches, and the end of the block.
func (z *Zlib) appendData(b *bitWriter, lits []byte, seqs []sequence) {
	// A match of so many bytes takes up to 8.
	out, n := room(b.out, 2*len(lits)+8*len(seqs)+8*(zlibBlock/maxMatch)+64)
	acc, used := b.acc, uint32(b.bits)
	for _, s := range seqs {
		n, acc, used = appendCodes(out, n, acc, used, lits[:s.lits()], &z.literals.codes)
		lits = lits[s.lits():]
		d := s.distance() - 1
		symbol, width := distanceSymbol(d)
		code := z.distances.codes[symbol%maxAlphabet]
		for left := s.match(); left > 0; {
			m := cut(left)
			left -= m
			symbol, extra := lengthSymbol(m - 3)
			c := z.literals.codes[symbol%maxAlphabet]
			acc |= uint64(c&0xffff) << (used & 63)
			used += c >> 16
			acc |= uint64((m-3)&(1<<(extra&31)-1)) << (used & 63)
			used += extra
			acc |= uint64(code&0xffff) << (used & 63)
			used += code >> 16
			acc |= uint64(d&(1<<(width&31)-1)) << (used & 63)
			used += width
			put8(out, n, acc)
			n += int(used / 8)
			acc >>= used &^ 7 & 63
			used &= 7
		}
	}
	n, acc, used = appendCodes(out, n, acc, used, lits, &z.literals.codes)
	b.out, b.acc, b.bits = out[:n], acc, uint(used)
	c := z.literals.codes[endSymbol]
	b.add(uint64(c&0xffff), uint(c>>16))
	b.flush()
}

// appendCodes writes the codes of literals to out from n on.
func appendCodes(out []byte, n int, acc uint64, used uint32, lits []byte, codes *[maxAlphabet]uint32) (int, uint64, uint32) {
	for ; len(lits) >= 4; lits = lits[4:] {
		c0, c1, c2, c3 := codes[lits[0]], codes[lits[1]], codes[lits[2]], codes[lits[3]]
		acc |= uint64(c0&0xffff) << (used & 63)
		used += c0 >> 16
		acc |= uint64(c1&0xffff) << (used & 63)
		used += c1 >> 16
		acc |= uint64(c2&0xffff) << (used & 63)
		used += c2 >> 16
		acc |= uint64(c3&0xffff) << (used & 63)
		used += c3 >> 16
		put8(out, n, acc)
		n += int(used / 8)
		acc >>= used &^ 7 & 63
		used &= 7
	}
	for _, v := range lits {
		c := codes[v]
		acc |= uint64(c&0xffff) << (used & 63)
		used += c >> 16
	}
	put8(out, n, acc)
	return n + int(used/8), acc >> (used &^ 7 & 63), used & 7
}
