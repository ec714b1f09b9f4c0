package pagepack

import (
	"math/bits"
	"slices"
)

// How many bits follow the codes of literal lengths and of match lengths, RFC 8878 section 3.1.1.3.2.1.1.
var (
	literalBits = [64]uint8{16: 1, 1, 1, 1, 2, 2, 3, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}
	matchBits   = [64]uint8{32: 1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}
)

// The codes of lengths below 64, and of match lengths less 3 below 128.
var (
	literalCodes = [64]uint8{
		0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 16, 17, 17, 18, 18, 19, 19, 20, 20, 20, 20, 21, 21, 21, 21,
		22, 22, 22, 22, 22, 22, 22, 22, 23, 23, 23, 23, 23, 23, 23, 23, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24,
	}
	matchCodes = [128]uint8{
		0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31,
		32, 32, 33, 33, 34, 34, 35, 35, 36, 36, 36, 36, 37, 37, 37, 37, 38, 38, 38, 38, 38, 38, 38, 38, 39, 39, 39, 39, 39, 39, 39, 39,
		40, 40, 40, 40, 40, 40, 40, 40, 40, 40, 40, 40, 40, 40, 40, 40, 41, 41, 41, 41, 41, 41, 41, 41, 41, 41, 41, 41, 41, 41, 41, 41,
		42, 42, 42, 42, 42, 42, 42, 42, 42, 42, 42, 42, 42, 42, 42, 42, 42, 42, 42, 42, 42, 42, 42, 42, 42, 42, 42, 42, 42, 42, 42, 42,
	}
)

// The distributions that a decoder has beforehand, RFC 8878 section 3.1.1.3.2.2.
var (
	literalNorm = []int16{4, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 2, 1, 1, 1, 1, 1, -1, -1, -1, -1}
	matchNorm   = []int16{1, 4, 3, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
		1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1}
	offsetNorm = []int16{1, 1, 1, 1, 1, 1, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1}
)

// Kinds of tables.
const (
	tablePredefined = 0
	tableRLE        = 1
	tableMade       = 2
)

// predefinedMax is up to how many sequences a table of their own isn't worth its description.
const predefinedMax = 40

// coded is one of the three things that a sequence has.
type coded struct {
	counts     [maxSymbols]uint32
	norm       [maxSymbols]int16
	predefined fseTable // made once
	made       fseTable
	none       fseTable // of one symbol, which has no bits
	table      *fseTable
}

// sequenceCoder codes sequences.
type sequenceCoder struct {
	literals, offsets, matches coded

	codes [][4]uint8 // of the sequences: of their literals, offset and match

	// Of the pages of an array in memory many have the same sequences, and differ in their literals only.
	before []sequence // that were coded last
	packed []byte     // what became of them
}

// append appends the section of sequences, RFC 8878 section 3.1.1.3.2.
func (c *sequenceCoder) append(dst []byte, seqs []sequence) []byte {
	if len(seqs) > 0 && slices.Equal(seqs, c.before) {
		return append(dst, c.packed...)
	}
	start := len(dst)
	dst = c.pack(dst, seqs)
	c.before, c.packed = append(c.before[:0], seqs...), append(c.packed[:0], dst[start:]...)
	return dst
}

