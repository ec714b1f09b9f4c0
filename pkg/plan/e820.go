package plan

import (
	"cmp"
	"slices"

	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/memmap"
)

// E820Entry is one range of the memory map that the new kernel is given.
type E820Entry struct {
	memmap.Range
	Type machine.E820Type
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
func crashE820(host *machine.Host, taken []memmap.Range) []E820Entry {
	if host.Iomem == nil {
		return nil
	}
	crash := append([]memmap.Range(nil), host.Crash...)
	if host.Dump != nil {
		crash = append(crash, host.Dump.CMA...)
	}
	ram := lowRAM(host.Iomem).Union(memmap.NewSet(crash...)).Minus(memmap.NewSet(taken...))
	types := machine.IomemTypes(host.Iomem)
	types[machine.E820Reserved] = types[machine.E820Reserved].Union(types[machine.E820SoftReserved])
	delete(types, machine.E820SoftReserved)
	types[machine.E820RAM] = ram
	// What was taken out of the RAM is in none of the others either.
	return e820Of(types, memmap.NewSet(taken...))
}

// bootE820 is the memory map of an ordinary kexec: the firmware's, and RAM only
// where the running kernel sees none of it reserved. UEFI has the kernel reserve
// tables in what the firmware's map calls RAM (efi_arch_mem_reserve).
func bootE820(host *machine.Host) []E820Entry {
	if host.Iomem == nil {
		return nil
	}
	seen := machine.IomemTypes(host.Iomem)
	firmware := host.FirmwareMap()
	if len(firmware) == 0 || host.Cmdline.Has("add_efi_memmap") {
		return e820Of(seen, memmap.Set{})
	}
	types := map[machine.E820Type]memmap.Set{}
	for _, e := range firmware {
		t, ok := machine.E820Named(e.Type)
		if !ok {
			t = machine.E820Reserved
		}
		types[t] = types[t].Union(memmap.NewSet(e.Range))
	}
	// The first page is reserved by every kernel for itself (trim_bios_range),
	// and what a BIOS calls RAM there stays that.
	page0 := memmap.NewSet(memmap.Range{End: memmap.PageSize})
	for t, s := range seen {
		if t == machine.E820RAM {
			continue
		}
		s = s.Intersect(types[machine.E820RAM]).Minus(page0)
		types[machine.E820RAM] = types[machine.E820RAM].Minus(s)
		types[t] = types[t].Union(s)
	}
	return e820Of(types, memmap.Set{})
}

// e820Of lists the types' ranges, ascending and disjoint: what is of two types
// is of the more careful one, but RAM stays RAM.
func e820Of(types map[machine.E820Type]memmap.Set, without memmap.Set) []E820Entry {
	var entries []E820Entry
	for _, t := range []machine.E820Type{machine.E820RAM, machine.E820NVS, machine.E820ACPI, machine.E820Unusable, machine.E820Pmem, machine.E820Pram, machine.E820SoftReserved, machine.E820Reserved} {
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
		if middle := e.Start + memmap.PhysAddr(e.Size()/2)&^(memmap.PageSize-1); middle > e.Start {
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
	if e.Type == machine.E820RAM {
		return 0
	}
	return 1
}

// ramOf is the RAM of a memory map.
func ramOf(entries []E820Entry) memmap.Set {
	var rs []memmap.Range
	for _, e := range entries {
		if e.Type == machine.E820RAM {
			rs = append(rs, e.Range)
		}
	}
	return memmap.NewSet(rs...)
}
