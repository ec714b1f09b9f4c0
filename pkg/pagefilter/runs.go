package pagefilter

import (
	"encoding/binary"
	"slices"
	"sync"
)

const (
	// maxRuns is how many bytes the classes of a machine may take that are remembered. On servers, a GiB takes 10 to
	// 100 KiB. Of what doesn't fit into maxExact, only blocks of one class are remembered, which take 1 KiB at most.
	maxRuns  = 4 << 20
	maxExact = 3 << 20

	// blockPages is the size of these blocks: no free block is larger, and few compound pages are.
	blockPages = 1 << 10
	// mixed stands for the classes of a block that has several: its page frames are classified again.
	mixed = Class(NumClasses)
)

// runs remembers the classes of windows that were classified, so that most of their struct pages are read once.
type runs struct {
	mu      sync.Mutex
	windows map[uint64][]byte // by the first page frame: see appendRuns, appendBlocks
	size    int               // bytes of windows
}

// note remembers the classes of a whole window, as appendRuns has them.
func (r *runs) note(first uint64, b []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.size+len(b) > maxExact {
		b = appendBlocks(nil, b)
	}
	if _, ok := r.windows[first]; ok || r.size+len(b) > maxRuns {
		return
	}
	if r.windows == nil {
		r.windows = make(map[uint64][]byte)
	}
	r.windows[first] = slices.Clip(slices.Clone(b))
	r.size += len(b)
}

// of returns the classes of a window as appendRuns has them, nil if they are not known.
func (r *runs) of(first uint64) []byte {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.windows[first]
}

// appendRuns appends, for each run of equal classes, the class and the number of page frames.
func appendRuns(b []byte, classes []Class) []byte {
	for i := 0; i < len(classes); {
		n := 1
		for i+n < len(classes) && classes[i+n] == classes[i] {
			n++
		}
		b = binary.AppendUvarint(append(b, byte(classes[i])), uint64(n))
		i += n
	}
	return b
}

// appendBlocks appends runs of whole blocks that stand for runs: of one class, or mixed.
func appendBlocks(b, runs []byte) []byte {
	last, n := mixed, uint64(0)
	add := func(c Class, pages uint64) {
		if c != last && n > 0 {
			b, n = binary.AppendUvarint(append(b, byte(last)), n), 0
		}
		last, n = c, n+pages
	}
	for at := uint64(0); len(runs) > 0; {
		var c Class
		var pages uint64
		c, pages, runs = nextRun(runs)
		if part := at % blockPages; part > 0 { // of a block that is mixed already
			skip := min(blockPages-part, pages)
			at, pages = at+skip, pages-skip
		}
		if whole := pages &^ (blockPages - 1); whole > 0 {
			add(c, whole)
			at, pages = at+whole, pages-whole
		}
		if pages > 0 {
			add(mixed, blockPages)
			at += pages
		}
	}
	add(mixed+1, 0)
	return b
}

// nextRun returns the first of the runs in b, and what is behind it.
func nextRun(b []byte) (c Class, n uint64, rest []byte) {
	n, size := binary.Uvarint(b[1:])
	return Class(b[0]), n, b[1+size:]
}

// classLookup looks classes up that were noted, those of ascending page frames.
type classLookup struct {
	runs *runs
	run  Class  // of the page frames before end
	end  uint64 // in a window
	rest []byte // the runs behind it
}

// class returns the class of a page frame; ok is false if it was not noted.
func (l *classLookup) class(pfn uint64) (c Class, ok bool) {
	if first := pfn &^ (WindowPages - 1); l.end <= first {
		l.end, l.rest = first, l.runs.of(first)
	}
	for l.end <= pfn && len(l.rest) > 0 {
		var n uint64
		l.run, n, l.rest = nextRun(l.rest)
		l.end += n
	}
	return l.run, pfn < l.end
}

// clearBits clears bits i to before j, 0 being the least significant one of the first word.
func clearBits(b []uint64, i, j uint64) {
	for i < j {
		n := min(64-i%64, j-i)
		b[i/64] &^= ^uint64(0) >> (64 - n) << (i % 64)
		i += n
	}
}
