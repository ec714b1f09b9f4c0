package kexecsys

import (
	"errors"
	"os"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/pkg/kexec"
)

func TestErrorUnwraps(t *testing.T) {
	err := wrap("kexec_load", kexec.LoadOnCrash.String(), unix.EBUSY)
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

// What the kernel would refuse only after it has freed what is loaded never reaches it.
func TestKexecLoadRefuses(t *testing.T) {
	page := uint64(os.Getpagesize())
	good := kexec.Segment{Data: []byte{1}, Phys: 16 * page, MemSize: 2 * page}
	with := func(change func(*kexec.Segment)) kexec.Segment {
		s := good
		change(&s)
		return s
	}
	for name, more := range map[string]kexec.Segment{
		"overlap from below": with(func(s *kexec.Segment) { s.Phys -= page }),
		"overlap from above": with(func(s *kexec.Segment) { s.Phys += page }),
		"no page":            with(func(s *kexec.Segment) { s.Phys = 32*page + 1 }),
		"no whole pages":     with(func(s *kexec.Segment) { s.Phys, s.MemSize = 32*page, page+1 }),
		"too much data":      with(func(s *kexec.Segment) { s.Phys, s.Data = 32*page, make([]byte, 2*page+1) }),
		"entry elsewhere":    with(func(s *kexec.Segment) { s.Phys = 32 * page }),
		"beyond all memory":  with(func(s *kexec.Segment) { s.Phys = -page }),
	} {
		entry := good.Phys
		if name == "entry elsewhere" {
			entry = 64 * page
		}
		err := Kernel{}.KexecLoad(entry, []kexec.Segment{good, more}, kexec.LoadOnCrash)
		var errno unix.Errno
		if err == nil || errors.As(err, &errno) {
			t.Errorf("%s: KexecLoad = %v; want an error that is no errno", name, err)
		}
	}
}

func TestRawSegments(t *testing.T) {
	page := uint64(os.Getpagesize())
	data := []byte{1, 2, 3}
	raw, err := rawSegments(4*page, []kexec.Segment{{Phys: 8 * page, MemSize: page}, {Data: data, Phys: 4 * page, MemSize: 3 * page}})
	if err != nil || len(raw) != 2 {
		t.Fatalf("rawSegments = %v, %v; want 2", raw, err)
	}
	if r := raw[0]; r.buf != unsafe.Pointer(&data[0]) || r.bufLen != 3 || uint64(r.mem) != 4*page || uint64(r.memLen) != 3*page {
		t.Errorf("first = %+v; want the data as it is, at %#x", r, 4*page)
	}
	if r := raw[1]; r.bufLen != 0 || uint64(r.mem) != 8*page {
		t.Errorf("second = %+v; want zeros at %#x", r, 8*page)
	}
	if raw, err := rawSegments(0, nil); err != nil || len(raw) != 0 {
		t.Errorf("rawSegments(nothing) = %v, %v; want what unloads", raw, err)
	}
}
