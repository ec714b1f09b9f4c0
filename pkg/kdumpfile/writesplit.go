package kdumpfile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"time"
)

// WriteSplit is WriteCompressed into several files, as makedumpfile --split: each has the headers and bitmaps, and about as many
// pages as the others, the first file the lowest. Open reads all of them together. They are written one
// after the other. The filter is asked no more often than for one file.
func WriteSplit(ctx context.Context, files []io.WriterAt, d Dump, opt WriteOptions) ([]Written, error) {
	done := make([]Written, len(files))
	err := writeSplit(ctx, files, done, d, &opt)
	if err != nil {
		err = fmt.Errorf("kdumpfile: write a split dump: %w", err)
	}
	return done, err
}

func writeSplit(ctx context.Context, files []io.WriterAt, done []Written, d Dump, opt *WriteOptions) error {
	if len(files) == 0 {
		return errors.New("no file")
	}
	src := newSource(d, opt)
	parts := make([]*kdumpWriter, len(files))
	defer func() {
		for i, k := range parts {
			if k != nil {
				done[i] = k.done
				done[i].Incomplete = k.head == nil || k.head.Status&statusIncomplete != 0
			}
		}
	}()
	now := time.Now() // makedumpfile --reassemble wants equal headers
	for i, w := range files {
		k := &kdumpWriter{w: w, opt: opt, src: src}
		parts[i] = k
		if err := k.begin(now); err != nil {
			return fmt.Errorf("file %d: %w", i+1, err)
		}
	}
	err := src.survey(ctx, opt, &parts[0].done, func(w *window) error {
		for i, k := range parts {
			if err := k.writeBits(w); err != nil {
				return fmt.Errorf("file %d: %w", i+1, err)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	bounds, err := src.bounds(ctx, len(parts))
	if err != nil {
		return err
	}
	kept := src.kept()
	for i, k := range parts {
		k.head.Split, k.head.StartPage, k.head.EndPage = true, 0, k.head.Pages
		if i > 0 {
			k.head.StartPage = min(max(bounds[i], k.base)-k.base, k.head.Pages)
		}
		if i < len(parts)-1 {
			k.head.EndPage = min(max(bounds[i+1], k.base)-k.base, k.head.Pages)
		}
		n := uint64(len(parts))
		k.done.Kept = kept*uint64(i+1)/n - kept*uint64(i)/n
		if err := k.endBits(); err != nil {
			return fmt.Errorf("file %d: %w", i+1, err)
		}
		if err := k.writeHeader(); err != nil {
			return fmt.Errorf("file %d: %w", i+1, err)
		}
	}
	for i, k := range parts {
		if err := k.finish(ctx); err != nil {
			return fmt.Errorf("file %d: %w", i+1, err)
		}
	}
	return nil
}

// bounds returns the page frames at which the kept pages are to be cut into n parts: part i has those from bounds[i] to before
// bounds[i+1], which is one share of them to the page.
func (s *source) bounds(ctx context.Context, n int) ([]uint64, error) {
	kept := s.kept()
	bounds := make([]uint64, n+1)
	bounds[n] = ^uint64(0)
	var w window
	before, at := uint64(0), 0 // pages before answer at
	for i := 1; i < n; i++ {
		want := kept * uint64(i) / uint64(n)
		for at < len(s.answers) && before+s.answers[at].kept <= want {
			before += s.answers[at].kept
			at++
		}
		if at == len(s.answers) {
			bounds[i] = bounds[n]
			continue
		}
		if err := s.again(ctx, &w, &s.answers[at]); err != nil {
			return nil, err
		}
		bounds[i] = w.first + bitOf(w.keep, want-before)
	}
	return bounds, nil
}

// bitOf returns the number of the set bit that has n set bits before it.
func bitOf(b []uint64, n uint64) uint64 {
	for i, w := range b {
		if c := uint64(bits.OnesCount64(w)); n >= c {
			n -= c
			continue
		}
		for ; n > 0; n-- {
			w &= w - 1
		}
		return uint64(i)*64 + uint64(bits.TrailingZeros64(w))
	}
	return uint64(len(b)) * 64
}
