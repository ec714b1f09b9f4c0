package kdumpfile

import (
	"cmp"
	"container/heap"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
)

// The flattened format, makedumpfile.h: a header of 4096 bytes, then records of an offset, a size
// and so many bytes for that place of the file, all numbers big-endian, until both are -1.
const (
	flatSignature  = "makedumpfile\x00\x00\x00\x00"
	flatHeaderSize = 4096
	flatType       = 1
	flatVersion    = 1
	flatRecordSize = 16
)

// maxFlatRecords bounds the index, which takes 24 bytes for each. makedumpfile writes 512 KiB at a
// time, so that is 8 TiB; QEMU at least 12 KiB.
const maxFlatRecords = 1 << 24

// Flattened is a flattened stream as the file that it describes: what makedumpfile -R would
// make of it, without the copy. It is not changed after NewFlattened.
type Flattened struct {
	// Damage says what is wrong with the stream: it is cut off (wraps io.ErrUnexpectedEOF),
	// or a record is impossible, and what follows that is lost. It is nil for a complete one.
	Damage []error

	r    io.ReaderAt
	segs []flatSegment // sorted, disjoint
	size int64
}

// flatSegment is a piece of the file: size bytes at off, which are at pos in the stream.
type flatSegment struct{ off, size, pos int64 }

func (s flatSegment) end() int64 { return s.off + s.size }

// NewFlattened indexes the stream r of size bytes: it reads the head of each record. A later record
// replaces what earlier ones put at the same place. The error is ErrFormat for something else than
// a flattened file.
func NewFlattened(r io.ReaderAt, size int64) (*Flattened, error) {
	var h [32]byte
	if size < flatHeaderSize {
		return nil, fmt.Errorf("%w: flattened file of %d bytes is shorter than its header", ErrFormat, size)
	}
	if n, err := r.ReadAt(h[:], 0); n < len(h) {
		return nil, fmt.Errorf("read the header of the flattened file: %w", noEOF(err))
	}
	if err := checkFlatHeader(h[:]); err != nil {
		return nil, err
	}
	f := &Flattened{r: r}
	if err := f.index(size); err != nil {
		f.Damage = append(f.Damage, fmt.Errorf("flattened file: %w", err))
	}
	f.arrange()
	return f, nil
}

// index lists the records in the order of the stream. What is wrong ends it.
func (f *Flattened) index(size int64) error {
	records := 0
	for pos := int64(flatHeaderSize); ; {
		if size-pos < flatRecordSize {
			return fmt.Errorf("it ends at %d without an end mark: %w", size, io.ErrUnexpectedEOF)
		}
		var h [flatRecordSize]byte
		if n, err := f.r.ReadAt(h[:], pos); n < len(h) {
			return fmt.Errorf("read the record at %d: %w", pos, noEOF(err))
		}
		off, length := int64(binary.BigEndian.Uint64(h[:])), int64(binary.BigEndian.Uint64(h[8:]))
		if off == -1 && length == -1 {
			return nil
		}
		if off < 0 || length < 0 || length > math.MaxInt64-off {
			return fmt.Errorf("the record at %d is for %#x bytes at %#x", pos, uint64(length), uint64(off))
		}
		if records++; records > maxFlatRecords {
			return fmt.Errorf("more than %d records", maxFlatRecords)
		}
		if off == 0 && length == 0 {
			// No writer makes one, and a file that wasn't written to its end goes on so.
			return fmt.Errorf("the record at %d is empty: %w", pos, io.ErrUnexpectedEOF)
		}
		pos += flatRecordSize
		f.size = max(f.size, off+length)
		if got := min(length, size-pos); got > 0 {
			f.segs = append(f.segs, flatSegment{off, got, pos})
		}
		if length > size-pos {
			return fmt.Errorf("it ends at %d, within a record of %d bytes: %w", size, length, io.ErrUnexpectedEOF)
		}
		pos += length
	}
}

