package kdumpfile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"

	"github.com/gokexec/gokexec/pkg/memmap"
	"github.com/gokexec/gokexec/pkg/vmcore"
)

// WindowPages is how many page frames a Filter decides on at once. No compound page and no free block crosses
// the boundary of a window: the largest, of hugetlb, have 1 GiB in pages of 4 KiB, 16 GiB in pages of 64 KiB.
const WindowPages = 1 << 18

// Filter decides which pages a dump leaves out.
type Filter interface {
	// Filter clears in keep the bits of the pages to leave out. Bit i (i%64 of word i/64, 0 the least
	// significant) is page frame first+i, counted in PageSize from physical address 0. Bits that are clear
	// already stay so. first is a multiple of WindowPages, and keep has at most WindowPages bits. Filter
	// may be called concurrently, and again for the same window, then with the same answer.
	Filter(ctx context.Context, first uint64, keep []uint64) error
}

// WriteOptions say what a written dump holds and how.
type WriteOptions struct {
	Codec     Codec  // of pages that get smaller by it; others are stored as they are
	Filter    Filter // nil: every page
	OmitZero  bool   // pages of zeroes share one stored page, or are a hole in an ELF dump
	DumpLevel int    // of the header: what was left out, as makedumpfile -d
	Workers   int    // goroutines that read and compress; 0: GOMAXPROCS

	// First and Last bound the page frames of this part of a split dump, [First, Last). Both 0:
	// a dump with all pages.
	First, Last uint64

	// Stale says that the places of w that are never written to don't read as zeroes, as those of a
	// file do, but as what a device had there. Then they are written to.
	Stale bool

	// Advance is told how far it is; it is called often and not concurrently.
	Advance func(Progress)
	// Unreadable is told of a page that can't be read, which becomes one of zeroes. It isn't called
	// concurrently. nil ends the writing with the error.
	Unreadable func(addr memmap.PhysAddr, err error)
}

// Progress is how far the writing of a dump is.
type Progress struct {
	Pages uint64 // looked at, of all that are memory
	All   uint64 // pages that are memory: 0 until it is known
	Kept  uint64 // pages that the dump will have: 0 until it is known
	Saved uint64 // pages of these that are done
	Bytes int64  // written
}

// Written is what was written.
type Written struct {
	Pages      uint64 // of the machine's memory
	Kept       uint64 // pages that the dump has, zero ones and unreadable ones included
	Zero       uint64 // of these, pages of zeroes that took no room (OmitZero)
	Unreadable uint64 // of these, pages of which nothing could be read
	Bytes      int64  // that the file has from its begin to its end
	Incomplete bool   // it broke off, and the dump says so
}

// errSource wraps what is wrong with the dump that is read, not with the one that is written.
var errAnswers = errors.New("the filter gave two answers for the same pages")

// source is the dump that is written from, window by window.
type source struct {
	d           Dump
	page        uint64
	first, last uint64 // page frames
	filter      Filter
}

func newSource(d Dump, opt *WriteOptions) *source {
	s := &source{d: d, page: PageSize(d), last: ^uint64(0), filter: opt.Filter}
	return s
}

// window is what of a stretch of page frames is memory and is kept.
type window struct {
	first        uint64 // page frame of bit 0
	memory, keep []uint64
}

func newWindow() *window {
	return &window{memory: make([]uint64, WindowPages/64), keep: make([]uint64, WindowPages/64)}
}

// next fills w with the first window at or after page frame pfn that has memory, without asking the filter. It
// returns io.EOF after the last one.
func (s *source) next(w *window, pfn uint64) error {
	if pfn > ^uint64(0)/s.page {
		return io.EOF
	}
	r, err := s.d.NextMemory(memmap.PhysAddr(pfn * s.page))
	if err != nil {
		return err
	}
	w.first = uint64(r.Start) / s.page &^ (WindowPages - 1)
	if err := s.fill(w.memory, w.first, s.d.NextMemory); err != nil {
		return err
	}
	if _, holes := s.d.(*ELF); holes {
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
			return fmt.Errorf("find the memory at page %#x: %w", pfn, err)
		}
		from, to := uint64(r.Start)/s.page, uint64(r.End)/s.page
		if uint64(r.End)%s.page != 0 {
			to++
		}
		if from >= end {
			return nil
		}
		pfn = max(to, pfn+1)
		setBits(b, from-first, min(to, end)-first)
	}
	return nil
}

// setBits sets bits i to before j.
func setBits(b []uint64, i, j uint64) {
	for i < j {
		n := min(64-i%64, j-i)
		b[i/64] |= ^uint64(0) >> (64 - n) << (i % 64)
		i += n
	}
}

// selected clears in w what the filter leaves out.
func (s *source) selected(ctx context.Context, w *window) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	if s.filter == nil {
		return nil
	}
	return s.filter.Filter(ctx, w.first, w.keep)
}

// readPages fills b with pages from addr on, whole ones. What is no memory within a page is zero. It
// returns the error of the first page that can't be read, and how many bytes before it are good.
func (s *source) readPages(b []byte, addr memmap.PhysAddr) (int, error) {
	for n := 0; n < len(b); {
		m, err := s.d.ReadPhysAt(b[n:], addr+memmap.PhysAddr(n))
		if n += m; err == nil {
			continue
		}
		if !errors.Is(err, vmcore.ErrNotInDump) {
			clear(b[n-n%int(s.page):][:s.page])
			return n - n%int(s.page), err
		}
		// The page is not memory to its end.
		rest := b[n:][:int(s.page)-n%int(s.page)]
		clear(rest)
		if r, err := s.d.NextMemory(addr + memmap.PhysAddr(n)); err == nil && r.Start > addr+memmap.PhysAddr(n) && r.Start-addr < memmap.PhysAddr(n+len(rest)) {
			rest = rest[:r.Start-addr-memmap.PhysAddr(n)]
		}
		n += len(rest)
	}
	return len(b), nil
}

func (o *WriteOptions) workers() int {
	if o.Workers > 0 {
		return o.Workers
	}
	return runtime.GOMAXPROCS(0)
}
