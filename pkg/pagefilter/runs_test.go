package pagefilter

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// The runs of any classes are these classes.
func TestRuns(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, size := range []int{1, 2, 64, 4096, WindowPages} {
		for _, longest := range []int{1, 3, 1000, WindowPages} {
			want := make([]Class, 0, size)
			for len(want) < size {
				run := min(1+r.IntN(longest), size-len(want))
				want = append(want, slices.Repeat([]Class{Class(r.IntN(NumClasses))}, run)...)
			}
			var got []Class
			for b := appendRuns(nil, want); len(b) > 0; {
				c, n, rest := nextRun(b)
				got, b = append(got, slices.Repeat([]Class{c}, int(n))...), rest
			}
			if !slices.Equal(got, want) {
				t.Errorf("%d classes in runs of up to %d are not what they were", size, longest)
			}
		}
	}
}

// No more is remembered than there is room for, and each window once.
func TestRunsBounded(t *testing.T) {
	classes := make([]Class, WindowPages)
	for i := range classes {
		classes[i] = Class(i % 2)
	}
	var r runs
	known := uint64(0)
	for i := range uint64(100) {
		for range 2 {
			r.note(i*WindowPages, appendRuns(nil, classes))
		}
		if r.of(i*WindowPages) != nil {
			known++
		}
	}
	exact := uint64(maxExact / len(appendRuns(nil, classes)))
	if known != 100 || r.size > maxExact+100*16 || len(r.of((exact-1)*WindowPages)) < WindowPages || len(r.of(exact*WindowPages)) > 16 {
		t.Errorf("%d windows are remembered in %d bytes; want all, %d of them exactly", known, r.size, exact)
	}
	for i := range classes {
		classes[i] = Class(i / blockPages % 2)
	}
	// Of windows that differ in each block, not all have room.
	n := uint64(0)
	for i := range uint64(4000) {
		r.note((1000+i)*WindowPages, appendRuns(nil, classes))
		if r.of((1000+i)*WindowPages) != nil {
			n++
		}
	}
	if r.size > maxRuns || n < 1000 || n == 4000 {
		t.Errorf("%d more windows are remembered, in %d bytes", n, r.size)
	}
}

// A block has the class that all its page frames have, or is mixed.
func TestBlocks(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 3))
	for _, longest := range []int{1, 30, blockPages, 3 * blockPages, WindowPages} {
		classes := make([]Class, 0, WindowPages)
		for len(classes) < WindowPages {
			run := min(1+r.IntN(longest), WindowPages-len(classes))
			if r.IntN(2) == 0 {
				run = min((run+blockPages-1)&^(blockPages-1), WindowPages-len(classes))
			}
			classes = append(classes, slices.Repeat([]Class{Class(r.IntN(NumClasses))}, run)...)
		}
		var got []Class
		for b := appendBlocks(nil, appendRuns(nil, classes)); len(b) > 0; {
			c, n, rest := nextRun(b)
			if n == 0 || n%blockPages != 0 {
				t.Fatalf("runs of up to %d: a run of %d", longest, n)
			}
			got, b = append(got, slices.Repeat([]Class{c}, int(n/blockPages))...), rest
		}
		if len(got) != WindowPages/blockPages {
			t.Fatalf("runs of up to %d: %d blocks", longest, len(got))
		}
		for i, c := range got {
			block := classes[i*blockPages:][:blockPages]
			want := block[0]
			if slices.ContainsFunc(block, func(c Class) bool { return c != want }) {
				want = mixed
			}
			if c != want {
				t.Errorf("runs of up to %d: block %d is %d; want %d", longest, i, c, want)
			}
		}
	}
}

// Classes are looked up in the windows that were noted, and in no others.
func TestClassLookup(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	var noted runs
	want := map[uint64]Class{}
	for _, window := range []uint64{0, 1, 3, 7} {
		classes := make([]Class, WindowPages)
		for i := 0; i < WindowPages; {
			class := Class(r.IntN(NumClasses))
			for end := min(i+1+r.IntN(1<<14), WindowPages); i < end; i++ {
				classes[i] = class
			}
		}
		noted.note(window*WindowPages, appendRuns(nil, classes))
		for range 1000 {
			i := r.Uint64N(WindowPages)
			want[window*WindowPages+i] = classes[i]
		}
		want[window*WindowPages], want[(window+1)*WindowPages-1] = classes[0], classes[WindowPages-1]
	}
	pfns := slices.AppendSeq([]uint64{2 * WindowPages, 2*WindowPages + 5, 9 * WindowPages}, maps.Keys(want))
	slices.Sort(pfns)
	l := classLookup{runs: &noted}
	for _, pfn := range pfns {
		class, ok := l.class(pfn)
		if w, known := want[pfn]; ok != known || known && class != w {
			t.Fatalf("page frame %#x: %v, %v; want %v, %v", pfn, class, ok, w, known)
		}
	}
}
