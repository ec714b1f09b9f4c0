package kdumpfile

import (
	"context"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"io"
	"math/bits"

	"github.com/gokexec/gokexec/pkg/memmap"
)

// WriteCompressed writes the memory of d to w in makedumpfile's compressed format, header version 6, at most a few
// MiB of it in memory at a time whatever its size.
//
// When it can't go on, the error says why, and what is at w is a dump that can be read and says that it is
// incomplete: the bitmaps come first, and pages that aren't there are known by their descriptors. The writes
// ascend but for the headers and descriptors, which are in front of the pages. w isn't closed.
func WriteCompressed(ctx context.Context, w io.WriterAt, d Dump, opt WriteOptions) (Written, error) {
	k := &kdumpWriter{w: w, opt: &opt, src: newSource(d, &opt)}
	err := k.write(ctx)
	if err != nil {
		k.done.Incomplete = true
		err = fmt.Errorf("kdumpfile: write a compressed dump: %w", err)
	}
	return k.done, err
}

// kdumpWriter writes one compressed dump.
type kdumpWriter struct {
	w    io.WriterAt
	opt  *WriteOptions
	src  *source
	head *Header
	lay  layout
	base uint64 // page frame of bit 0
	done Written

	kept  []windowKept
	descs buffer // of page descriptors
	data  buffer // of pages
	zero  desc   // of the page of zeroes; offset 0: not written
}

// windowKept is how many pages of a window are kept: the second time a filter is asked, it must be so many.
type windowKept struct {
	first uint64
	pages int
}

// buffer collects what is written to w one after the other.
type buffer struct {
	w   io.WriterAt
	at  int64 // where b goes
	b   []byte
	max *int64 // the end of what was written
}

func (b *buffer) Write(p []byte) (int, error) {
	for n := 0; n < len(p); {
		m := min(cap(b.b)-len(b.b), len(p)-n)
		b.b = append(b.b, p[n:n+m]...)
		if n += m; len(b.b) == cap(b.b) {
			if err := b.flush(); err != nil {
				return n, err
			}
		}
	}
	return len(p), nil
}

func (b *buffer) flush() error {
	n, err := b.w.WriteAt(b.b, b.at)
	if err == nil && n < len(b.b) {
		err = io.ErrShortWrite
	}
	b.at += int64(n)
	*b.max = max(*b.max, b.at)
	b.b = b.b[:0]
	return err
}

func (k *kdumpWriter) buffer(at uint64, size int) buffer {
	return buffer{w: k.w, at: int64(at), b: make([]byte, 0, size), max: &k.done.Bytes}
}

func (k *kdumpWriter) write(ctx context.Context) error {
	k.head = newHeader(k.src.d, k.opt, k.src.page)
	k.lay = layoutOf(k.head.platform)
	if err := k.findPages(); err != nil {
		return err
	}
	if err := k.writeHeader(); err != nil {
		return err
	}
	notes := k.buffer(k.head.noteOffset, 64<<10)
	if err := copyNotes(&notes, k.src.d); err != nil {
		return err
	}
	if err := notes.flush(); err != nil {
		return err
	}
	if err := k.writeBitmaps(ctx); err != nil {
		return err
	}
	err := k.writePages(ctx)
	if err == nil {
		k.head.Status &^= statusIncomplete
		err = k.writeHeader()
	}
	return err
}

// findPages finds the highest page frame.
func (k *kdumpWriter) findPages() error {
	if k.head.platform.Machine == elf.EM_ARM {
		// Page frames are counted from the begin of memory, which is a multiple of 2 MiB.
		k.head.PhysBase &^= 2<<20 - 1
		if r, err := k.src.d.NextMemory(0); err == nil && uint64(r.Start) < k.head.PhysBase {
			k.head.PhysBase = 0
		}
		k.base = k.head.PhysBase / k.src.page
	}
	for addr := memmap.PhysAddr(0); ; {
		r, err := k.src.d.NextMemory(addr)
		if err == io.EOF {
			break
		} else if err != nil {
			return err
		}
		addr = r.End
		k.head.Pages = (uint64(r.End)+k.src.page-1)/k.src.page - k.base
	}
	if k.head.Pages == 0 {
		return fmt.Errorf("the dump has no memory")
	}
	bs := k.src.page
	k.head.bitmapBlocks = 2 * (((k.head.Pages+7)/8 + bs - 1) / bs)
	if k.opt.First != 0 || k.opt.Last != 0 {
		k.head.Split = true
		clamp := func(pfn uint64) uint64 { return min(max(pfn, k.base)-k.base, k.head.Pages) }
		k.head.StartPage, k.head.EndPage = clamp(k.opt.First), clamp(k.opt.Last)
	}
	return nil
}

func (k *kdumpWriter) writeHeader() error {
	b := k.buffer(0, int(k.src.page+256))
	b.Write(k.head.appendHeader(nil, k.lay))
	b.Write(make([]byte, int(k.src.page)-len(b.b)))
	b.Write(k.head.appendSub(nil, k.lay))
	return b.flush()
}

