package kdumpfile

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"

	"github.com/gokexec/gokexec/pkg/memmap"
)

// rawReader copies pages out of a compressed dump as they are stored there, many at a time.
type rawReader struct {
	c     *Compressed
	flags uint32 // those that needn't be packed again
	plain bool   // those that aren't packed neither

	list  []rawPage
	index []uint64 // of the descriptors
	descs []byte
	data  []byte
	page  []byte
}

// rawPage is where a page is.
type rawPage struct {
	part *part
	desc desc
	err  error
}

// newRawReader returns nil when pages can't be copied so from a source.
func newRawReader(s *source, codec Codec) *rawReader {
	c, ok := undescribed(s.d).(*Compressed)
	if !ok || uint64(c.Header.BlockSize) != s.page {
		return nil
	}
	const all = pageZlib | pageLZO | pageSnappy | pageZstd
	return &rawReader{c: c, flags: codec.flags(), plain: c.Header.Status&all == codec.flags(), page: make([]byte, s.page)}
}

// pack adds the pages of a batch to it.
func (r *rawReader) pack(w *worker, b *batch) error {
	if err := r.find(b.pfns); err != nil {
		return err
	}
	for i := 0; i < len(b.pfns); {
		n := r.load(i)
		start := r.list[i].desc.offset
		for end := i + n; i < end; i++ {
			p := &r.list[i]
			var src []byte
			if p.err == nil {
				src = r.data[p.desc.offset-start:][:p.desc.size]
			}
			r.packPage(w, b, b.pfns[i], p, src)
		}
	}
	return nil
}

// packPage adds one page, of which src is what is stored.
func (r *rawReader) packPage(w *worker, b *batch, pfn uint64, p *rawPage, src []byte) {
	d := p.desc
	small := int(d.size) <= len(r.page)/16 || d.flags == 0 // a page of zeroes can't be longer
	again := p.err != nil || d.flags != r.flags && (d.flags != 0 || !r.plain)
	if again || small && w.omit {
		err := p.err
		if err == nil {
			err = r.c.codec.decode(r.page, src, d.flags)
		}
		if err != nil {
			b.bad = append(b.bad, badPage{memmap.PhysAddr(pfn * w.src.page), fmt.Errorf("kdumpfile: page frame %#x: %w", pfn, err)})
			clear(r.page)
			again = true
		}
		if again || bytes.Equal(r.page, w.zero) {
			w.packPage(b, r.page, binary.NativeEndian.Uint64(r.page))
			return
		}
	}
	b.data = append(b.data, src...)
	b.out = append(b.out, outPage{d.size, d.flags})
}

// load reads the data of the pages from i on which are next to each other in the file, and
// returns how many these are. An error is noted with the page.
func (r *rawReader) load(i int) (n int) {
	first := &r.list[i]
	if first.err != nil {
		return 1
	}
	start, end := first.desc.offset, first.desc.offset+uint64(first.desc.size)
	for n = 1; i+n < len(r.list); n++ {
		p := &r.list[i+n]
		if d := p.desc; p.err != nil || p.part != first.part || d.offset < start || d.offset > end || d.offset+uint64(d.size)-start > batchBytes {
			break
		}
		end = max(end, p.desc.offset+uint64(p.desc.size))
	}
	if size := int(end - start); cap(r.data) < size {
		r.data = make([]byte, size, max(size, batchBytes))
	}
	r.data = r.data[:end-start]
	if m, err := first.part.file.ReadAt(r.data, int64(start)); m < len(r.data) {
		if n > 1 {
			// Find out which of them it is.
			r.data, n = r.data[:first.desc.size], 1
			m, err = first.part.file.ReadAt(r.data, int64(start))
		}
		if m < len(r.data) {
			first.err = fmt.Errorf("read the page at %#x of the file: %w", start, noEOF(err))
		}
	}
	return n
}

// find looks up where the pages are.
func (r *rawReader) find(pfns []uint64) error {
	r.list = r.list[:0]
	for len(pfns) > 0 {
		bit := pfns[0] - r.c.base
		i := slices.IndexFunc(r.c.parts, func(p *part) bool { return bit >= p.StartPage && bit < p.EndPage })
		if pfns[0] < r.c.base || i < 0 {
			return fmt.Errorf("page frame %#x: %w", pfns[0], errNotStored)
		}
		p := r.c.parts[i]
		span := bit/rankSpan - p.StartPage/rankSpan
		end := min(p.spanStart(span+1), p.EndPage) + r.c.base
		n := 1
		for n < len(pfns) && pfns[n] < end {
			n++
		}
		if err := r.findSpan(p, span, pfns[:n]); err != nil {
			return err
		}
		pfns = pfns[n:]
	}
	return nil
}

// findSpan looks up pages of one span of a part.
func (r *rawReader) findSpan(p *part, span uint64, pfns []uint64) error {
	var b [rankSpan / 8]byte
	first := p.spanStart(span)
	if err := p.readBits(b[:], first); err != nil {
		return err
	}
	before, err := p.rank(span)
	if err != nil {
		return err
	}
	list := len(r.list)
	at := uint64(0) // bytes that are counted in before
	for _, pfn := range pfns {
		bit := pfn - r.c.base - first
		before += countBits(b[at : bit/8])
		at = bit / 8
		if b[at]>>(bit%8)&1 == 0 {
			return fmt.Errorf("page frame %#x: %w", pfn, errNotStored)
		}
		r.index = append(r.index[:len(r.list)-list], before+uint64(bits.OnesCount8(b[at]&(1<<(bit%8)-1))))
		r.list = append(r.list, rawPage{part: p})
	}
	from := r.index[0]
	size := int(r.index[len(pfns)-1]-from+1) * descSize
	if cap(r.descs) < size {
		r.descs = make([]byte, rankSpan*descSize)
	}
	m, err := p.file.ReadAt(r.descs[:size], int64(p.descOffset()+from*descSize))
	for i, index := range r.index[:len(pfns)] {
		item := &r.list[list+i]
		if at := int(index-from) * descSize; at+descSize <= m {
			item.desc, item.err = p.parseDesc(r.descs[at:], index)
		} else {
			item.err = fmt.Errorf("read descriptor %d of the pages: %w", index, noEOF(err))
		}
	}
	return nil
}
