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
	above := m.above()
	s := Size{Why: m.why(above)}
	rest, low := m.size(above)
	if !above {
		// One range for everything. The kernel looks above 4 GiB by itself if there is no room below, and then
		// takes its default below in addition.
		s.Bytes = rest + low
		s.Value = sizeText(s.Bytes)
		return s
	}
	s.Bytes = rest + low
	s.Value, s.Low = sizeText(rest)+string(High), sizeText(low)+string(Low)
	s.Why = append(s.Why, fmt.Sprintf("below 4 GiB, in addition: %s (bounce buffers, and devices that reach no further)", advice.MiB(low)))
	return s
}

// size is what is to be reserved for a crash kernel above 4 GiB, and below for its DMA; or in one range below,
// and then low is a part of it.
func (m *Machine) size(above bool) (rest, low uint64) {
	rest, low = sums(m.parts(above))
	rest += margin(rest)
	if d, known := m.unmeasured(); known {
		rest = max(rest, d.Bytes)
	}
	if above {
		return memmap.RoundUp(rest, step), memmap.RoundUp(max(low, leastLow), 8<<20)
	}
	return memmap.RoundUp(rest+low, step) - low, low
}

func margin(n uint64) uint64 { return max(n/marginPart, marginLeast) }

// unmeasured gives the default of a distribution that counts where nothing was measured.
func (m *Machine) unmeasured() (d Default, known bool) {
	if all := Defaults(*m); len(all) > 0 && !measuredOn(m.Arch) {
		return all[0], true
	}
	return d, false
}

// why explains a size, part by part.
func (m *Machine) why(above bool) []string {
	var lines []string
	parts := m.parts(above)
	for _, p := range parts {
		line := fmt.Sprintf("%s: %s", p.Name, advice.MiB(p.Bytes))
		if p.Why != "" {
			line += " (" + p.Why + ")"
		}
		lines = append(lines, line)
	}
	rest, _ := sums(parts)
	lines = append(lines, "margin: "+advice.MiB(margin(rest)))
	if d, known := m.unmeasured(); known && d.Bytes > rest+margin(rest) {
		lines = append(lines, fmt.Sprintf("nothing was measured on this architecture: as %s, %s", d.Name, advice.MiB(d.Bytes)))
	}
	return lines
}

// Spare is how much of the crash memory that a crash kernel is loaded into is more than Recommend would have
// there, in bytes. The part below 4 GiB, beside one above, is left alone.
func Spare(m Machine) uint64 {
	if len(m.Crash) == 0 {
		return 0
	}
	above := m.Crash[len(m.Crash)-1].End > fourGiB
	rest, low := m.size(above)
	if !above {
		rest += low
	}
	region, _ := m.Reserved()
	return region - min(region, rest)
}

// measuredOn tells whether anything was measured for an architecture.
func measuredOn(arch elf.Machine) bool {
	return slices.ContainsFunc(MeasuredTable(), func(row Measured) bool { return row.Arch == arch })
}
