package kdumpfile

import (
	"testing"

	"golang.org/x/sys/unix"
)

// TestPrefetch checks that memory that can't be read may be asked for: a dump has pages that fault.
func TestPrefetch(t *testing.T) {
	const size = 64 << 10
	b, err := unix.Mmap(-1, 0, size, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		t.Fatal(err)
	}
	p := &b[0]
	prefetch(p, size)
	if err := unix.Munmap(b); err != nil {
		t.Fatal(err)
	}
	prefetch(p, size) // beside what is mapped
	in := []byte{1: 7}
	prefetch(&in[0], len(in)) // less than a piece
	if in[0] != 0 || in[1] != 7 {
		t.Errorf("the memory is %v, want [0 7]", in)
	}
}
