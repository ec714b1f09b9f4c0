package zstdpage

import (
	"encoding/binary"
	"math/bits"
)

// maxBlock is how many bytes are searched at once for what they repeat.
const maxBlock = 64 << 10

// MinPage is the smallest page that can be packed, in bytes: the field of the frame's size begins with it.
const MinPage = 256

// Work is what packing a page needs, to be used again. The zero Work is ready. It is for one goroutine at a time.
type Work struct {
	page  [maxBlock + slack]byte // the page, so that no index needs a check
	table [1 << tableBits]uint16 // where 5 bytes were last
	lits  [maxBlock + slack]byte // literals
	nlits int
	seqs  []sequence
	huff  huffman
	coder sequenceCoder
	last  [3]int // offsets used last
}

// slack is how far behind a page is read and written.
const slack = 32

// tableBits is the size of the tables of the search.
const tableBits = 12

// sequence is a number of literals, and the match that follows them: in bits 0 to 15 and 16 to 31 their bytes, in
// bits 32 to 63 how far back the match is plus 3, or 1 to 3 as the format has offsets that were used before.
type sequence uint64

func (s sequence) lits() uint32   { return uint32(s) & 0xffff }
func (s sequence) match() uint32  { return uint32(s) >> 16 }
func (s sequence) offset() uint32 { return uint32(s >> 32) }

// Append appends the page to dst as one frame. What of a page doesn't get smaller by that is in it as it is.
// A page has at least MinPage bytes.
func Append(dst, page []byte, w *Work) []byte {
	// Magic number; one segment, its size in two bytes less 256, or in four; no checksum.
	dst = append(dst, 0x28, 0xb5, 0x2f, 0xfd)
	if n := len(page) - MinPage; n < 1<<16 {
		dst = append(dst, 0x60, byte(n), byte(n>>8))
	} else {
		dst = binary.LittleEndian.AppendUint32(append(dst, 0xa0), uint32(len(page)))
	}
	w.last = [3]int{1, 4, 8}
	for len(page) > maxBlock {
		dst = w.appendBlock(dst, page[:maxBlock], 0)
		page = page[maxBlock:]
	}
	return w.appendBlock(dst, page, 1)
}

// appendBlock appends a block, RFC 8878 section 3.1.1.2; end is 1 for the last one.
func (w *Work) appendBlock(dst, b []byte, end int) []byte {
	start, last := len(dst), w.last
	dst = append(dst, 0, 0, 0)
	w.search(b)
	dst = w.huff.appendLiterals(dst, w.lits[:w.nlits])
	dst = w.coder.append(dst, w.seqs)
	size, kind := len(dst)-start-3, 2
	if size >= len(b) {
		dst = append(dst[:start+3], b...)
		size, kind, w.last = len(b), 0, last
	}
	head := size<<3 | kind<<1 | end
	dst[start], dst[start+1], dst[start+2] = byte(head), byte(head>>8), byte(head>>16)
	return dst
}

func hash(v uint64) uint64 { return v << 24 * 0x9fb21c651e98df25 >> (64 - tableBits) }

func (w *Work) load64(i uint16) uint64 {
	at := int(i)
	return binary.LittleEndian.Uint64(w.page[at : at+8])
}

func (w *Work) load32(i uint16) uint32 {
	at := int(i)
	return binary.LittleEndian.Uint32(w.page[at : at+4])
}

// matchLen returns how many bytes from i and j on are the same, j being the higher, up to end.
func (w *Work) matchLen(i, j, end int) int {
	start := j
	for j+8 <= end {
		if x := w.load64(uint16(i)) ^ w.load64(uint16(j)); x != 0 {
			return j - start + bits.TrailingZeros64(x)/8
		}
		i, j = i+8, j+8
	}
	for j < end && w.page[uint16(i)] == w.page[uint16(j)] {
		i, j = i+1, j+1
	}
	return j - start
}

// search divides a page into literals and matches.
func (w *Work) search(b []byte) {
	copy(w.page[:], b)
	clear(w.table[:])
	w.nlits, w.seqs = 0, w.seqs[:0]
	const tail = 9 // bytes that are read from a place on
	last := &w.last
	size := len(b)
	emitted, at := 0, 1
	for at < size-tail {
		v := w.load64(uint16(at))
		h := hash(v)
		from := int(w.table[h])
		w.table[h] = uint16(at)
		n := 4
		if at >= last[0] && w.load32(uint16(at+1-last[0])) == uint32(v>>8) {
			at++
			from = at - last[0]
		} else if w.load32(uint16(from)) != uint32(v) {
			at += 1 + (at-emitted)>>6
			continue
		}
		n += w.matchLen(from+4, at+4, size)
		for from > 0 && at > emitted && w.page[uint16(from-1)] == w.page[uint16(at-1)] {
			from, at, n = from-1, at-1, n+1
		}
		w.emit(emitted, at, n, at-from)
		at += n
		emitted = at
		if at >= size-tail {
			break
		}
		// Remember a place within the match.
		w.table[hash(w.load64(uint16(at-2)))] = uint16(at - 2)
		// What was used before the last is tried at once.
		for at < size-tail && at >= last[1] && w.load32(uint16(at)) == w.load32(uint16(at-last[1])) {
			w.table[hash(w.load64(uint16(at)))] = uint16(at)
			n := 4 + w.matchLen(at+4-last[1], at+4, size)
			w.emit(at, at, n, last[1])
			at += n
			emitted = at
		}
	}
	w.nlits += copy(w.lits[w.nlits:], w.page[emitted:size])
}

// emit notes the literals from emitted to at and the match of n bytes that follows them.
func (w *Work) emit(emitted, at, n, offset int) {
	to, from := int(uint16(w.nlits)), int(uint16(emitted))
	if lits := at - emitted; lits <= 16 {
		copy(w.lits[to:to+16], w.page[from:from+16])
	} else {
		copy(w.lits[to:], w.page[from:at])
	}
	w.nlits += at - emitted
	last := &w.last
	code := 0
	// Without literals the first of them makes no sense, and the numbers begin with the second.
	i := 0
	if at == emitted {
		i = 1
	}
	switch {
	case i == 0 && offset == last[0]:
		code = 1
	case offset == last[1]:
		code = 2 - i
		last[0], last[1] = last[1], last[0]
	case offset == last[2]:
		code = 3 - i
		last[0], last[1], last[2] = last[2], last[0], last[1]
	default:
		code = offset + 3
		last[0], last[1], last[2] = offset, last[0], last[1]
	}
	w.seqs = append(w.seqs, sequence(at-emitted)|sequence(n)<<16|sequence(code)<<32)
}
