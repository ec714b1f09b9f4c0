package loader

import (
	"cmp"
	"slices"
	"strings"

	"github.com/gokexec/gokexec/pkg/memmap"
)

// E820Type is the kind of a range of an x86 memory map (arch/x86/include/asm/
// e820/types.h).
type E820Type uint32

// The types.
const (
	E820RAM          E820Type = 1
	E820Reserved     E820Type = 2
	E820ACPI         E820Type = 3
	E820NVS          E820Type = 4
	E820Unusable     E820Type = 5
	E820Pmem         E820Type = 7
	E820Pram         E820Type = 12
	E820SoftReserved E820Type = 0xefffffff
)

// e820Names are the names of the types in /proc/iomem and /sys/firmware/memmap
// (arch/x86/kernel/e820.c, e820_type_to_string), in lower case.
var e820Names = map[string]E820Type{
	"system ram":                 E820RAM,
	"reserved":                   E820Reserved,
	"acpi tables":                E820ACPI,
	"acpi non-volatile storage":  E820NVS,
	"unusable memory":            E820Unusable,
	"persistent memory":          E820Pmem,
	"persistent memory (legacy)": E820Pram,
	"soft reserved":              E820SoftReserved,
	"unknown e820 type":          E820Reserved,
}

// String gives the name that the kernel prints.
func (t E820Type) String() string {
	switch t {
	case E820RAM:
		return "System RAM"
	case E820Reserved:
		return "Reserved"
	case E820ACPI:
		return "ACPI Tables"
	case E820NVS:
		return "ACPI Non-volatile Storage"
	case E820Unusable:
		return "Unusable memory"
	case E820Pmem:
		return "Persistent Memory"
	case E820Pram:
		return "Persistent Memory (legacy)"
	case E820SoftReserved:
		return "Soft Reserved"
	}
	return "Unknown E820 type"
}

// MarshalText gives the name.
func (t E820Type) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// E820Entry is one range of the memory map that the new kernel is given.
type E820Entry struct {
	memmap.Range
	Type E820Type
}

// maxE820 is how many ranges boot_params holds (E820_MAX_ENTRIES_ZEROPAGE); more
// go into a SETUP_E820_EXT.
const maxE820 = 128

// lowEnd is the end of the memory that a BIOS calls conventional: the backup of
// a crash load covers the RAM below it.
const lowEnd = memmap.PhysAddr(640 << 10)

// lowRAM is what a crash kernel is given of the first 640 KiB, which it needs
// to start CPUs in.
func lowRAM(m *memmap.Iomem) memmap.Set {
	return m.BootRAM().Intersect(memmap.NewSet(memmap.Range{End: lowEnd}))
}

// crashE820 is the memory map of a crash kernel, as crash_setup_memmap_entries
// makes it (arch/x86/kernel/crash.c): low memory, the crash regions less taken,
// and all that is no RAM, so that devices and tables are found.
//
// Soft reserved memory becomes reserved: a driver of the crash kernel could
// else make RAM of it, and the dump is in there.
func crashE820(host *Host, taken []memmap.Range) []E820Entry {
	if host.Iomem == nil {
		return nil
	}
	crash := append([]memmap.Range(nil), host.Crash...)
	if host.Dump != nil {
		crash = append(crash, host.Dump.CMA...)
	}
	ram := lowRAM(host.Iomem).Union(memmap.NewSet(crash...)).Minus(memmap.NewSet(taken...))
	types := iomemTypes(host.Iomem)
	types[E820Reserved] = types[E820Reserved].Union(types[E820SoftReserved])
	delete(types, E820SoftReserved)
	types[E820RAM] = ram
	// What was taken out of the RAM is in none of the others either.
	return e820Of(types, memmap.NewSet(taken...))
}

