package pagepack

import (
	"encoding/binary"
	"math/bits"
)

// maxBlock is how many bytes are searched at once for what they repeat.
const maxBlock = 64 << 10

// slack is how far behind a page is read and written.
const slack = 32

// tableBits is the size of the table of the search.
const tableBits = 12

// search divides a page into literals and matches.
type search struct {
	page  [maxBlock + slack]byte // the page, so that no index needs a check
	table [1 << tableBits]uint16 // where some bytes were last
	lits  [maxBlock + slack]byte // literals
	nlits int
	seqs  []sequence
	last  [3]int // distances used last, as Zstandard has them
}

// sequence is a number of literals, and the match that follows them: in bits 0 to 15 and 16 to 31 their bytes, in
// bits 32 to 47 how far back the match is, and in those above 1 to 3 if Zstandard has that as a distance that was used
// before.
type sequence uint64

func (s sequence) lits() uint32     { return uint32(s) & 0xffff }
func (s sequence) match() uint32    { return uint32(s) >> 16 }
func (s sequence) distance() uint32 { return uint32(s>>32) & 0xffff }

// offset is the distance as Zstandard writes it: 1 to 3, or 3 more than it is.
func (s sequence) offset() uint32 {
	repeats := uint32(s >> 48)
	// One or the other: a branch would often be guessed wrong.
	return repeats | (s.distance()+3)&uint32(int32(repeats-1)>>31)
}

func hash(v uint64, shift uint) uint64 {
	return v << (shift & 63) * 0x9fb21c651e98df25 >> (64 - tableBits)
}

func (w *search) load64(i uint16) uint64 {
	at := int(i)
	return binary.LittleEndian.Uint64(w.page[at : at+8])
}

func (w *search) load32(i uint16) uint32 {
	at := int(i)
	return binary.LittleEndian.Uint32(w.page[at : at+4])
}

// matchLen returns how many bytes from i and j on are the same, j being the higher, up to end.
func (w *search) matchLen(i, j, end int) int {
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

// effort is how a search is done.
type effort struct {
	hashed   uint // bytes that are looked up
	least    uint // bytes of a match, 3 or 4
	patience uint // after 1<<patience literals in a row it begins to leave places out
}

// far is from where on a match of 3 bytes takes more room than these.
const far = 512

// run searches at most maxBlock bytes.
func (w *search) run(b []byte, e effort) {
	shift, mask := 64-8*e.hashed, ^uint32(0)>>(32-8*e.least)
	copy(w.page[:], b)
	clear(w.table[:])
	w.nlits, w.seqs = 0, w.seqs[:0]
	const tail = 9 // bytes that are read from a place on
	last := &w.last
	size := len(b)
	emitted, at := 0, 1
	for at < size-tail {
		v := w.load64(uint16(at))
		h := hash(v, shift)
		from := int(w.table[h])
		w.table[h] = uint16(at)
		n := int(e.least)
		if at >= last[0] && w.load32(uint16(at+1-last[0])) == uint32(v>>8) {
			at++
			from = at - last[0]
			n = 4
		} else if x := w.load32(uint16(from)) ^ uint32(v); x&mask != 0 || x != 0 && at-from > far {
			at += 1 + (at-emitted)>>(e.patience&31)
			continue
		}
		n += w.matchLen(from+n, at+n, size)
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
		w.table[hash(w.load64(uint16(at-2)), shift)] = uint16(at - 2)
		// What was used before the last is tried at once.
		for at < size-tail && at >= last[1] && w.load32(uint16(at)) == w.load32(uint16(at-last[1])) {
			w.table[hash(w.load64(uint16(at)), shift)] = uint16(at)
			n := 4 + w.matchLen(at+4-last[1], at+4, size)
			w.emit(at, at, n, last[1])
			at += n
			emitted = at
		}
	}
	w.nlits += copy(w.lits[w.nlits:], w.page[emitted:size])
}

// emit notes the literals from emitted to at and the match of n bytes that follows them.
func (w *search) emit(emitted, at, n, distance int) {
	to, from := int(uint16(w.nlits)), int(uint16(emitted))
	if lits := at - emitted; lits <= 16 {
		copy(w.lits[to:to+16], w.page[from:from+16])
	} else {
		copy(w.lits[to:], w.page[from:at])
	}
	w.nlits += at - emitted
	last := &w.last
	// Without literals the first of them makes no sense, and the numbers begin with the second.
	i, repeats := 0, 0
	if at == emitted {
		i = 1
	}
	switch {
	case i == 0 && distance == last[0]:
		repeats = 1
	case distance == last[1]:
		repeats = 2 - i
		last[0], last[1] = last[1], last[0]
	case distance == last[2]:
		repeats = 3 - i
		last[0], last[1], last[2] = last[2], last[0], last[1]
	default:
		last[0], last[1], last[2] = distance, last[0], last[1]
	}
	w.seqs = append(w.seqs, sequence(at-emitted)|sequence(n)<<16|sequence(distance)<<32|sequence(repeats)<<48)
}
