package kexecsys

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

func TestFlagStrings(t *testing.T) {
	tests := []struct{ got, want string }{
		{LoadFlags(0).String(), "none"},
		{(LoadOnCrash | LoadUpdateElfcorehdr).String(), "ON_CRASH|UPDATE_ELFCOREHDR"},
		{(FileUnload | FileOnCrash | FileNoInitramfs).String(), "UNLOAD|ON_CRASH|NO_INITRAMFS"},
		{(FileForceDTB | 0x100).String(), "FORCE_DTB|0x100"},
	}
	for _, tt := range tests {
		if tt.got != tt.want {
			t.Errorf("String() = %q; want %q", tt.got, tt.want)
		}
	}
}

func TestErrorUnwraps(t *testing.T) {
	err := wrap("kexec_load", LoadOnCrash.String(), unix.EBUSY)
	if !errors.Is(err, unix.EBUSY) {
		t.Errorf("errors.Is(%v, EBUSY) = false; want true", err)
	}
	if got, want := err.Error(), "kexec_load(ON_CRASH): device or resource busy"; got != want {
		t.Errorf("Error() = %q; want %q", got, want)
	}
	if err := wrap("kexec_load", "", nil); err != nil {
		t.Errorf("wrap(nil) = %v; want nil", err)
	}
}

// A list that u-root's checks refuse never reaches the kernel.
func TestKexecLoadRefusesOverlap(t *testing.T) {
	err := Kernel{}.KexecLoad(0x1000, []Segment{
		{Data: []byte{1}, Phys: 0x1000, MemSize: 0x2000},
		{Data: []byte{2}, Phys: 0x2000, MemSize: 0x1000},
	}, LoadOnCrash)
	var errno unix.Errno
	if err == nil || errors.As(err, &errno) {
		t.Errorf("KexecLoad(overlapping) = %v; want an error that is no errno", err)
	}
}
