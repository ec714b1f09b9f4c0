package kdumpfile

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"

	"github.com/gokexec/gokexec/pkg/memmap"
)

// batchBytes is how much memory a worker reads, tests and packs at a time: little enough for the caches of a CPU, enough to
// make the hand-over cheap.
const batchBytes = 64 << 10

// batch is a number of pages of a dump, in order.
type batch struct {
	pfns []uint64 // page frames
	out  []outPage
	data []byte // of the pages that aren't zero, one after the other
	bad  []badPage
}

// outPage is what became of a page.
type outPage struct {
	size  uint32 // bytes of data
	flags uint32 // of the descriptor, or pageZero
}

// pageZero marks a page of zeroes, which has no data. It isn't one of the format's flags.
const pageZero = 1 << 31

// badPage is a page that couldn't be read, and is zero now.
type badPage struct {
	addr memmap.PhysAddr
	err  error
}

// batches makes the pages that survey kept into batches, read and packed by the workers.
type batches struct {
	src         *source
	first, last uint64 // page frames
	perBatch    int
	workers     []*worker
	windows     *ordered[window]
	stage       *ordered[batch]

	current *task[window]
	at      uint64 // bit of current
}

// worker is what one goroutine has for itself.
type worker struct {
	src  *source
	enc  *encoder
	omit bool
	in   []byte
	zero []byte // a page
	raw  *rawReader

	begins []uint64 // the first bytes of pages

	repeated uint64  // the 8 bytes of which the last page of such consisted
	again    outPage // what became of it; no size: there was none yet
	packed   []byte  // its data
}

// newBatches starts the work at the page frames from first to before last. The pages are packed with
// codec; those of zeroes have no data if omit is set.
func newBatches(ctx context.Context, src *source, codec Codec, omit bool, first, last uint64) (*batches, error) {
	b := &batches{src: src, first: first, last: last, perBatch: max(1, batchBytes/int(src.page))}
	for range src.workers {
		enc, err := newEncoder(codec)
		if err != nil {
			return nil, err
		}
		w := &worker{src: src, enc: enc, omit: omit, in: make([]byte, b.perBatch*int(src.page)), zero: make([]byte, src.page)}
		w.raw = newRawReader(src, codec)
		b.workers = append(b.workers, w)
	}
	b.windows = src.windows(ctx, first, last)
	b.stage = newOrdered(ctx, src.workers, b.next, func(n int, item *batch) error { return b.workers[n].pack(item) })
	return b, nil
}

// pages gives the kept pages from first to before last to write, batch by batch in order.
func (s *source) pages(ctx context.Context, opt *WriteOptions, done *Written, first, last uint64, write func(*batch) error) error {
	b, err := newBatches(ctx, s, opt.Codec, opt.OmitZero, first, last)
	if err != nil {
		return err
	}
	defer b.stop()
	p := Progress{Pages: done.Pages, All: done.Pages, Kept: done.Kept}
	for {
		t, err := b.stage.get()
		if t == nil || err != nil {
			return err
		}
		for _, bad := range t.item.bad {
			if opt.Unreadable == nil {
				return fmt.Errorf("read the page at %v: %w", bad.addr, bad.err)
			}
			opt.Unreadable(bad.addr, bad.err)
			done.Unreadable++
		}
		if err := write(&t.item); err != nil {
			return err
		}
		done.Saved += uint64(len(t.item.pfns))
		p.Saved = done.Saved
		b.stage.put(t)
		if p.Bytes = done.Bytes; opt.Advance != nil {
			opt.Advance(p)
		}
	}
}

func (b *batches) stop() {
	b.stage.stop()
	b.windows.stop()
}

