package kexectest

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

// The fake answers as the table says; TestVMSegmentLists asks real kernels.
func TestSegmentLists(t *testing.T) {
	k := NewKernel(NewMachine(t))
	region, _ := k.crashRegion()
	for _, l := range SegmentLists(region, k.memTotal()) {
		var got unix.Errno
		if err := k.KexecLoad(l.Entry, l.Kernel(), l.Flags); err != nil && !errors.As(err, &got) {
			t.Fatal(err)
		}
		if got != l.Want {
			t.Errorf("%s: errno %d (%v); want %d (%v)", l.Name, got, got, l.Want, l.Want)
		}
	}
}
