package kdumpfile

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/gokexec/gokexec/pkg/memmap"
	"github.com/gokexec/gokexec/pkg/vmcore"
)

// maxAnswers is how many bytes the answers of a filter may take: they are asked for again where they take more.
const maxAnswers = 4 << 20

// errAnswers means that a filter can't be relied on.
var errAnswers = errors.New("the filter gave two different answers for the same pages")

// source is the dump that is written from, and what of it is written.
type source struct {
	d       Dump
	page    uint64 // bytes
	filter  Filter
	workers int
	elf     *ELF   // d, if it is one
	mapped  Mapped // the file of elf, if it can be mapped

	answers []answer // of the windows with memory, after all were asked for
	packed  int      // bytes of answers
}

// answer is what a filter keeps of a window.
type answer struct {
	first  uint64 // page frame
	memory uint64 // pages of memory
	kept   uint64 // pages
	packed []byte // see packBits; nil: ask again
}

// window is what of WindowPages page frames is memory and is kept.
type window struct {
	first        uint64 // page frame of bit 0
	memory, keep []uint64
	number       int // of the answer
}

func newSource(d Dump, opt *WriteOptions) *source {
	s := &source{d: d, page: PageSize(d), filter: opt.Filter, workers: opt.workers()}
	if s.elf, _ = undescribed(d).(*ELF); s.elf != nil {
		s.mapped, _ = s.elf.file.(Mapped)
	}
	return s
}

// extent counts the pages of memory, and returns the page frame after the last.
func (s *source) extent() (pages, end uint64, err error) {
	for addr := memmap.PhysAddr(0); ; {
		r, err := s.d.NextMemory(addr)
		if err == io.EOF {
			break
		} else if err != nil {
			return 0, 0, err
		}
		addr = r.End
		first := max(end, uint64(r.Start)/s.page)
		end = (uint64(r.End)-1)/s.page + 1
		pages += end - first
	}
	if pages == 0 {
		return 0, 0, errors.New("the dump has no memory")
	}
	return pages, end, nil
}

// survey asks the filter for all windows, notes the answers, and gives the windows to each in order.
func (s *source) survey(ctx context.Context, opt *WriteOptions, done *Written, each func(*window) error) error {
	pfn, p := uint64(0), Progress{All: done.Pages}
	stage := newOrdered(ctx, s.workers, func(w *window) (bool, error) {
		err := s.find(w, pfn)
		pfn = w.first + WindowPages
		return err == nil, noMore(err)
	}, func(_ int, w *window) error { return s.selected(ctx, w) })
	defer stage.stop()
	for {
		t, err := stage.get()
		if t == nil || err != nil {
			return err
		}
		w := &t.item
		a := answer{first: w.first, memory: onesCount(w.memory), kept: onesCount(w.keep)}
		if a.kept > 0 {
			a.packed = packBits(w.keep, maxAnswers-s.packed)
			s.packed += len(a.packed)
		}
		s.answers = append(s.answers, a)
		if err := each(w); err != nil {
			return err
		}
		stage.put(t)
		p.Pages += a.memory
		if p.Bytes = done.Bytes; opt.Advance != nil {
			opt.Advance(p)
		}
	}
}

// kept counts the pages that survey kept.
func (s *source) kept() (n uint64) {
	for i := range s.answers {
		n += s.answers[i].kept
	}
	return n
}

// noMore turns io.EOF into nil.
func noMore(err error) error {
	if err == io.EOF {
		return nil
	}
	return err
}

// windows gives the windows with kept pages once more, after survey. Only those of pages from first to before last are asked for.
func (s *source) windows(ctx context.Context, first, last uint64) *ordered[window] {
	i := -1
	return newOrdered(ctx, s.workers, func(w *window) (bool, error) {
		for i++; i < len(s.answers); i++ {
			a := &s.answers[i]
			if a.kept == 0 || a.first >= last || a.first+WindowPages <= first {
				continue
			}
			w.first, w.number = a.first, i
			return true, nil
		}
		return false, nil
	}, func(_ int, w *window) error { return s.again(ctx, w, &s.answers[w.number]) })
}

