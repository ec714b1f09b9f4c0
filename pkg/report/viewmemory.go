package report

import (
	"fmt"
	"slices"
)

// share is a part of the memory.
type share struct {
	name  string
	class string // of its colour
	note  string
	bytes uint64
}

// shares are what the memory consisted of; they add up to all of it, as far as the kernel's counters do.
func (m *Memory) shares() []share {
	file := ""
	if m.Shared > 0 {
		file = sizeText(m.Shared) + " of them tmpfs and shared memory"
	}
	all := []share{
		{"processes", "m0", "anonymous memory", m.Anonymous},
		{"files", "m1", file, m.File},
		{"slab, kept", "m2", "kernel objects that can't be given up", m.SlabKept},
		{"slab, cache", "m3", "kernel objects that can be given up", m.SlabCache},
		{"page tables", "m4", "", m.PageTables},
		{"kernel stacks", "m5", "", m.KernelStack},
		{"huge pages", "m6", "set aside for hugetlb", m.Huge},
		{"free", "free", "", m.Free},
	}
	if m.Huge == 0 {
		all = slices.Delete(all, 6, 7)
	}
	if known := m.known(); known < m.Total {
		// Before what is free.
		all = slices.Insert(all, len(all)-1, share{"other", "m7", "vmalloc, drivers, per-CPU data", m.Total - known})
	}
	return all
}

// swapText says how much of the swap space was used; "" where there was none.
func (m *Memory) swapText() string {
	if m.SwapTotal == 0 {
		return ""
	}
	return fmt.Sprintf("swap: %s of %s used", sizeText(m.SwapTotal-min(m.SwapFree, m.SwapTotal)), sizeText(m.SwapTotal))
}

// percent is a part of a whole in %; 0 if there is none.
func percent(part, whole uint64) float64 {
	if whole == 0 {
		return 0
	}
	return min(float64(part)/float64(whole)*100, 100)
}

// sizeText is a number of bytes with a unit, a power of 1024.
func sizeText(bytes uint64) string {
	v, unit := float64(bytes)/1024, "KiB"
	for _, next := range [...]string{"MiB", "GiB", "TiB", "PiB"} {
		if v < 1024 {
			break
		}
		v, unit = v/1024, next
	}
	if v < 10 && v != float64(int(v)) {
		return fmt.Sprintf("%.1f %s", v, unit)
	}
	return fmt.Sprintf("%.0f %s", v, unit)
}
