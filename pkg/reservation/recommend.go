package reservation

import (
	"debug/elf"
	"fmt"
	"slices"
	"strings"

	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/memmap"
)

// Size is a reservation.
type Size struct {
	Value string   // of crashkernel=: "192M", or "512M,high"
	Low   string   // of a second crashkernel=, "72M,low"; "" for none
	Bytes uint64   // of both
	Why   []string // what it is made of, a line each
}

// String is the parameters of a kernel command line: "crashkernel=192M".
func (s Size) String() string { return strings.Join(s.Words(), " ") }

// Words are the parameters of a kernel command line.
func (s Size) Words() []string {
	words := []string{"crashkernel=" + s.Value}
	if s.Low != "" {
		words = append(words, "crashkernel="+s.Low)
	}
	return words
}

const (
	// marginPart and marginLeast are kept beyond the need: what a machine has that was not measured.
	marginPart  = 4 // a quarter
	marginLeast = 24 << 20
	// step is what sizes are rounded up to.
	step = 16 << 20
	// leastLow is the least below 4 GiB beside a reservation above: bounce buffers, and some for devices that
	// reach no further (arch/x86/include/asm/crash_reserve.h, DEFAULT_CRASH_KERNEL_LOW_SIZE).
	leastLow = bounce + 8<<20
)

// Recommend gives the reservation for a machine. It depends on m alone.
func Recommend(m Machine) Size {
	var s Size
	parts := m.Parts()
	high, low := sums(parts)
	for _, p := range parts {
		line := fmt.Sprintf("%s: %s", p.Name, advice.MiB(p.Bytes))
		if p.Why != "" {
			line += " (" + p.Why + ")"
		}
		s.Why = append(s.Why, line)
	}
	margin := max(high/marginPart, marginLeast)
	s.Why = append(s.Why, fmt.Sprintf("margin: %s", advice.MiB(margin)))
	high += margin
	if !measuredOn(m.Arch) {
		for _, d := range Defaults(m) {
			if d.Bytes > high {
				high = d.Bytes
				s.Why = append(s.Why, fmt.Sprintf("nothing was measured on this architecture: as %s, %s", d.Name, advice.MiB(high)))
			}
			break
		}
	}
	high = memmap.RoundUp(high, step)
	if !m.above() {
		// One range for everything. The kernel looks above 4 GiB by itself if there is no room below, and then
		// takes its default below in addition.
		s.Bytes = memmap.RoundUp(high+low, step)
		s.Value = sizeText(s.Bytes)
	} else {
		low = memmap.RoundUp(max(low, leastLow), 8<<20)
		s.Bytes = high + low
		s.Value, s.Low = sizeText(high)+string(High), sizeText(low)+string(Low)
		s.Why = append(s.Why, fmt.Sprintf("below 4 GiB, in addition: %s (bounce buffers, and devices that reach no further)", advice.MiB(low)))
	}
	return s
}

// measuredOn tells whether anything was measured for an architecture.
func measuredOn(arch elf.Machine) bool {
	return slices.ContainsFunc(MeasuredTable(), func(row Measured) bool { return row.Arch == arch })
}