// again fills w with what is kept of a window, once more.
func (s *source) again(ctx context.Context, w *window, a *answer) error {
	w.alloc()
	if a.packed != nil {
		w.first = a.first
		unpackBits(w.keep, a.packed)
		return nil
	}
	if err := s.find(w, a.first); err != nil {
		return noEOF(err)
	}
	if err := s.selected(ctx, w); err != nil {
		return err
	}
	if w.first != a.first || onesCount(w.keep) != a.kept {
		return fmt.Errorf("page frames %#x to %#x: %w", a.first, a.first+WindowPages, errAnswers)
	}
	return nil
}

func (w *window) alloc() {
	if w.keep == nil {
		w.memory, w.keep = make([]uint64, WindowPages/64), make([]uint64, WindowPages/64)
	}
}

// find fills w with the first window at or after page frame pfn that has memory, without asking the filter. It
// returns io.EOF after the last one.
func (s *source) find(w *window, pfn uint64) error {
	if pfn > ^uint64(0)/s.page {
		return io.EOF
	}
	r, err := s.d.NextMemory(memmap.PhysAddr(pfn * s.page))
	if err != nil {
		return err
	}
	w.alloc()
	w.first = uint64(r.Start) / s.page &^ (WindowPages - 1)
	if err := s.fill(w.memory, w.first, s.d.NextMemory); err != nil {
		return err
	}
	if s.elf != nil {
		// What isn't in the file reads as zeroes, and zeroes it may have been.
		copy(w.keep, w.memory)
		return nil
	}
	return s.fill(w.keep, w.first, s.d.NextHeld)
}

// fill sets the bits of the pages in the stretches that next gives.
func (s *source) fill(b []uint64, first uint64, next func(memmap.PhysAddr) (memmap.Range, error)) error {
	clear(b)
	end := first + WindowPages
	for pfn := first; pfn < end && pfn <= ^uint64(0)/s.page; {
		r, err := next(memmap.PhysAddr(pfn * s.page))
		if err == io.EOF {
			return nil
		} else if err != nil {
			return fmt.Errorf("find the memory at page frame %#x: %w", pfn, err)
		}
		from, to := uint64(r.Start)/s.page, (uint64(r.End)-1)/s.page+1
		if from >= end {
			return nil
		}
		setBits(b, from-first, min(to, end)-first)
		pfn = max(to, pfn+1)
	}
	return nil
}

// selected clears in w what the filter leaves out.
func (s *source) selected(ctx context.Context, w *window) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if s.filter == nil {
		return nil
	}
	if err := s.filter.Filter(ctx, w.first, w.keep); err != nil {
		return fmt.Errorf("filter: page frames %#x to %#x: %w", w.first, w.first+WindowPages, err)
	}
	for i, m := range w.memory {
		w.keep[i] &= m
	}
	return nil
}

// readPages fills b, whole pages, from page frame pfn on. What of a page is no memory is zero. When a page can't be
// read, its number in b and the error are returned; those before it are good.
func (s *source) readPages(b []byte, pfn uint64) (int, error) {
	addr := memmap.PhysAddr(pfn * s.page)
	for n := 0; n < len(b); {
		m, err := s.d.ReadPhysAt(b[n:], addr+memmap.PhysAddr(n))
		n += m
		switch {
		case err == nil:
		case errors.Is(err, vmcore.ErrNotInDump):
			rest := len(b[n:]) % int(s.page)
			if rest == 0 && n < len(b) {
				rest = int(s.page)
			}
			if next, ok := s.nextByte(addr + memmap.PhysAddr(n)); ok && next < addr+memmap.PhysAddr(n+rest) {
				rest = int(next - addr - memmap.PhysAddr(n))
			}
			clear(b[n : n+rest])
			n += rest
		default:
			return n / int(s.page), err
		}
	}
	return 0, nil
}

// nextByte returns where memory goes on after addr, which has none, if the dump tells that so exactly.
func (s *source) nextByte(addr memmap.PhysAddr) (memmap.PhysAddr, bool) {
	if s.elf == nil {
		return 0, false
	}
	r, err := nextRange(s.elf.exact, addr)
	return r.Start, err == nil && r.Start > addr
}
