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
	// Exclude is memory to leave out besides what Machine.Excluded has. The
	// kernel leaves out the first MiB on x86: see LowMiB.
	Exclude memmap.Set

	// Backup, if not nil, makes the capture kernel read its Source from its Dest.
	Backup *Backup
}

// LowMiB returns the first MiB of memory. On x86, the kernel never gives it to
// itself and leaves it out of its own headers (arch/x86/kernel/crash.c).
func LowMiB() memmap.Set { return memmap.NewSet(memmap.Range{End: 1 << 20}) }

// Excluded returns the memory that a dump must not hold: that of the crash
// kernel, high and low; what crashkernel=,cma lends it; what the firmware of riscv
// lets nobody read; and on x86 the aperture of the GART, which reads nothing but
// errors.
func (m *Machine) Excluded() memmap.Set {
	rs := append(append(m.Iomem.CrashKernel(), m.CMA...), m.Firmware...)
	if m.Map == nil || m.Map.Machine == elf.EM_X86_64 || m.Map.Machine == elf.EM_386 {
		for _, r := range m.Iomem.Named("GART") {
			rs = append(rs, r.Range())
		}
	}
	return memmap.NewSet(rs...)
}

// Build returns the header for a dump of the machine, with the layout of
// crash_prepare_elf64_headers: the notes of each CPU, VMCOREINFO, the kernel
// text mapping and the RAM, ascending. Adjacent ranges become one.
//
// The error wraps m.MapErr if the machine has no Map, ErrNoKernelText, or
// ErrTooManyRanges.
func Build(m *Machine, opt BuildOptions) (*Header, error) {
	if m.Map == nil {
		return nil, fmt.Errorf("build elfcorehdr: virtual addresses of memory not known: %w", m.MapErr)
	}
	k := m.Map
	h := &Header{Machine: k.Machine, Order: k.Order, Class: k.Class, VMCoreInfo: m.VMCoreInfo}
	for _, c := range m.CPUs {
		h.CPUNotes = append(h.CPUNotes, c.Notes)
	}
	switch {
	case k.Text.MemSize > 0:
		h.Loads = append(h.Loads, k.Text)
	case k.Machine == elf.EM_X86_64:
		return nil, fmt.Errorf("build elfcorehdr: %w: no segment of /proc/kcore has it, or /proc/iomem not exactly one %q", ErrNoKernelText, nameKernelCode)
	}
	ram := m.Iomem.SystemRAM().Minus(m.Excluded()).Minus(opt.Exclude)
	h.Loads = append(h.Loads, ramLoads(ram, k, opt.Backup)...)
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
