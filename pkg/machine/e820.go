package machine

import (
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

// E820Named gives the type that /proc/iomem and /sys/firmware/memmap have a name for
// (arch/x86/kernel/e820.c, e820_type_to_string).
func E820Named(name string) (E820Type, bool) {
	switch strings.ToLower(name) {
	case "system ram":
		return E820RAM, true
	case "reserved", "unknown e820 type":
		return E820Reserved, true
	case "acpi tables":
		return E820ACPI, true
	case "acpi non-volatile storage":
		return E820NVS, true
	case "unusable memory":
		return E820Unusable, true
	case "persistent memory":
		return E820Pmem, true
	case "persistent memory (legacy)":
		return E820Pram, true
	case "soft reserved":
		return E820SoftReserved, true
	}
	return 0, false
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

// IomemTypes are the ranges of /proc/iomem by type, of any depth: a range that
// the firmware reserved may be inside a PCI window.
func IomemTypes(m *memmap.Iomem) map[E820Type]memmap.Set {
	ranges := map[E820Type][]memmap.Range{}
	for _, r := range m.Walk() {
		if t, ok := E820Named(r.Name); ok {
			ranges[t] = append(ranges[t], r.Range())
		}
	}
	sets := map[E820Type]memmap.Set{}
	for t, rs := range ranges {
		sets[t] = memmap.NewSet(rs...)
	}
	return sets
}

// ReservedName reports whether memory of that name in /proc/iomem is known to
// the firmware but is no RAM: ACPI tables, persistent memory, reserved ranges.
func ReservedName(name string) bool {
	t, ok := E820Named(name)
	return ok && t != E820RAM
}