// pack appends the section.
func (c *sequenceCoder) pack(dst []byte, seqs []sequence) []byte {
	n := len(seqs)
	if n < 128 {
		dst = append(dst, byte(n))
	} else {
		dst = append(dst, byte(n>>8)+128, byte(n))
	}
	if n == 0 {
		return dst
	}
	c.code(seqs)
	at := len(dst)
	dst = append(dst, 0)
	var kind byte
	for i, k := range []struct {
		coded *coded
		norm  []int16
		log   uint // of norm
	}{{&c.literals, literalNorm, 6}, {&c.offsets, offsetNorm, 5}, {&c.matches, matchNorm, 6}} {
		var t byte
		dst, t = k.coded.choose(dst, c.codes[n-1][i], k.norm, k.log, n)
		kind |= t << (6 - 2*i)
	}
	dst[at] = kind
	l, o, m := &c.literals, &c.offsets, &c.matches
	out, at := room(dst, n*12+32)
	acc, used := uint64(0), uint32(0)
	codes := c.codes[:n]
	last := codes[n-1]
	ls, os, ms := l.table.first(last[0]), o.table.first(last[1]), m.table.first(last[2])
	for i := n - 1; ; i-- {
		// In the loop what a bitWriter has is in registers.
		s, code := seqs[i], &codes[i]
		lw, ow, mw := uint32(literalBits[code[0]&63]), uint32(code[1]), uint32(matchBits[code[2]&63])
		if used+lw+mw+ow > 63 {
			put8(out, at, acc)
			at += int(used / 8)
			acc >>= used &^ 7 & 63
			used &= 7
		}
		acc |= uint64(s.lits()&(1<<(lw&31)-1)) << (used & 63)
		used += lw
		acc |= uint64((s.match()-3)&(1<<(mw&31)-1)) << (used & 63)
		used += mw
		acc |= uint64(s.offset()&(1<<(ow&31)-1)) << (used & 63)
		used += ow
		put8(out, at, acc)
		at += int(used / 8)
		acc >>= used &^ 7 & 63
		used &= 7
		if i == 0 {
			break
		}
		code = &codes[i-1]
		od, md, ld := &o.table.delta[code[1]%maxSymbols], &m.table.delta[code[2]%maxSymbols], &l.table.delta[code[0]%maxSymbols]
		k := (os + od.bits) >> 16
		acc |= uint64(os&(1<<(k&31)-1)) << (used & 63)
		used += k
		os = uint32(o.table.states[(os>>(k&31)+od.state)%(1<<maxTableLog)])
		k = (ms + md.bits) >> 16
		acc |= uint64(ms&(1<<(k&31)-1)) << (used & 63)
		used += k
		ms = uint32(m.table.states[(ms>>(k&31)+md.state)%(1<<maxTableLog)])
		k = (ls + ld.bits) >> 16
		acc |= uint64(ls&(1<<(k&31)-1)) << (used & 63)
		used += k
		ls = uint32(l.table.states[(ls>>(k&31)+ld.state)%(1<<maxTableLog)])
	}
	b := bitWriter{out: out[:at], acc: acc, bits: uint(used)}
	m.table.end(&b, ms)
	o.table.end(&b, os)
	l.table.end(&b, ls)
	return b.close()
}

// code finds the codes of the sequences.
func (c *sequenceCoder) code(seqs []sequence) {
	l, o, m := &c.literals.counts, &c.offsets.counts, &c.matches.counts
	clear(l[:])
	clear(o[:])
	clear(m[:])
	c.codes = slices.Grow(c.codes[:0], len(seqs))[:len(seqs)]
	for i, s := range seqs {
		lits, match := s.lits(), s.match()-3
		lc, oc, mc := uint8(0), uint8(bits.Len32(s.offset())-1), uint8(0)
		if lits < uint32(len(literalCodes)) {
			lc = literalCodes[lits]
		} else {
			lc = uint8(bits.Len32(lits) + 18)
		}
		if match < uint32(len(matchCodes)) {
			mc = matchCodes[match]
		} else {
			mc = uint8(bits.Len32(match) + 35)
		}
		c.codes[i] = [4]uint8{lc, oc, mc}
		l[lc%maxSymbols]++
		o[oc%maxSymbols]++
		m[mc%maxSymbols]++
	}
}

// choose chooses a table for n symbols, of which one is the last, and appends its description.
func (c *coded) choose(dst []byte, last uint8, norm []int16, log uint, n int) ([]byte, byte) {
	if int(c.counts[last]) == n {
		c.table = &c.none
		return append(dst, last), tableRLE
	}
	if n > predefinedMax {
		used := maxSymbols
		for c.counts[used-1] == 0 {
			used--
		}
		log := uint(max(5, min(bits.Len(uint(n))-2, maxTableLog)))
		if normalize(c.norm[:used], c.counts[:used], uint32(n), log) {
			c.table = &c.made
			c.made.build(c.norm[:used], log)
			return appendNorm(dst, c.norm[:used], log), tableMade
		}
	}
	if c.table = &c.predefined; c.predefined.log == 0 {
		c.predefined.build(norm, log)
	}
	return dst, tablePredefined
}
