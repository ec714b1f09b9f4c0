package pagefilter

import (
	"encoding/binary"
	"slices"
	"sync"
)

// maxRuns is how many bytes the classes of a machine may take that are remembered: page frames whose classes don't fit
// are classified again. On servers, a GiB takes 10 to 100 KiB.
const maxRuns = 4 << 20

// runs remembers the classes of windows that were classified, so that their struct pages are read once.
type runs struct {
	mu      sync.Mutex
	windows map[uint64][]byte // by the first page frame: see appendRuns
	size    int               // bytes of windows
}

// note remembers the classes of a whole window, as appendRuns has them.
func (r *runs) note(first uint64, b []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
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
