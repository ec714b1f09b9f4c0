package kexectest

import (
	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/pkg/kexec"
	"github.com/gokexec/gokexec/pkg/memmap"
)

// SegmentList is a call of kexec_load and what comes of it.
type SegmentList struct {
	Name     string
	Entry    uint64
	Segments []ListedSegment
	Flags    kexec.LoadFlags
	Want     unix.Errno
}

// ListedSegment is a segment of DataSize bytes of whatever.
type ListedSegment struct {
	Phys, MemSize uint64
	DataSize      int
}

// Kernel gives the segments as the system call takes them.
func (l *SegmentList) Kernel() []kexec.Segment {
	var segments []kexec.Segment
	for _, s := range l.Segments {
		segments = append(segments, kexec.Segment{Data: make([]byte, s.DataSize), Phys: s.Phys, MemSize: s.MemSize})
	}
	return segments
}

// SegmentLists are good and bad lists for a machine with that crash region and
// total bytes of memory, at least twice as many. Both the fake and real kernels
// answer so. Lists that overlap or are not page aligned, or whose entry is in no
// segment, are not among them: u-root repairs or refuses those before the call.
func SegmentLists(region memmap.Range, total uint64) []SegmentList {
	start, end := uint64(region.Start), uint64(region.End)
	at, crash := start+1<<20, kexec.LoadOnCrash
	one := func(phys, mem uint64, data int) []ListedSegment { return []ListedSegment{{phys, mem, data}} }
	var many []ListedSegment
	for i := range uint64(maxSegments + 1) {
		many = append(many, ListedSegment{at + i*pageSize, pageSize, 1})
	}
	return []SegmentList{
		{"one", at, one(at, 1<<20, 10), crash, 0},
		{"sixteen", at, many[:maxSegments], crash, 0},
		{"no data", at, one(at, pageSize, 0), crash, 0},
		{"up to the end", end - pageSize, one(end-pageSize, pageSize, 1), crash, 0},
		{"seventeen", at, many, crash, unix.EINVAL},
		{"entry below", start - 1, one(start-pageSize, pageSize, 1), crash, unix.EADDRNOTAVAIL},
		{"entry after the end", end, one(end, pageSize, 1), crash, unix.EADDRNOTAVAIL},
		{"below", start, one(start-pageSize, 2*pageSize, 1), crash, unix.EADDRNOTAVAIL},
		{"after the end", end - pageSize, one(end-pageSize, 2*pageSize, 1), crash, unix.EADDRNOTAVAIL},
		{"beyond memory", 1 << 56, one(1<<56, pageSize, 1), crash, unix.EADDRNOTAVAIL},
		{"over half of memory", at, one(at, (total/2+pageSize)&^(pageSize-1), 1), crash, unix.EINVAL},
		{"no room for control pages", start, one(start, end-start, 1), crash, unix.ENOMEM},
		{"unknown flag", at, one(at, pageSize, 1), crash | 1<<9, unix.EINVAL},
	}
}