// iomemTypes are the ranges of /proc/iomem by type, of any depth: a range that
// the firmware reserved may be inside a PCI window.
func iomemTypes(m *memmap.Iomem) map[E820Type]memmap.Set {
	ranges := map[E820Type][]memmap.Range{}
	for _, r := range m.Walk() {
		if t, ok := e820Names[strings.ToLower(r.Name)]; ok {
			ranges[t] = append(ranges[t], r.Range())
		}
	}
	sets := map[E820Type]memmap.Set{}
	for t, rs := range ranges {
		sets[t] = memmap.NewSet(rs...)
	}
	return sets
}

// bootE820 is the memory map of an ordinary kexec: the firmware's, and RAM only
// where the running kernel sees none of it reserved. UEFI has the kernel reserve
// tables in what the firmware's map calls RAM (efi_arch_mem_reserve).
func bootE820(host *Host) []E820Entry {
	if host.Iomem == nil {
		return nil
	}
	seen := iomemTypes(host.Iomem)
	firmware := host.firmwareMap()
	if len(firmware) == 0 || host.Cmdline.Has("add_efi_memmap") {
		return e820Of(seen, memmap.Set{})
	}
	types := map[E820Type]memmap.Set{}
	for _, e := range firmware {
		t, ok := e820Names[strings.ToLower(e.Type)]
		if !ok {
			t = E820Reserved
		}
		types[t] = types[t].Union(memmap.NewSet(e.Range))
	}
	// The first page is reserved by every kernel for itself (trim_bios_range),
	// and what a BIOS calls RAM there stays that.
	page0 := memmap.NewSet(memmap.Range{End: pageSize})
	for t, s := range seen {
		if t == E820RAM {
			continue
		}
		s = s.Intersect(types[E820RAM]).Minus(page0)
		types[E820RAM] = types[E820RAM].Minus(s)
		types[t] = types[t].Union(s)
	}
	return e820Of(types, memmap.Set{})
}

// e820Of lists the types' ranges, ascending and disjoint: what is of two types
// is of the more careful one, but RAM stays RAM.
func e820Of(types map[E820Type]memmap.Set, without memmap.Set) []E820Entry {
	var entries []E820Entry
	for _, t := range []E820Type{E820RAM, E820NVS, E820ACPI, E820Unusable, E820Pmem, E820Pram, E820SoftReserved, E820Reserved} {
		s := types[t].Minus(without)
		for _, r := range s.Ranges() {
			entries = append(entries, E820Entry{r, t})
		}
		without = without.Union(s)
	}
	slices.SortFunc(entries, func(a, b E820Entry) int { return cmp.Compare(a.Start, b.Start) })
	if len(entries) == 1 {
		// A kernel takes a map of one range for a bad one (append_e820_table).
		e := entries[0]
		if middle := e.Start + memmap.PhysAddr(e.Size()/2)&^(pageSize-1); middle > e.Start {
			entries = []E820Entry{{memmap.Range{Start: e.Start, End: middle}, e.Type}, {memmap.Range{Start: middle, End: e.End}, e.Type}}
		}
	}
	return entries
}

// e820Order puts RAM first where there are more entries than boot_params holds:
// the decompressor, which picks a place for the kernel, sees only those.
func e820Order(entries []E820Entry) []E820Entry {
	if len(entries) <= maxE820 {
		return entries
	}
	ordered := slices.Clone(entries)
	slices.SortStableFunc(ordered, func(a, b E820Entry) int {
		return cmp.Compare(notRAM(a), notRAM(b))
	})
	return ordered
}

func notRAM(e E820Entry) int {
	if e.Type == E820RAM {
		return 0
	}
	return 1
}

// ramOf is the RAM of a memory map.
func ramOf(entries []E820Entry) memmap.Set {
	var rs []memmap.Range
	for _, e := range entries {
		if e.Type == E820RAM {
			rs = append(rs, e.Range)
		}
	}
	return memmap.NewSet(rs...)
}

// ReservedName reports whether memory of that name in /proc/iomem is known to
// the firmware but is no RAM: ACPI tables, persistent memory, reserved ranges.
func ReservedName(name string) bool {
	t, ok := e820Names[strings.ToLower(name)]
	return ok && t != E820RAM
}
