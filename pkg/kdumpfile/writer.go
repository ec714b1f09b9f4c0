package kdumpfile

import (
	"context"
	"runtime"

	"github.com/gokexec/gokexec/pkg/memmap"
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
	Pages uint64 // of the machine's memory that the filter has decided on
	All   uint64 // pages of the machine's memory
	Kept  uint64 // pages that the dump will have; 0 until the filter has decided on all
	Saved uint64 // pages of these that are done
	Bytes int64  // that the file has so far
}

// Written is what was written.
type Written struct {
	Pages      uint64 // of the machine's memory
	Kept       uint64 // pages that the dump is to have, zero ones and unreadable ones included
	Saved      uint64 // of these, pages that were written: all unless Incomplete
	Zero       uint64 // of these, pages of zeroes that take no room (OmitZero)
	Unreadable uint64 // of these, pages of which nothing could be read
	Bytes      int64  // of the file, from its begin to its end
	Incomplete bool   // it broke off, and the dump says so
}

func (o *WriteOptions) workers() int {
	if o.Workers > 0 {
		return o.Workers
	}
	return runtime.GOMAXPROCS(0)
}

// SpareProcessor is for a program that is there to write a dump, after it has decided on Workers: if it has one processor
// (GOMAXPROCS), it gets a second one, which stays idle. Without an idle one, Go's runtime takes the only one away from each system
// call of more than 20 µs, and looks for such calls all the time: a tenth of what a dump takes on one CPU.
func SpareProcessor() {
	if runtime.GOMAXPROCS(0) == 1 {
		runtime.GOMAXPROCS(2)
	}
}
