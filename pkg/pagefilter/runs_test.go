package pagefilter

import (
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
			r.note(i*WindowPages, classes)
		}
		if r.of(i*WindowPages) != nil {
			known++
		}
	}
	if size := uint64(len(appendRuns(nil, classes))); known != maxRuns/size || r.size > maxRuns {
		t.Errorf("%d windows of %d bytes are remembered, in %d bytes; want %d", known, size, r.size, maxRuns/size)
	}
}
