package kdumpfile

import (
	"runtime"
	"testing"
)

// TestSpareProcessor checks that one processor becomes two, and that more stay as many as they are.
func TestSpareProcessor(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(before)
	for _, tt := range []struct{ has, want int }{{1, 2}, {2, 2}, {3, 3}} {
		runtime.GOMAXPROCS(tt.has)
		SpareProcessor()
		if got := runtime.GOMAXPROCS(0); got != tt.want {
			t.Errorf("of %d processors SpareProcessor makes %d; want %d", tt.has, got, tt.want)
		}
	}
}
