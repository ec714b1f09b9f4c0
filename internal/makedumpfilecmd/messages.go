package makedumpfilecmd

import (
	"fmt"
	"strings"
	"time"
)

// Level is a set of messages.
type Level uint8

// The kinds of messages.
const (
	Progress Level = 1 << iota
	Common
	Errors
	Debugging
	Reports
)

const (
	defaultLevel = Progress | Common | Errors
	allMessages  = Progress | Common | Errors | Debugging | Reports
)

// The steps whose progress is shown.
const (
	StepHoles   = "Checking for memory holes  "
	StepExclude = "Excluding unnecessary pages"
	StepCopy    = "Copying data               "
)

// ProgressLine is the nth line that shows how far a step is, to be written over the one before: it
// begins with a carriage return. With elapsed, the time since the step began, it tells the time left.
func ProgressLine(step string, done, total uint64, elapsed time.Duration, n int) string {
	promille := uint64(1000)
	if done < total {
		promille = uint64(float64(done) / float64(total) * 1000)
	}
	left := " "
	if elapsed > 0 && promille > 0 {
		left = "eta: " + timeLeft(elapsed*time.Duration(1000-promille)/time.Duration(promille))
	}
	return fmt.Sprintf("\r%-50s: [%3d.%d %%] %c  %16s", step, promille/10, promille%10, `/|\-`[n%4], left)
}

func timeLeft(d time.Duration) string {
	seconds := uint64(d / time.Second)
	minutes, hours := seconds/60, seconds/3600
	switch {
	case seconds < 100:
		return fmt.Sprintf("%ds", seconds)
	case minutes < 100:
		return fmt.Sprintf("%dm%ds", minutes, seconds%60)
	case hours < 48:
		return fmt.Sprintf("%dh%dm", hours, minutes%60)
	case hours/24 < 100:
		return fmt.Sprintf("%dd%dh", hours/24, hours%24)
	}
	return ">100day"
}

// Pages are numbers of pages.
type Pages struct {
	Total    uint64 // page frames up to the highest
	Memory   uint64 // of these, memory
	Zero     uint64 // left out, by kind
	Cache    uint64
	Private  uint64 // cache with private data
	User     uint64
	Free     uint64
	HWPoison uint64
	Offline  uint64
	Holes    uint64 // left out of an ELF core
	ELF      bool
	Bytes    uint64 // written
}

func (p *Pages) excluded() uint64 {
	return p.Zero + p.Cache + p.Private + p.User + p.Free + p.HWPoison + p.Offline
}

// Report is the text of --show-stats.
func (p *Pages) Report() string {
	var b strings.Builder
	line := func(name string, n uint64) { fmt.Fprintf(&b, "%s: 0x%016x\n", name, n) }
	b.WriteString("\n")
	left := p.excluded()
	line("Original pages  ", p.Memory)
	line("  Excluded pages   ", left)
	if p.ELF {
		line("     in ELF format ", p.Holes)
	}
	line("    Pages filled with zero  ", p.Zero)
	line("    Non-private cache pages ", p.Cache)
	line("    Private cache pages     ", p.Private)
	line("    User process data pages ", p.User)
	line("    Free pages              ", p.Free)
	line("    Hwpoison pages          ", p.HWPoison)
	line("    Offline pages           ", p.Offline)
	line("  Remaining pages  ", p.Memory-left)
	if p.ELF {
		line("     in ELF format ", p.Memory-p.Holes)
		left = p.Holes
	}
	if p.Memory > 0 {
		fmt.Fprintf(&b, "  (The number of pages is reduced to %d%%.)\n", (p.Memory-left)*100/p.Memory)
	}
	line("Memory Hole     ", p.Total-p.Memory)
	b.WriteString(strings.Repeat("-", 50) + "\n")
	line("Total pages     ", p.Total)
	fmt.Fprintf(&b, "Write bytes     : %d\n\n", p.Bytes)
	return b.String()
}

// MemUsage is the table of --mem-usage for pages of the given size in bytes.
func (p *Pages) MemUsage(pageSize uint64) string {
	var b strings.Builder
	b.WriteString("\nTYPE\t\tPAGES\t\t\tEXCLUDABLE\tDESCRIPTION\n" + strings.Repeat("-", 70) + "\n")
	for _, row := range []struct {
		name  string
		n     uint64
		about string
	}{
		{"ZERO\t", p.Zero, "yes\t\tPages filled with zero"},
		{"NON_PRI_CACHE", p.Cache, "yes\t\tCache pages without private flag"},
		{"PRI_CACHE", p.Private, "yes\t\tCache pages with private flag"},
		{"USER\t", p.User, "yes\t\tUser process pages"},
		{"FREE\t", p.Free, "yes\t\tFree pages"},
		{"KERN_DATA", p.Memory - p.excluded(), "no\t\tDumpable kernel data "},
	} {
		fmt.Fprintf(&b, "%s\t%-16d\t%s\n", row.name, row.n, row.about)
	}
	fmt.Fprintf(&b, "\npage size:\t\t%-16d\nTotal pages on system:\t%-16d\nTotal size on system:\t%-16d Byte\n", pageSize, p.Memory, pageSize*p.Memory)
	return b.String()
}