// arrange sorts the segments and lets later records win over earlier ones.
func (f *Flattened) arrange() {
	byOffset := func(a, b flatSegment) int { return cmp.Compare(a.off, b.off) }
	slices.SortFunc(f.segs, byOffset)
	overlap := false
	for i := 1; i < len(f.segs) && !overlap; i++ {
		overlap = f.segs[i].off < f.segs[i-1].end()
	}
	if !overlap {
		return
	}
	// Sweep over the file; of the records that cover a place, the one latest in the
	// stream is on top.
	var out []flatSegment
	var open latestFirst
	pos := int64(0)
	for i := 0; i < len(f.segs) || len(open) > 0; {
		if len(open) == 0 {
			pos = f.segs[i].off
		}
		for ; i < len(f.segs) && f.segs[i].off <= pos; i++ {
			heap.Push(&open, f.segs[i])
		}
		top := open[0]
		if top.end() <= pos {
			heap.Pop(&open)
			continue
		}
		stop := top.end()
		if i < len(f.segs) {
			stop = min(stop, f.segs[i].off)
		}
		piece := flatSegment{pos, stop - pos, top.pos + pos - top.off}
		if n := len(out) - 1; n >= 0 && out[n].end() == pos && out[n].pos+out[n].size == piece.pos {
			out[n].size += piece.size
		} else {
			out = append(out, piece)
		}
		pos = stop
	}
	f.segs = out
}

// latestFirst is a heap of segments, the one latest in the stream on top.
type latestFirst []flatSegment

func (h latestFirst) Len() int           { return len(h) }
func (h latestFirst) Less(i, j int) bool { return h[i].pos > h[j].pos }
func (h latestFirst) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *latestFirst) Push(s any)        { *h = append(*h, s.(flatSegment)) }
func (h *latestFirst) Pop() any {
	old := *h
	s := old[len(old)-1]
	*h = old[:len(old)-1]
	return s
}

// Size is that of the file the stream describes, in bytes.
func (f *Flattened) Size() int64 { return f.size }

// ReadAt reads from the file that the stream describes. Places that no record fills are zero, as
// makedumpfile -R leaves them; in a damaged stream they are io.ErrUnexpectedEOF.
func (f *Flattened) ReadAt(b []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errors.New("negative offset")
	}
	n := 0
	for n < len(b) {
		at := off + int64(n)
		if at >= f.size || at < off {
			return n, io.EOF
		}
		want := b[n:]
		if left := f.size - at; int64(len(want)) > left {
			want = want[:left]
		}
		i, found := slices.BinarySearchFunc(f.segs, at, func(s flatSegment, at int64) int { return cmp.Compare(s.off, at) })
		if !found {
			i--
		}
		if i >= 0 && at < f.segs[i].end() {
			s := f.segs[i]
			if left := s.end() - at; int64(len(want)) > left {
				want = want[:left]
			}
			m, err := f.r.ReadAt(want, s.pos+at-s.off)
			if n += m; m < len(want) {
				return n, noEOF(err)
			}
			continue
		}
		if len(f.Damage) > 0 {
			return n, io.ErrUnexpectedEOF // what was to be here may be in the part that is lost
		}
		if i+1 < len(f.segs) {
			if left := f.segs[i+1].off - at; int64(len(want)) > left {
				want = want[:left]
			}
		}
		clear(want)
		n += len(want)
	}
	return n, nil
}

// NextData returns the first stretch at or after off that a record fills, and that isn't a hole of the
// stream's own file. In a damaged stream everything counts as filled: see ReadAt.
func (f *Flattened) NextData(off int64) (start, end int64, err error) {
	if off < 0 || off >= f.size {
		return 0, 0, io.EOF
	}
	if len(f.Damage) > 0 {
		return off, f.size, nil
	}
	i, found := slices.BinarySearchFunc(f.segs, off, func(s flatSegment, at int64) int { return cmp.Compare(s.off, at) })
	if !found && i > 0 && off < f.segs[i-1].end() {
		i--
	}
	for _, s := range f.segs[i:] {
		at := max(off, s.off)
		start, end, err = nextData(f.r, s.pos+at-s.off)
		if err == io.EOF {
			continue // the next ones may come earlier in the stream
		}
		if err != nil {
			return 0, 0, err
		}
		if start += s.off - s.pos; start < s.end() {
			return start, min(end-s.pos, s.size) + s.off, nil
		}
	}
	return 0, 0, io.EOF
}
