package elfcore

import (
	"cmp"
	"debug/elf"
	"slices"

	"github.com/gokexec/gokexec/pkg/memmap"
)

// span is a stretch of address space with its place in the file. last is inclusive, so that
// a span may reach the end of the address space.
type span struct {
	first, last uint64
	off         int64 // file offset of first; below 0 the bytes are zero and not in the file
}

const zeroSpan = -1

// buildSpans makes the lookup tables from the PT_LOADs. Segments may overlap: the kernel text
// is always in two of them (its own and its RAM range). The tables are disjoint; data in the
// file wins over a segment's zero part, otherwise the lower start wins.
func (f *File) buildSpans() (phys, virt []span) {
	invalid := ^uint64(0)
	if f.Class == elf.ELFCLASS32 {
		invalid = 1<<32 - 1
	}
	// QEMU and some filters leave every p_vaddr 0. Where the kernel is not mapped at
	// its physical address, 0 means that there is no virtual address.
	zeroIsVirt := traitsOf(f.Machine).identity
	var pd, pz, vd, vz []span
	for i := range f.Loads {
		l := &f.Loads[i]
		// /proc/kcore gives -1 for memory without a physical address, kexec-tools
		// for high memory without a virtual one.
		if uint64(l.Phys) != invalid {
			pd, pz = appendLoad(pd, pz, l, uint64(l.Phys), invalid)
		}
		if l.Virt != invalid && (l.Virt != 0 || zeroIsVirt) {
			vd, vz = appendLoad(vd, vz, l, l.Virt, invalid)
		}
	}
	return mergeSpans(pd, pz), mergeSpans(vd, vz)
}

// appendLoad adds the part of l that is in the file to data and the rest to zero. What goes
// beyond limit, the last address of the machine, can't be asked for and is cut off.
func appendLoad(data, zero []span, l *Load, addr, limit uint64) (d, z []span) {
	room := limit - addr // one less than the bytes up to the limit
	if addr > limit {
		return data, zero
	}
	if l.FileSize > 0 {
		data = append(data, span{addr, addr + min(l.FileSize-1, room), int64(l.Offset)})
	}
	if l.MemSize > l.FileSize && l.FileSize <= room {
		zero = append(zero, span{addr + l.FileSize, addr + min(l.MemSize-1, room), zeroSpan})
	}
	return data, zero
}

// mergeSpans returns one sorted and disjoint table.
func mergeSpans(data, zero []span) []span {
	data, zero = disjoint(data), disjoint(zero)
	if len(zero) == 0 {
		return data
	}
	out := slices.Clone(data)
	i := 0
	for _, z := range zero {
		for i < len(data) && data[i].last < z.first {
			i++
		}
		covered := false
		for ; i < len(data) && data[i].first <= z.last; i++ {
			if data[i].first > z.first {
				out = append(out, span{z.first, data[i].first - 1, zeroSpan})
			}
			if data[i].last >= z.last {
				covered = true
				break
			}
			z.first = data[i].last + 1
		}
		if !covered {
			out = append(out, z)
		}
	}
	slices.SortFunc(out, func(a, b span) int { return cmp.Compare(a.first, b.first) })
	return out
}

// disjoint sorts spans and cuts off what an earlier one already covers.
func disjoint(spans []span) []span {
	slices.SortStableFunc(spans, func(a, b span) int { return cmp.Compare(a.first, b.first) })
	out := spans[:0]
	for _, s := range spans {
		if len(out) > 0 {
			end := out[len(out)-1].last
			if s.last <= end {
				continue
			}
			if s.first <= end {
				if s.off >= 0 {
					s.off += int64(end - s.first + 1)
				}
				s.first = end + 1
			}
		}
		out = append(out, s)
	}
	return slices.Clip(out)
}

// findSpan returns the span that covers addr.
func findSpan(spans []span, addr uint64) (span, bool) {
	i, ok := slices.BinarySearchFunc(spans, addr, func(s span, a uint64) int { return cmp.Compare(s.first, a) })
	if !ok {
		i--
	}
	if i < 0 || spans[i].last < addr {
		return span{}, false
	}
	return spans[i], true
}

// Memory returns the physical memory that the PT_LOADs cover, to p_memsz.
func (f *File) Memory() memmap.Set { return f.covered(func(span) (uint64, bool) { return 0, true }) }

// Held returns the physical memory whose contents are in the file.
func (f *File) Held() memmap.Set {
	return f.covered(func(s span) (cut uint64, ok bool) {
		if s.off < 0 || s.off >= f.size {
			return 0, false
		}
		if left := uint64(f.size - s.off); s.last-s.first >= left {
			cut = s.last - s.first + 1 - left
		}
		return cut, true
	})
}

// covered is the set of the spans that in accepts, each without its last cut bytes.
func (f *File) covered(in func(span) (cut uint64, ok bool)) memmap.Set {
	ranges := make([]memmap.Range, 0, len(f.phys))
	for _, s := range f.phys {
		if cut, ok := in(s); ok {
			ranges = append(ranges, memmap.RangeTo(memmap.PhysAddr(s.first), memmap.PhysAddr(s.last-cut)))
		}
	}
	return memmap.NewSet(ranges...)
}