// cut clears the bits of pages that are in other parts.
func (k *kdumpWriter) cut(w *window) {
	if !k.head.Split {
		return
	}
	for i := range w.keep {
		first := w.first + uint64(i)*64
		for b := w.keep[i]; b != 0; b &= b - 1 {
			pfn := first + uint64(bits.TrailingZeros64(b)) - k.base
			if pfn < k.head.StartPage || pfn >= k.head.EndPage {
				w.keep[i] &^= 1 << bits.TrailingZeros64(b)
			}
		}
	}
}

func count(b []uint64) (n int) {
	for _, w := range b {
		n += bits.OnesCount64(w)
	}
	return n
}

// writeBitmaps writes both bitmaps and counts.
func (k *kdumpWriter) writeBitmaps(ctx context.Context) error {
	w := newWindow()
	for pfn := uint64(0); ; pfn = w.first + WindowPages {
		if err := k.src.next(w, pfn); err == io.EOF {
			break
		} else if err != nil {
			return err
		}
		if err := k.src.selected(ctx, w); err != nil {
			return err
		}
		if err := k.writeBits(w.memory, w.first, k.head.memoryOffset()); err != nil {
			return err
		}
		if err := k.writeBits(w.keep, w.first, k.head.bitmapOffset()); err != nil {
			return err
		}
		k.done.Pages += uint64(count(w.memory))
		k.cut(w)
		n := count(w.keep)
		k.kept = append(k.kept, windowKept{w.first, n})
		k.done.Kept += uint64(n)
	}
	// The end of the second bitmap is the end of the file as long as no page is written.
	if end := int64(k.head.descOffset()); k.done.Bytes < end {
		if _, err := k.w.WriteAt([]byte{0}, end-1); err != nil {
			return err
		}
		k.done.Bytes = end
	}
	return nil
}

// writeBits writes the bits of a window into the bitmap at off.
func (k *kdumpWriter) writeBits(words []uint64, first, off uint64) error {
	if first < k.base {
		words = words[min((k.base-first)/64, uint64(len(words))):]
		first = k.base
	}
	at := (first - k.base) / 8
	size := k.head.bitmapBlocks / 2 * k.src.page
	if at >= size {
		return nil
	}
	b := k.buffer(off+at, WindowPages/8+1)
	for _, v := range words[:min(uint64(len(words)), (size-at)/8)] {
		b.b = binary.LittleEndian.AppendUint64(b.b, v)
	}
	return b.flush()
}

// writePages writes the descriptors and the pages.
func (k *kdumpWriter) writePages(ctx context.Context) error {
	descAt := k.head.descOffset()
	k.descs, k.data = k.buffer(descAt, 2730*descSize), k.buffer(descAt+k.done.Kept*descSize, 1<<20)
	enc, err := newEncoder(k.opt.Codec, int(k.src.page))
	if err != nil {
		return err
	}
	page, dst := make([]byte, k.src.page), make([]byte, 2*k.src.page+64)
	w := newWindow()
	p := Progress{All: k.done.Pages, Kept: k.done.Kept}
	for _, kept := range k.kept {
		if err := k.src.next(w, kept.first); err != nil {
			return noEOF(err)
		}
		if err := k.src.selected(ctx, w); err != nil {
			return err
		}
		k.cut(w)
		if w.first != kept.first || count(w.keep) != kept.pages {
			return errAnswers
		}
		for i, b := range w.keep {
			for ; b != 0; b &= b - 1 {
				pfn := w.first + uint64(i)*64 + uint64(bits.TrailingZeros64(b))
				if err := k.writePage(enc, dst, page, pfn); err != nil {
					k.descs.flush()
					return err
				}
				p.Saved++
			}
			if k.opt.Advance != nil && i%64 == 63 {
				p.Bytes = k.done.Bytes
				k.opt.Advance(p)
			}
		}
		p.Pages += uint64(count(w.memory))
	}
	if err := k.data.flush(); err != nil {
		k.descs.flush()
		return err
	}
	return k.descs.flush()
}

func (k *kdumpWriter) writePage(enc *encoder, dst, page []byte, pfn uint64) error {
	addr := memmap.PhysAddr(pfn * k.src.page)
	if _, err := k.src.readPages(page, addr); err != nil {
		if k.opt.Unreadable == nil {
			return fmt.Errorf("read page %#x: %w", pfn, err)
		}
		k.opt.Unreadable(addr, err)
		k.done.Unreadable++
	}
	zero := k.opt.OmitZero && isZero(page)
	if zero {
		k.done.Zero++
	}
	d := k.zero
	if !zero || d.offset == 0 {
		out, flags, err := enc.encode(dst, page)
		if err != nil {
			return err
		}
		d = desc{uint64(k.data.at) + uint64(len(k.data.b)), uint32(len(out)), flags}
		if _, err := k.data.Write(out); err != nil {
			return err
		}
	}
	if zero {
		k.zero = d
	}
	return k.writeDesc(d)
}

func (k *kdumpWriter) writeDesc(d desc) error {
	o := k.head.platform.Order
	var b [descSize]byte
	o.PutUint64(b[:], d.offset)
	o.PutUint32(b[8:], d.size)
	o.PutUint32(b[12:], d.flags)
	_, err := k.descs.Write(b[:])
	return err
}

func isZero(b []byte) bool {
	for ; len(b) >= 8; b = b[8:] {
		if binary.NativeEndian.Uint64(b) != 0 {
			return false
		}
	}
	return true
}
