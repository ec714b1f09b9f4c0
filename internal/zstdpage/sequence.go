package zstdpage

import "math/bits"

// How many bits follow the codes of literal lengths and of match lengths, RFC 8878 section 3.1.1.3.2.1.1.
var (
	literalBits = [36]uint8{16: 1, 1, 1, 1, 2, 2, 3, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}
	matchBits   = [53]uint8{32: 1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}
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
	codes      []uint8
	counts     [maxSymbols]uint32
	norm       [maxSymbols]int16
	predefined fseTable // made once
	made       fseTable
	table      *fseTable // nil: all are the same
}

// sequenceCoder codes sequences.
type sequenceCoder struct {
	literals, offsets, matches coded
}

// append appends the section of sequences, RFC 8878 section 3.1.1.3.2.
func (c *sequenceCoder) append(dst []byte, seqs []sequence) []byte {
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
		dst, t = k.coded.choose(dst, k.norm, k.log, n)
		kind |= t << (6 - 2*i)
	}
	dst[at] = kind
	b := bitWriter{out: dst}
	l, o, m := &c.literals, &c.offsets, &c.matches
	made := l.table != nil && o.table != nil && m.table != nil
	ls, os, ms := l.first(), o.first(), m.first()
	for i := n - 1; ; i-- {
		s := &seqs[i]
		lc, oc, mc := l.codes[i], o.codes[i], m.codes[i]
		switch {
		case i == n-1:
		case made:
			os = o.table.next(&b, os, oc)
			ms = m.table.next(&b, ms, mc)
			ls = l.table.next(&b, ls, lc)
		default:
			if o.table != nil {
				os = o.table.next(&b, os, oc)
			}
			if m.table != nil {
				ms = m.table.next(&b, ms, mc)
			}
			if l.table != nil {
				ls = l.table.next(&b, ls, lc)
			}
		}
		lw, mw, ow := uint(literalBits[lc]), uint(matchBits[mc]), uint(oc)
		if lw+mw+ow > 63-7-3*maxTableLog {
			b.flush()
		}
		b.add(uint64(s.lits)&(1<<(lw&31)-1), lw)
		b.add(uint64(s.match-3)&(1<<(mw&31)-1), mw)
		b.add(uint64(s.offset)&(1<<(ow&31)-1), ow)
		b.flush()
		if i == 0 {
			break
		}
	}
	if m.table != nil {
		m.table.end(&b, ms)
	}
	if o.table != nil {
		o.table.end(&b, os)
	}
	if l.table != nil {
		l.table.end(&b, ls)
	}
	return b.close()
}

// code finds the codes of the sequences.
func (c *sequenceCoder) code(seqs []sequence) {
	l, o, m := c.literals.reset(len(seqs)), c.offsets.reset(len(seqs)), c.matches.reset(len(seqs))
	for i := range seqs {
		s := &seqs[i]
		lc, oc, mc := uint8(0), uint8(bits.Len32(s.offset)-1), uint8(0)
		if s.lits < uint32(len(literalCodes)) {
			lc = literalCodes[s.lits]
		} else {
			lc = uint8(bits.Len32(s.lits) + 18)
		}
		if n := s.match - 3; n < uint32(len(matchCodes)) {
			mc = matchCodes[n]
		} else {
			mc = uint8(bits.Len32(n) + 35)
		}
		l[i], o[i], m[i] = lc, oc, mc
		c.literals.counts[lc]++
		c.offsets.counts[oc]++
		c.matches.counts[mc]++
	}
}

func (c *coded) reset(n int) []uint8 {
	clear(c.counts[:])
	if cap(c.codes) < n {
		c.codes = make([]uint8, n, 2*n)
	}
	c.codes = c.codes[:n]
	return c.codes
}

// choose chooses a table and appends its description.
func (c *coded) choose(dst []byte, norm []int16, log uint, n int) ([]byte, byte) {
	last := c.codes[n-1]
	if int(c.counts[last]) == n {
		c.table = nil
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

// first is the state after the last sequence.
func (c *coded) first() uint32 {
	if c.table == nil {
		return 0
	}
	return c.table.first(c.codes[len(c.codes)-1])
}
