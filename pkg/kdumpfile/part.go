package kdumpfile

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"slices"
	"sync"
)

// errCut means that a file ends too early.
func errCut() error { return fmt.Errorf("the file is cut off: %w", io.ErrUnexpectedEOF) }

// errNotStored means that the dump has no such page.
var errNotStored = errors.New("page not stored")

// descSize is that of a page_desc: offset, size, flags, the page's own flags.
const descSize = 24

// rankSpan is how many pages are between the counts that are kept of stored pages: a
// look-up reads 512 bytes of the bitmap. (1 TiB of memory has 64 Ki counts.)
const rankSpan = 4096

// countChunk is how much of the bitmap is read at once to count, in bytes: a multiple of a span's.
const countChunk = 64 << 10

// part is one file of a compressed dump.
type part struct {
	*Header
	file   File
	damage []error

	// How many pages are stored, counted as far as that was needed.
	mu      sync.Mutex
	ranks   []rank // of the spans with stored pages, in order: so many as there are bits
	stored  uint64 // pages in the spans that are counted
	counted uint64 // spans
}

// rank is how many pages are stored before the span of number span.
type rank struct{ span, before uint64 }

// desc is a page descriptor.
type desc struct {
	offset uint64 // 0: never written
	size   uint32 // bytes
	flags  uint32
}

func openPart(f File) (*part, error) {
	h, err := parseHeader(f)
	if err != nil {
		return nil, fmt.Errorf("compressed dump: %w", err)
	}
	p := &part{Header: h, file: f}
	if h.Status&statusIncomplete != 0 {
		p.damage = append(p.damage, errors.New("its writer marked it as incomplete"))
	}
	if h.EraseSize != 0 && (h.eraseAt > uint64(f.Size()) || h.EraseSize > uint64(f.Size())-h.eraseAt) {
		p.damage = append(p.damage, errCut())
	}
	return p, nil
}

// spanStart is the first page of span i.
func (p *part) spanStart(i uint64) uint64 { return p.StartPage&^(rankSpan-1) + i*rankSpan }

// readBits reads the bits of the pages from first on, a multiple of 8, into b, and clears those of pages
// that are not in this part.
func (p *part) readBits(b []byte, first uint64) error {
	return p.readBitmap(b, first, p.bitmapOffset())
}

// readMemory is readBits of the first bitmap.
func (p *part) readMemory(b []byte, first uint64) error {
	return p.readBitmap(b, first, p.memoryOffset())
}

func (p *part) readBitmap(b []byte, first, bitmap uint64) error {
	last := min(first+8*uint64(len(b)), p.EndPage)
	n := int((max(first, last) - first + 7) / 8)
	clear(b[n:])
	if m, err := p.file.ReadAt(b[:n], int64(bitmap+first/8)); m < n {
		return fmt.Errorf("read the bitmap: %w", noEOF(err))
	}
	if last%8 != 0 && n > 0 {
		b[n-1] &= 1<<(last%8) - 1
	}
	if first < p.StartPage {
		before := p.StartPage - first
		clear(b[:min(before/8, uint64(n))])
		if before/8 < uint64(n) {
			b[before/8] &^= 1<<(before%8) - 1
		}
	}
	return nil
}

func countBits(b []byte) (n uint64) {
	for ; len(b) >= 8; b = b[8:] {
		n += uint64(bits.OnesCount64(binary.LittleEndian.Uint64(b)))
	}
	for _, c := range b {
		n += uint64(bits.OnesCount8(c))
	}
	return n
}

// rank returns how many pages are stored before those of span i.
func (p *part) rank(i uint64) (uint64, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.count(i); err != nil {
		return 0, err
	}
	k, _ := slices.BinarySearchFunc(p.ranks, i, func(r rank, i uint64) int { return cmp.Compare(r.span, i) })
	if k < len(p.ranks) {
		return p.ranks[k].before, nil
	}
	return p.stored, nil
}

