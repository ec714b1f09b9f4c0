package kdumpfile

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// WriteCompressed writes the memory of d to w in makedumpfile's compressed format, header version 6, at most a few
// MiB of it in memory at a time whatever its size.
//
// When it can't go on, the error says why, and what is at w is a dump that can be read and says that it is
// incomplete: the bitmaps come first, and pages that aren't there are known by their descriptors. The writes
// ascend but for the headers and descriptors, which are in front of the pages. w isn't closed.
//
// What is made of an incomplete dump says that it is incomplete, too.
func WriteCompressed(ctx context.Context, w io.WriterAt, d Dump, opt WriteOptions) (Written, error) {
	k := &kdumpWriter{w: w, opt: &opt, src: newSource(d, &opt)}
	// Of what a stream has twice, crash takes the first.
	_, k.once = w.(*Flattener)
	err := k.write(ctx)
	if err != nil {
		k.done.Incomplete = true
		err = fmt.Errorf("kdumpfile: write a compressed dump: %w", err)
	}
	return k.done, err
}

// kdumpWriter writes one file of a compressed dump.
type kdumpWriter struct {
	w          io.WriterAt
	opt        *WriteOptions
	src        *source
	once       bool // what is written can't be replaced
	incomplete bool // the source is
	head       *Header
	lay        layout
	base       uint64 // page frame of bit 0
	done       Written

	bits        sink   // of the bitmaps
	bitmapEnd   uint64 // bytes of each bitmap that are written
	descs, data sink
	zero        desc // of the page of zeroes; offset 0: not written
}

func (k *kdumpWriter) write(ctx context.Context) error {
	if err := k.begin(time.Now()); err != nil {
		return err
	}
	if err := k.src.survey(ctx, k.opt, &k.done, k.writeBits); err != nil {
		return err
	}
	if err := k.endBits(); err != nil {
		return err
	}
	k.done.Kept = k.src.kept()
	return k.finish(ctx)
}

// begin writes what is before the bitmaps.
func (k *kdumpWriter) begin(now time.Time) error {
	k.head = newHeader(k.src.d, k.opt, k.src.page, now)
	k.incomplete = k.src.d.Incomplete()
	if k.once && !k.incomplete {
		k.head.Status &^= statusIncomplete
	}
	k.lay = layoutOf(k.head.platform)
	if err := k.findPages(); err != nil {
		return err
	}
	if err := k.writeHeader(); err != nil {
		return err
	}
	notes := k.sink(k.head.memoryOffset()-k.head.subBlocks*k.src.page+uint64(len(k.head.appendSub(nil, k.lay))), 64<<10)
	if err := copyNotes(&notes, k.head.platform.Order, notesOf(k.src.d)); err != nil {
		return err
	}
	if err := notes.zeroes(k.head.memoryOffset() - uint64(notes.pos())); err != nil {
		return err
	}
	return notes.flush()
}

// finish writes what is after the bitmaps, and that all is there.
func (k *kdumpWriter) finish(ctx context.Context) error {
	err := k.writePages(ctx)
	switch {
	case k.once && err == nil:
		return nil
	case k.once:
		k.head.Status |= statusIncomplete
		return errors.Join(err, k.writeHeader())
	case err != nil:
		return err
	}
	if !k.incomplete {
		k.head.Status &^= statusIncomplete
	}
	return k.writeHeader()
}

func (k *kdumpWriter) sink(at uint64, size int) sink {
	return sink{w: k.w, at: int64(at), b: make([]byte, 0, size), end: &k.done.Bytes}
}

// findPages finds the highest page frame.
func (k *kdumpWriter) findPages() error {
	if traitsOf(k.head.platform.Machine).framesFromBase {
		k.head.PhysBase &^= 2<<20 - 1
		if r, err := k.src.d.NextMemory(0); err == nil && uint64(r.Start) < k.head.PhysBase {
			k.head.PhysBase = 0
		}
		k.base = k.head.PhysBase / k.src.page
	}
	pages, end, err := k.src.extent()
	if err != nil {
		return err
	}
	k.done.Pages, k.head.Pages = pages, end-k.base
	if k.head.Pages > maxPages {
		return fmt.Errorf("the memory ends at page frame %#x; the format is written for %#x at most", k.head.Pages, uint64(maxPages))
	}
	bs := k.src.page
	k.head.bitmapBlocks = 2 * (((k.head.Pages+7)/8 + bs - 1) / bs)
	return nil
}

func (k *kdumpWriter) writeHeader() error {
	b := k.sink(0, int(k.src.page+256))
	b.Write(k.head.appendHeader(nil, k.lay))
	b.zeroes(k.src.page - uint64(len(b.b)))
	b.Write(k.head.appendSub(nil, k.lay))
	return b.flush()
}

// bounds are the page frames of the pages that are written, as physical ones.
func (k *kdumpWriter) bounds() (first, last uint64) {
	if !k.head.Split {
		return 0, ^uint64(0)
	}
	return k.head.StartPage + k.base, k.head.EndPage + k.base
}

