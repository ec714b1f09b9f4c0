package excerpt

import (
	"context"
	"io"

	"github.com/gokexec/gokexec/pkg/kdumpfile"
	"github.com/gokexec/gokexec/pkg/memmap"
	"github.com/gokexec/gokexec/pkg/pagefilter"
)

// samplePages is how many pages of each class are read and compressed for an estimate.
const samplePages = 1 << 10

// Estimate is how large dumps will be.
type Estimate struct {
	Survey *pagefilter.Survey
	// Fixed are the bytes that are there whatever is kept: headers, notes, bitmaps.
	Fixed int64
	// PerPage are the average bytes that a page of a class takes, its descriptor included.
	PerPage [pagefilter.NumClasses]float64
	// Zero is the share of a class's pages that are zero.
	Zero [pagefilter.NumClasses]float64
}

// Bytes is the size of a compressed dump of a level.
func (e *Estimate) Bytes(level pagefilter.Level) int64 {
	return e.Fixed + e.sum(level, func(c int) float64 { return e.PerPage[c] })
}

// ELFBytes is the size of a dump of a level as an ELF core, as far as its pages go.
func (e *Estimate) ELFBytes(level pagefilter.Level) int64 {
	return e.sum(level, func(c int) float64 {
		if level.Excludes(pagefilter.Zero) {
			return float64(e.Survey.PageSize) * (1 - e.Zero[c])
		}
		return float64(e.Survey.PageSize)
	})
}

// sum adds up what the pages that a level keeps take, each of a class so much.
func (e *Estimate) sum(level pagefilter.Level, perPage func(class int) float64) int64 {
	n := float64(0)
	for c, count := range e.Survey.Counts {
		if !e.Survey.LeavesOut(level, pagefilter.Class(c)) {
			n += float64(count) * perPage(c)
		}
	}
	return int64(n)
}

// Estimate tells how large dumps with the codec will be, from the number of pages of each class and what a
// sample of them takes. It writes nothing. The error is that of ctx, of Whole, or of reading.
func (e *Excerpt) Estimate(ctx context.Context, codec kdumpfile.Codec) (*Estimate, error) {
	s, err := e.Survey(ctx, nil)
	if err == nil {
		err = e.whole
	}
	if err != nil {
		return nil, err
	}
	samples, err := e.sample(ctx, s)
	if err != nil {
		return nil, err
	}
	est := &Estimate{Survey: s}
	write := func(pages sampled) (kdumpfile.Written, error) {
		return kdumpfile.WriteCompressed(ctx, Nowhere{}, e.dump, kdumpfile.WriteOptions{
			Codec: codec, Filter: pages, OmitZero: true, Workers: e.workers, Unreadable: func(memmap.PhysAddr, error) {},
		})
	}
	none, err := write(nil)
	if err != nil {
		return nil, err
	}
	est.Fixed = none.Bytes
	for c, pages := range samples {
		if len(pages) == 0 {
			est.PerPage[c] = float64(s.PageSize)
			continue
		}
		w, err := write(pages)
		if err != nil {
			return nil, err
		}
		if w.Kept > 0 {
			est.PerPage[c] = float64(w.Bytes-none.Bytes) / float64(w.Kept)
			est.Zero[c] = float64(w.Zero) / float64(w.Kept)
		}
	}
	return est, nil
}

// Nowhere is a file that keeps nothing, for those who only want to know what would be written.
type Nowhere struct{}

// WriteAt succeeds.
func (Nowhere) WriteAt(b []byte, _ int64) (int, error) { return len(b), nil }

// sampled are page frames by window; as a filter it keeps these.
type sampled map[uint64][]uint64

// Filter keeps the pages of the sample.
func (s sampled) Filter(_ context.Context, first uint64, keep []uint64) error {
	pages := s[first]
	for i := range keep {
		if pages == nil {
			keep[i] = 0
			continue
		}
		keep[i] &= pages[i]
	}
	return nil
}

// sample picks pages of each class that may be read, evenly over the memory.
func (e *Excerpt) sample(ctx context.Context, s *pagefilter.Survey) ([]sampled, error) {
	samples := make([]sampled, pagefilter.Free+1)
	var seen [pagefilter.NumClasses]uint64
	classes := make([]pagefilter.Class, pagefilter.WindowPages)
	window := ^uint64(0) // whose classes they are
	for addr := memmap.PhysAddr(0); ; {
		r, err := e.dump.NextMemory(addr)
		if err == io.EOF {
			return samples, nil
		}
		if err != nil {
			return nil, err
		}
		first := uint64(r.Start) / s.PageSize &^ (pagefilter.WindowPages - 1)
		if first != window {
			if err := e.filter.Classify(ctx, first, classes); err != nil {
				return nil, err
			}
			window = first
		}
		end := min(r.End, memmap.PhysAddr((first+pagefilter.WindowPages)*s.PageSize))
		for pfn := uint64(r.Start) / s.PageSize; pfn < uint64(end)/s.PageSize; pfn++ {
			c := classes[pfn-first]
			if int(c) >= len(samples) {
				continue
			}
			seen[c]++
			if seen[c]%(s.Counts[c]/samplePages+1) != 0 {
				continue
			}
			if samples[c] == nil {
				samples[c] = sampled{}
			}
			if samples[c][first] == nil {
				samples[c][first] = make([]uint64, pagefilter.WindowPages/64)
			}
			samples[c][first][(pfn-first)/64] |= 1 << (pfn % 64)
		}
		addr = end
	}
}
