package kdumpfile

import (
	"io"
	"math/bits"
	"sync"

	"github.com/gokexec/gokexec/pkg/memmap"
)

// PageSize returns the bytes of a page of the crashed machine: what VMCOREINFO says, else the dump's block
// size, else 4096. Page frames are counted in it.
func PageSize(d Dump) uint64 {
	if info, err := d.VMCoreInfo(); err == nil && validPage(info.PageSize) {
		return info.PageSize
	}
	if c, ok := undescribed(d).(*Compressed); ok {
		return uint64(c.Header.BlockSize)
	}
	return memmap.PageSize
}

func validPage(n uint64) bool {
	return n >= minBlockSize && n <= maxBlockSize && bits.OnesCount64(n) == 1
}

// wholePages returns the ranges, each extended to whole pages.
func wholePages(exact memmap.Set, page uint64) memmap.Set {
	ranges := exact.Ranges()
	mask := memmap.PhysAddr(page - 1)
	for i, r := range ranges {
		end := r.End &^ mask
		if end != r.End && end <= ^mask-memmap.PhysAddr(page) {
			end += memmap.PhysAddr(page)
		}
		ranges[i] = memmap.Range{Start: r.Start &^ mask, End: end}
	}
	return memmap.NewSet(ranges...)
}

// nextRange returns what of a set is at or after addr first; io.EOF if nothing is.
func nextRange(set memmap.Set, addr memmap.PhysAddr) (memmap.Range, error) {
	r, ok := set.Next(addr)
	if !ok {
		return r, io.EOF
	}
	return r, nil
}

// bitWindow is a piece of a bitmap: 64 KiB, the pages of 2 GiB.
type bitWindow struct {
	mu    sync.Mutex
	part  *part
	first uint64 // page of its first bit, relative to the bitmap
	bits  []byte
}

// nextBit returns the first stretch of set bits at or after page pfn of p, which ends with the piece
// of the bitmap at the latest; ok is false when there is none before the end of the part.
func (w *bitWindow) nextBit(p *part, pfn uint64, read func(b []byte, first uint64) error, bitmap uint64) (first, last uint64, ok bool, err error) {
	const span = 8 * countChunk
	w.mu.Lock()
	defer w.mu.Unlock()
	for pfn < p.EndPage {
		at := pfn &^ (span - 1)
		if w.part != p || w.first != at || w.bits == nil {
			start, _, err := nextData(p.file, int64(bitmap+pfn/8))
			if err == io.EOF {
				return 0, 0, false, nil
			} else if err != nil {
				return 0, 0, false, err
			}
			if next := max(pfn, (uint64(start)-bitmap)*8); next >= at+span {
				pfn = next // nothing but zeroes before it
				continue
			}
			if w.bits == nil {
				w.bits = make([]byte, countChunk)
			}
			w.part = nil
			if err := read(w.bits, at); err != nil {
				return 0, 0, false, err
			}
			w.part, w.first = p, at
		}
		if first, last := runOf(w.bits, pfn-at); first < last {
			return at + first, at + last, true, nil
		}
		pfn = at + span
	}
	return 0, 0, false, nil
}

// runOf returns the first run of set bits at or after bit i; empty if there is none.
func runOf(b []byte, i uint64) (first, last uint64) {
	n := 8 * uint64(len(b))
	for i < n && b[i/8]>>(i%8) == 0 {
		i = i&^7 + 8
	}
	if i >= n {
		return n, n
	}
	first = i + uint64(bits.TrailingZeros8(b[i/8]>>(i%8)))
	i = first
	for i < n {
		ones := uint64(bits.TrailingZeros8(^(b[i/8] >> (i % 8))))
		if ones < 8-i%8 {
			return first, i + ones
		}
		i = i&^7 + 8
	}
	return first, n
}

// NextMemory returns the first stretch at or after addr of memory that the crashed machine had: see Dump.
func (e *ELF) NextMemory(addr memmap.PhysAddr) (memmap.Range, error) {
	return nextRange(e.memory, addr)
}

// NextHeld returns the first stretch at or after addr of memory that is in the file: see Dump. What a
// filter left out reads as zeroes and isn't held.
func (e *ELF) NextHeld(addr memmap.PhysAddr) (memmap.Range, error) { return nextRange(e.held, addr) }

// NextMemory returns the first stretch at or after addr of memory that the crashed machine had, by
// the first bitmap: see Dump. A dump that has one bitmap only doesn't tell what else was memory.
func (c *Compressed) NextMemory(addr memmap.PhysAddr) (memmap.Range, error) {
	return c.next(addr, &c.memory, func(p *part) (func([]byte, uint64) error, uint64) {
		if p.twoBitmaps() {
			return p.readMemory, p.memoryOffset()
		}
		return p.readBits, p.bitmapOffset()
	})
}

// NextHeld returns the first stretch at or after addr of memory whose pages are in the dump: see Dump.
func (c *Compressed) NextHeld(addr memmap.PhysAddr) (memmap.Range, error) {
	return c.next(addr, &c.held, func(p *part) (func([]byte, uint64) error, uint64) { return p.readBits, p.bitmapOffset() })
}

func (c *Compressed) next(addr memmap.PhysAddr, w *bitWindow, of func(*part) (func([]byte, uint64) error, uint64)) (memmap.Range, error) {
	bs := uint64(c.Header.BlockSize)
	limit := ^uint64(0) / bs // page frame
	pfn := max(uint64(addr)/bs, c.base) - c.base
	for _, p := range c.parts {
		if pfn >= p.EndPage {
			continue
		}
		read, bitmap := of(p)
		first, last, ok, err := w.nextBit(p, max(pfn, p.StartPage), read, bitmap)
		if err != nil {
			return memmap.Range{}, err
		}
		if first += c.base; ok && first < limit {
			r := memmap.Range{Start: memmap.PhysAddr(first * bs), End: memmap.PhysAddr(min(last+c.base, limit) * bs)}
			r.Start = max(r.Start, addr)
			return r, nil
		}
	}
	return memmap.Range{}, io.EOF
}