// writeBits writes the bits of a window into both bitmaps.
func (k *kdumpWriter) writeBits(w *window) error {
	size := k.head.bitmapBlocks / 2 * k.src.page
	at, skip := uint64(0), uint64(0) // in the bitmap, bytes; in the window, words
	if w.first >= k.base {
		at = min((w.first-k.base)/8, size)
	} else {
		skip = min((k.base-w.first)/64, WindowPages/64)
	}
	n := min(WindowPages/64-skip, (size-at)/8)
	if k.bits.b == nil {
		k.bits = k.sink(0, WindowPages/8)
	}
	for i, words := range [][]uint64{w.memory, w.keep} {
		if err := k.clear(uint64(i)*size+k.bitmapEnd, at-k.bitmapEnd); err != nil {
			return err
		}
		k.bits.at = int64(k.head.memoryOffset() + uint64(i)*size + at)
		for _, v := range words[skip:][:n] {
			k.bits.b = binary.LittleEndian.AppendUint64(k.bits.b, v)
		}
		if err := k.bits.flush(); err != nil {
			return err
		}
	}
	k.bitmapEnd = at + 8*n
	return nil
}

// endBits writes the ends of the bitmaps.
func (k *kdumpWriter) endBits() error {
	size := k.head.bitmapBlocks / 2 * k.src.page
	for i := range uint64(2) {
		if err := k.clear(i*size+k.bitmapEnd, size-k.bitmapEnd); err != nil {
			return err
		}
	}
	return nil
}

// clear writes n zeroes into the bitmaps, off bytes from their begin, unless they read so anyway.
func (k *kdumpWriter) clear(off, n uint64) error {
	if !k.opt.Stale || n == 0 {
		return nil
	}
	s := k.sink(k.head.memoryOffset()+off, int(min(n, 64<<10)))
	if err := s.zeroes(n); err != nil {
		return err
	}
	return s.flush()
}

// descBuffer is how much of the descriptors is written at once, in bytes.
const descBuffer = 2720 * descSize

// dataBuffer is how much of the pages is written at once, in bytes: little enough for the caches of a CPU.
const dataBuffer = 256 << 10

// writePages writes the descriptors and the pages. Also when it breaks off, there are the descriptors of all pages that
// are at w.
func (k *kdumpWriter) writePages(ctx context.Context) error {
	at := k.head.descOffset()
	if err := k.clear(at-k.head.memoryOffset(), k.done.Kept*descSize); err != nil {
		return err
	}
	k.descs, k.data = k.sink(at, descBuffer), k.sink(at+k.done.Kept*descSize, dataBuffer)
	if k.done.Bytes < k.data.at && !k.once {
		// The file is so long, also if no page comes.
		end := k.sink(uint64(k.data.at)-1, 0)
		if _, err := end.write([]byte{0}); err != nil {
			return err
		}
	}
	first, last := k.bounds()
	err := k.src.pages(ctx, k.opt, &k.done, first, last, k.writeBatch)
	if errDescs := k.flushDescs(); err == nil {
		err = errDescs
	}
	return err
}

// writeBatch writes the data of pages, and collects their descriptors.
func (k *kdumpWriter) writeBatch(b *batch) error {
	zeroes := slices.ContainsFunc(b.out, func(p outPage) bool { return p.flags == pageZero })
	if zeroes && k.zero.offset == 0 {
		enc, err := newEncoder(k.opt.Codec)
		if err != nil {
			return err
		}
		page, flags := enc.appendPage(nil, make([]byte, k.src.page))
		k.zero = desc{uint64(k.data.pos()), uint32(len(page)), flags}
		if _, err := k.data.Write(page); err != nil {
			return err
		}
	}
	at := uint64(k.data.pos())
	for _, p := range b.out {
		d := desc{at, p.size, p.flags}
		if p.flags == pageZero {
			d = k.zero
			k.done.Zero++
		}
		at += uint64(p.size)
		o := k.head.platform.Order.(binary.AppendByteOrder)
		k.descs.b = o.AppendUint64(k.descs.b, d.offset)
		k.descs.b = o.AppendUint32(o.AppendUint32(k.descs.b, d.size), d.flags)
		k.descs.b = o.AppendUint64(k.descs.b, 0)
	}
	if _, err := k.data.Write(b.data); err != nil {
		return err
	}
	if len(k.descs.b) >= descBuffer {
		return k.flushDescs()
	}
	return nil
}

// flushDescs writes the pages and then their descriptors. Those of pages that couldn't be written are zero.
func (k *kdumpWriter) flushDescs() error {
	err := k.data.flush()
	for b := k.descs.b; len(b) > 0; b = b[descSize:] {
		o := k.head.platform.Order
		if o.Uint64(b)+uint64(o.Uint32(b[8:])) > uint64(k.data.at) {
			clear(b[:descSize])
		}
	}
	if errDescs := k.descs.flush(); err == nil {
		err = errDescs
	}
	return err
}