// next puts the next pages into a batch: all of one window.
func (b *batches) next(item *batch) (bool, error) {
	item.pfns = item.pfns[:0]
	for len(item.pfns) == 0 {
		if b.current == nil {
			t, err := b.windows.get()
			if t == nil || err != nil {
				return false, err
			}
			b.current, b.at = t, 0
			w := &t.item
			if b.first > w.first {
				b.at = b.first - w.first
			}
		}
		w := &b.current.item
		for len(item.pfns) < b.perBatch {
			first, last := nextRun(w.keep, b.at)
			if first < last {
				last = min(last, max(b.last, w.first)-w.first)
			}
			if first >= last {
				b.windows.put(b.current)
				b.current = nil
				break
			}
			for ; first < last && len(item.pfns) < b.perBatch; first++ {
				item.pfns = append(item.pfns, w.first+first)
			}
			b.at = first
		}
	}
	return true, nil
}

// pack reads the pages of a batch and packs them.
func (w *worker) pack(b *batch) error {
	b.out, b.data, b.bad = b.out[:0], b.data[:0], b.bad[:0]
	if w.raw != nil {
		return w.raw.pack(w, b)
	}
	page := int(w.src.page)
	for pfns := b.pfns; len(pfns) > 0; {
		n := 1
		for n < len(pfns) && pfns[n] == pfns[0]+uint64(n) {
			n++
		}
		if !w.inPlace(b, pfns[0], n*page) {
			w.read(b, w.in[:n*page], pfns[0])
			w.packPages(b, w.in[:n*page])
		}
		pfns = pfns[n:]
	}
	return nil
}

// inPlace packs n bytes of pages where they are mapped, and says whether it could. A page that changes meanwhile
// (the crashed machine's devices may still write) is packed as something that it was in part, and can be unpacked:
// the codecs copy what they have to read twice, or do with any contents.
func (w *worker) inPlace(b *batch, pfn uint64, n int) bool {
	if w.src.mapped == nil {
		return false
	}
	off, most, ok := w.src.elf.Place(memmap.PhysAddr(pfn * w.src.page))
	if !ok || most < uint64(n) {
		return false
	}
	out, data := len(b.out), len(b.data)
	ok, _ = w.src.mapped.InPlace(off, n, func(in []byte) error {
		w.packPages(b, in)
		return nil
	})
	if !ok {
		b.out, b.data = b.out[:out], b.data[:data]
	}
	return ok
}

// packPages adds pages to the batch.
func (w *worker) packPages(b *batch, in []byte) {
	page := int(w.src.page)
	// Of each page the begin is in no cache yet: the CPU waits for all of them at once, and not for each in turn.
	w.begins = w.begins[:0]
	for at := 0; at < len(in); at += page {
		w.begins = append(w.begins, binary.NativeEndian.Uint64(in[at:]))
	}
	for i, begin := range w.begins {
		w.packPage(b, in[i*page:][:page], begin)
	}
}

// read fills in with pages. Those that can't be read are zero.
func (w *worker) read(b *batch, in []byte, pfn uint64) {
	page := int(w.src.page)
	for len(in) > 0 {
		n, err := w.src.readPages(in, pfn)
		if err == nil {
			return
		}
		b.bad = append(b.bad, badPage{memmap.PhysAddr((pfn + uint64(n)) * w.src.page), err})
		clear(in[n*page:][:page])
		in, pfn = in[(n+1)*page:], pfn+uint64(n)+1
	}
}

// packPage adds one page, which begins so, to the batch. Of those that have the same 8 bytes all over, as of zeroes, which may be
// most of a machine's memory, and of code that was never loaded, one is packed.
func (w *worker) packPage(b *batch, page []byte, begin uint64) {
	repeats := begin == binary.NativeEndian.Uint64(page[8:]) && bytes.Equal(page[8:], page[:len(page)-8])
	switch {
	case repeats && begin == 0 && w.omit:
		b.out = append(b.out, outPage{0, pageZero})
		return
	case repeats && begin == w.repeated && w.again.size > 0:
		b.data, b.out = append(b.data, w.packed...), append(b.out, w.again)
		return
	}
	n := len(b.data)
	data, flags := w.enc.appendPage(b.data, page)
	out := outPage{uint32(len(data) - n), flags}
	if repeats {
		w.repeated, w.again, w.packed = begin, out, append(w.packed[:0], data[n:]...)
	}
	b.data, b.out = data, append(b.out, out)
}
