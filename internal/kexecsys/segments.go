package kexecsys

import (
	"cmp"
	"fmt"
	"os"
	"runtime"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/pkg/kexec"
)

// rawSegment is struct kexec_segment (include/uapi/linux/kexec.h).
type rawSegment struct {
	buf    unsafe.Pointer
	bufLen uintptr
	mem    uintptr
	memLen uintptr
}

// KexecLoad passes segments to kexec_load(2). No segments means unload. The call is
// made here and not by u-root's kexec.Load, which copies each segment before: a copy
// of the kernel costs memory, and the scheduler can't interrupt it (on an emulated
// riscv64 a garbage collection that waited for it made a load take 14 s instead of 2).
func (Kernel) KexecLoad(entry uint64, segments []kexec.Segment, flags kexec.LoadFlags) error {
	raw, err := rawSegments(entry, segments)
	if err != nil {
		return fmt.Errorf("kexec_load: %w", err)
	}
	_, _, errno := unix.Syscall6(unix.SYS_KEXEC_LOAD, uintptr(entry), uintptr(len(raw)), uintptr(unsafe.Pointer(unsafe.SliceData(raw))),
		uintptr(flags|nativeArch), 0, 0)
	runtime.KeepAlive(raw)
	if errno != 0 {
		return wrap("kexec_load", flags.String(), errno)
	}
	return nil
}

// rawSegments refuses what the kernel would refuse only after it has freed the image
// that is loaded (kernel/kexec_core.c, sanity_check_segment_list).
func rawSegments(entry uint64, segments []kexec.Segment) ([]rawSegment, error) {
	page := uint64(os.Getpagesize())
	byAddress := slices.SortedFunc(slices.Values(segments), func(a, b kexec.Segment) int { return cmp.Compare(a.Phys, b.Phys) })
	raw := make([]rawSegment, 0, len(segments))
	end, entered := uint64(0), len(segments) == 0
	for i, s := range byAddress {
		last := s.Phys + s.MemSize
		switch {
		case uint64(uintptr(last)) != last || last < s.Phys || uint64(uintptr(entry)) != entry:
			return nil, fmt.Errorf("segment %d at %#x or entry %#x is beyond this program's pointer size", i, s.Phys, entry)
		case s.Phys%page != 0 || s.MemSize%page != 0 || uint64(len(s.Data)) > s.MemSize:
			return nil, fmt.Errorf("segment %d: %#x bytes in %#x at %#x; want whole pages of %#x bytes, and no more data than memory", i, len(s.Data), s.MemSize, s.Phys, page)
		case s.Phys < end:
			return nil, fmt.Errorf("segment %d at %#x overlaps the one that ends at %#x", i, s.Phys, end)
		}
		end, entered = last, entered || entry >= s.Phys && entry < last
		raw = append(raw, rawSegment{unsafe.Pointer(unsafe.SliceData(s.Data)), uintptr(len(s.Data)), uintptr(s.Phys), uintptr(s.MemSize)})
	}
	if !entered {
		return nil, fmt.Errorf("entry %#x is in no segment", entry)
	}
	return raw, nil
}
