package plan

import (
	"fmt"
	"strings"

	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/memmap"
)

// SegmentOptions are choices for kexec_load that few need. The zero value makes
// none.
type SegmentOptions struct {
	// MemMin and MemMax bound where segments lie, both inclusive. A MemMax of 0 is
	// no bound.
	MemMin memmap.PhysAddr `json:"mem_min,omitempty"`
	MemMax memmap.PhysAddr `json:"mem_max,omitempty"`

	// Entry is jumped to instead of the purgatory; 0: the purgatory.
	Entry memmap.PhysAddr `json:"entry,omitempty"`

	// NoEFI keeps from the new kernel that the machine has UEFI (x86).
	NoEFI bool `json:"no_efi,omitempty"`

	// PassMemmap gives a crash kernel its memory map by memmap= on the command line
	// too (x86).
	PassMemmap bool `json:"pass_memmap,omitempty"`
}

// bounds are where segments may lie.
func (o *SegmentOptions) bounds() memmap.Set {
	end := o.MemMax + 1
	if o.MemMax == 0 || end == 0 {
		end = maxDestination
	}
	if o.MemMin >= end {
		return memmap.Set{}
	}
	return memmap.NewSet(memmap.Range{Start: o.MemMin, End: end})
}

// firmware is what the new kernel is told of the machine.
func (o *SegmentOptions) firmware(x *machine.X86) *machine.X86 {
	if x == nil {
		return &machine.X86{}
	}
	if o.NoEFI {
		without := *x
		without.EFI = nil
		return &without
	}
	return x
}

// passMemmap tells the crash kernel's memory map on its command line as well: RAM, and
// what it needs of ACPI's and persistent memory (Documentation/admin-guide/
// kernel-parameters.txt, memmap=). boot_params has no other map: with KASLR the kernel
// looks for its own place in that one, before it reads memmap=, and in the machine's
// whole map it would take the crashed kernel's memory, or the elfcorehdr's.
func (p *Plan) passMemmap() {
	signs := map[machine.E820Type]byte{machine.E820RAM: '@', machine.E820ACPI: '#', machine.E820NVS: '#', machine.E820Pram: '!'}
	header, rest, _ := strings.Cut(p.KernelCmdline, " ")
	words := []string{header, "memmap=exactmap"}
	for _, e := range p.E820 {
		if sign, ok := signs[e.Type]; ok {
			words = append(words, fmt.Sprintf("memmap=%s%c%s", kib(uint64(e.Size())), sign, kib(uint64(e.Start))))
		}
	}
	p.KernelCmdline = strings.TrimRight(strings.Join(append(words, rest), " "), " ")
}

// kib writes a number as memparse (lib/cmdline.c) reads it, short.
func kib(n uint64) string {
	if n%1024 == 0 {
		return fmt.Sprintf("%dK", n/1024)
	}
	return fmt.Sprintf("%#x", n)
}