// count counts the stored pages of the spans before i. Holes of the file cost nothing.
func (p *part) count(i uint64) error {
	var buf []byte
	var end uint64 // of the data that a hole was looked for in: a page
	for p.counted < i {
		first := p.spanStart(p.counted)
		if first >= end {
			start, stop, err := nextData(p.file, int64(p.bitmapOffset()+first/8))
			if err != nil && err != io.EOF {
				return fmt.Errorf("look for holes in the bitmap: %w", err)
			}
			skip := i - p.counted
			if err == nil {
				skip = min(skip, (uint64(start)-p.bitmapOffset()-first/8)/(rankSpan/8))
				end = min(uint64(stop)-p.bitmapOffset(), maxPages/8) * 8
			}
			if skip > 0 {
				p.counted += skip
				end = 0
				continue
			}
		}
		if buf == nil {
			buf = make([]byte, min(countChunk, (i-p.counted)*(rankSpan/8)))
		}
		spans := min(i-p.counted, (end-first+rankSpan-1)/rankSpan)
		b := buf[:min(uint64(len(buf)), spans*(rankSpan/8))]
		if err := p.readBits(b, first); err != nil {
			return err
		}
		for ; len(b) > 0; b = b[rankSpan/8:] {
			if n := countBits(b[:rankSpan/8]); n > 0 {
				p.ranks = append(p.ranks, rank{p.counted, p.stored})
				p.stored += n
			}
			p.counted++
		}
	}
	return nil
}

// index returns which descriptor is that of page pfn. The error is errNotStored when there is none.
func (p *part) index(pfn uint64) (uint64, error) {
	i := pfn/rankSpan - p.StartPage/rankSpan
	first := p.spanStart(i)
	var b [rankSpan / 8]byte
	if err := p.readBits(b[:], first); err != nil {
		return 0, err
	}
	bit := pfn - first
	if b[bit/8]&(1<<(bit%8)) == 0 {
		return 0, errNotStored
	}
	before, err := p.rank(i)
	if err != nil {
		return 0, err
	}
	b[bit/8] &= 1<<(bit%8) - 1
	return before + countBits(b[:bit/8+1]), nil
}

// isMemory reports whether a page that is not stored was memory of the machine.
func (p *part) isMemory(pfn uint64) bool {
	if !p.twoBitmaps() {
		return false // unknown
	}
	var b [1]byte
	_, err := p.file.ReadAt(b[:], int64(p.memoryOffset()+pfn/8))
	return err == nil && b[0]&(1<<(pfn%8)) != 0
}

// desc reads the descriptor of number i.
func (p *part) desc(i uint64) (desc, error) {
	var b [descSize]byte
	if n, err := p.file.ReadAt(b[:], int64(p.descOffset()+i*descSize)); n < len(b) {
		return desc{}, fmt.Errorf("read descriptor %d of the pages: %w", i, noEOF(err))
	}
	return p.parseDesc(b[:], i)
}

// parseDesc takes apart the descriptor of number i.
func (p *part) parseDesc(b []byte, i uint64) (desc, error) {
	o := p.platform.Order
	d := desc{o.Uint64(b), o.Uint32(b[8:]), o.Uint32(b[12:])}
	switch {
	case d.offset == 0:
		return d, fmt.Errorf("descriptor %d of the pages was not written: %w", i, io.ErrUnexpectedEOF)
	case d.size == 0 || d.size > p.BlockSize:
		return d, fmt.Errorf("descriptor %d of the pages is for %d bytes; a page has %d", i, d.size, p.BlockSize)
	case d.offset > uint64(p.file.Size()) || uint64(d.size) > uint64(p.file.Size())-d.offset:
		return d, fmt.Errorf("descriptor %d of the pages is for %d bytes at %#x, the file has %#x: %w", i, d.size, d.offset, p.file.Size(), io.ErrUnexpectedEOF)
	}
	return d, nil
}

// tailPages is how many of the last descriptors are looked at to see whether a file is whole: all-zero
// pages share one place at the beginning.
const tailPages = 1024

// whole looks at the last pages of the file. It reads the whole bitmap.
func (p *part) whole() error {
	total, err := p.rank((p.EndPage + rankSpan - 1 - p.StartPage&^(rankSpan-1)) / rankSpan)
	if err != nil {
		return err
	}
	for i := total - min(total, tailPages); i < total; i++ {
		if _, err := p.desc(i); err != nil {
			return err
		}
	}
	return nil
}
