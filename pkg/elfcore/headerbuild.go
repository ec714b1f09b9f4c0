package elfcore

import (
	"debug/elf"
	"errors"
	"fmt"
	"slices"

	"github.com/gokexec/gokexec/pkg/memmap"
)

// ErrNoKernelText means that /proc/kcore doesn't tell where the kernel image is
// mapped, on an architecture whose dumps can't be read without that.
var ErrNoKernelText = errors.New("kernel text mapping not found")

// Backup is memory that the capture kernel will use and purgatory saves before:
// the lowest 640 KiB, on x86.
type Backup struct {
	Source memmap.Range
	Dest   memmap.PhysAddr // where purgatory copies Source to
}

// BuildOptions say what a built header has that the machine doesn't tell.
type BuildOptions struct {
	// Exclude is memory to leave out of the RAM. The kernel leaves out the first
	// MiB on x86: see LowMiB.
	Exclude memmap.Set

	// Backup, if not nil, makes the capture kernel read its Source from its Dest.
	Backup *Backup
}

// LowMiB returns the first MiB of memory. On x86, the kernel never gives it to
// itself and leaves it out of its own headers (arch/x86/kernel/crash.c).
func LowMiB() memmap.Set { return memmap.NewSet(memmap.Range{End: 1 << 20}) }

// Inputs are what a header is built from.
type Inputs struct {
	Map        *KernelMap
	CPUNotes   []NoteRange // of every present CPU, by number
	VMCoreInfo NoteRange
	RAM        memmap.Set // all that the dump is to hold
}

// Build returns the header for a dump of a machine, with the layout of
// crash_prepare_elf64_headers: the notes of each CPU, VMCOREINFO, the kernel
// text mapping and the RAM, ascending. Adjacent ranges become one.
//
// The error wraps ErrNoKernelText or ErrTooManyRanges.
func Build(in *Inputs, opt BuildOptions) (*Header, error) {
	k := in.Map
	h := &Header{Machine: k.Machine, Order: k.Order, Class: k.Class, CPUNotes: slices.Clone(in.CPUNotes), VMCoreInfo: in.VMCoreInfo}
	switch {
	case k.Text.MemSize > 0:
		h.Loads = append(h.Loads, k.Text)
	case traitsOf(k.Machine).needsText:
		return nil, fmt.Errorf("build elfcorehdr: %w: no segment of /proc/kcore has it, or /proc/iomem not exactly one %q", ErrNoKernelText, "Kernel code")
	}
	h.Loads = append(h.Loads, ramLoads(in.RAM.Minus(opt.Exclude), k, opt.Backup)...)
	if err := h.check(); err != nil {
		return nil, fmt.Errorf("build elfcorehdr: %w", err)
	}
	return h, nil
}

// ramLoads returns a PT_LOAD per range, split where the backup begins and ends,
// and where the direct map does.
func ramLoads(ram memmap.Set, k *KernelMap, backup *Backup) []Load {
	cuts := []memmap.PhysAddr{k.LowEnd}
	if backup != nil {
		cuts = append(cuts, backup.Source.Start, backup.Source.End)
		slices.Sort(cuts)
	}
	loads := make([]Load, 0, ram.Len()+4)
	for _, r := range ram.Ranges() {
		for _, cut := range cuts {
			if r.Start < cut && cut < r.End {
				loads = append(loads, ramLoad(memmap.Range{Start: r.Start, End: cut}, k, backup))
				r.Start = cut
			}
		}
		loads = append(loads, ramLoad(r, k, backup))
	}
	return loads
}

func ramLoad(r memmap.Range, k *KernelMap, backup *Backup) Load {
	l := Load{
		Phys: r.Start, Virt: k.Virt(r.Start), Offset: uint64(r.Start),
		FileSize: r.Size(), MemSize: r.Size(), Flags: elf.PF_R | elf.PF_W | elf.PF_X,
	}
	if backup != nil && backup.Source.Contains(r) {
		l.Offset = uint64(backup.Dest + (r.Start - backup.Source.Start))
	}
	return l
}
