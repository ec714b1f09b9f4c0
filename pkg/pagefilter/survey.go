package pagefilter

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
)

// Survey is what a machine's memory consists of.
type Survey struct {
	Pages      uint64             // page frames of memory
	Counts     [NumClasses]uint64 // page frames by class
	Unreadable uint64             // page frames whose struct page can't be read; they are Kept
	PageSize   uint64             // bytes

	// Refused are the classes whose pages are kept at every level.
	Refused []Refusal

	keptFree uint64 // free page frames that are counted as Kept
	left     left   // classes whose blocks were not looked at page by page
	known    *runs
}

// KeptAt returns how many page frames a level keeps. How many of them are zero is not known.
func (s *Survey) KeptAt(level Level) uint64 {
	n := s.Pages
	for c, count := range s.Counts {
		if s.LeavesOut(level, Class(c)) {
			n -= count
		}
	}
	return n
}

// LeavesOut reports whether a level leaves out the pages of a class: it does so unless the class was
// refused, and level 0 unless any was.
func (s *Survey) LeavesOut(level Level, c Class) bool { return level.excludesBut(c, s.Refused) }

// Progress is how far a survey is, in page frames of memory.
type Progress struct{ Done, Total uint64 }

// SurveyOptions change how a survey is made. The zero value is the default.
type SurveyOptions struct {
	Workers int // goroutines; 0 means GOMAXPROCS
	// Levels are those that a dump may be written with; nil: any. In the free blocks and compound pages that all of
	// them leave out, single pages aren't looked at, so that a damaged one there is not counted as HWPoison.
	Levels  []Level
	Advance func(Progress) // called after each window, by one goroutine at a time
}

// Survey classifies all memory and checks the result: free pages against the counters of the zones,
// samples of each class against the lists and objects that they belong to, and that the page tables,
// the struct pages, the kernel log and the stacks of the CPUs are kept. A class that fails is refused.
// The error is that of ctx or of NextMemory.
func (f *Filter) Survey(ctx context.Context, opt SurveyOptions) (*Survey, error) {
	s := &Survey{PageSize: 1 << f.shift, left: leftByAll(opt.Levels), known: new(runs)}
	c, err := f.newChecker(ctx)
	if err != nil {
		return nil, err
	}
	var picked samples
	total := uint64(0)
	if err := f.eachMemory(0, 1<<(64-f.shift), func(from, to uint64) error {
		total += to - from
		return ctx.Err()
	}); err != nil {
		return nil, err
	}
	workers := opt.Workers
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var (
		mu      sync.Mutex
		failure error
		wg      sync.WaitGroup
		windows = make(chan uint64)
	)
	for range workers {
		wg.Go(func() {
			for first := range windows {
				part, some, err := s.window(ctx, f, first, total)
				mu.Lock()
				s.add(&part)
				picked.add(&some)
				if err != nil && failure == nil {
					failure = err
					cancel()
				}
				if opt.Advance != nil && err == nil {
					opt.Advance(Progress{s.Pages, total})
				}
				mu.Unlock()
			}
		})
	}
	err = f.eachWindow(func(first uint64) error {
		select {
		case windows <- first:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	close(windows)
	wg.Wait()
	if failure != nil {
		return nil, failure
	}
	if err != nil {
		return nil, err
	}
	return s, c.check(s, &picked)
}

// eachWindow calls do with the first page frame of each window that has memory.
func (f *Filter) eachWindow(do func(first uint64) error) error {
	next := uint64(0)
	return f.eachMemory(0, 1<<(64-f.shift), func(from, to uint64) error {
		for first := max(from&^(WindowPages-1), next); first < to; first += WindowPages {
			if err := do(first); err != nil {
				return err
			}
			next = first + WindowPages
		}
		return nil
	})
}

// leftByAll are the classes that all the levels leave out.
func leftByAll(levels []Level) (l left) {
	for c := range l {
		l[c] = len(levels) > 0 && !slices.ContainsFunc(levels, func(level Level) bool { return !level.Excludes(Class(c)) })
	}
	l[Zero] = false
	return l
}

// window counts the classes of a window of a machine with pages of memory.
func (s *Survey) window(ctx context.Context, f *Filter, first, pages uint64) (part Survey, some samples, err error) {
	defer func() {
		if p := recover(); p != nil { // must not end the program of whoever can do without a filter
			err = fmt.Errorf("page filter: internal error: %v\n%s", p, debug.Stack())
		}
	}()
	buf := f.windows.Get().(*[]Class)
	defer f.windows.Put(buf)
	classes := *buf
	n, err := f.classify(ctx, first, classes, s.left)
	if err != nil {
		return part, some, err
	}
	known := appendRuns(nil, classes)
	s.known.note(first, known)
	part.Unreadable, part.keptFree = n.unreadable, n.keptFree
	some.take(first, classes, pages)
	for len(known) > 0 {
		var c Class
		var n uint64
		c, n, known = nextRun(known)
		part.Counts[c] += n
	}
	err = f.eachMemory(first, first+WindowPages, func(from, to uint64) error {
		part.Pages += to - from
		return nil
	})
	part.Counts[Kept] -= WindowPages - part.Pages // what is no memory
	return part, some, err
}

func (s *Survey) add(part *Survey) {
	s.Pages += part.Pages
	s.Unreadable += part.Unreadable
	s.keptFree += part.keptFree
	for c, n := range part.Counts {
		s.Counts[c] += n
	}
}
