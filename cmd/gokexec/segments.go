package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"

	"github.com/spf13/pflag"

	"github.com/gokexec/gokexec/pkg/memmap"
	"github.com/gokexec/gokexec/pkg/plan"
)

// segmentFlags choose the method, and what goes with kexec_load.
type segmentFlags struct {
	method, hotplug, serial, dtb string
	noChecks                     bool
}

func (f *segmentFlags) declare(flags *pflag.FlagSet) {
	flags.StringVar(&f.method, "method", "auto", "`METHOD` of loading: auto, file or segments")
	flags.StringVar(&f.hotplug, "hotplug", "auto", "for kexec_load: `WHETHER` the kernel updates the elfcorehdr when CPUs or memory are hot-added or hot-removed (Linux 6.6): auto, on or off")
	flags.BoolVar(&f.noChecks, "no-checks", false, "for kexec_load: start the kernel without verifying its digest")
	flags.StringVar(&f.serial, "serial", "", "for kexec_load: serial `PORT` on which a wrong digest is reported, such as ttyS0,115200, 0x3f8, ttyAMA0 or pl011,0x9000000")
	flags.StringVar(&f.dtb, "dtb", "", "for kexec_load on arm64 and riscv64: `FILE` with a device tree, instead of the running kernel's")
}

// apply sets the options in spec. A dry run uses a seed of zeros, so that two runs print
// the same.
func (f *segmentFlags) apply(spec *plan.Spec, dryRun bool) error {
	if err := spec.Method.UnmarshalText([]byte(f.method)); err != nil {
		return usageError("--method: %w", err)
	}
	if err := spec.Hotplug.UnmarshalText([]byte(f.hotplug)); err != nil {
		return usageError("--hotplug: %w", err)
	}
	var err error
	if spec.Serial, err = plan.ParseSerial(f.serial); err != nil {
		return usageError("--serial: %w", err)
	}
	if f.dtb != "" {
		spec.DTB = plan.FromFile(f.dtb)
	}
	spec.NoChecks = f.noChecks
	if dryRun {
		spec.Seed = make([]byte, plan.SeedSize)
		return nil
	}
	spec.ReadSeed()
	return nil
}

// segmentReport is the complete plan of a load by kexec_load. Addresses are
// physical; ends are exclusive.
type segmentReport struct {
	Entry       uint64        `json:"entry"`
	KernelEntry uint64        `json:"kernel_entry"`
	Segments    []segmentLine `json:"segments"`
	Digest      string        `json:"sha256"`
	NoChecks    bool          `json:"no_checks"`
	Hotplug     bool          `json:"hotplug"`
	Cmdline     string        `json:"kernel_cmdline"`
	E820        []memoryLine  `json:"e820,omitempty"`
	Usable      []memoryLine  `json:"usable_memory,omitempty"`
	Header      *headerReport `json:"elfcorehdr,omitempty"`
	Serial      *plan.Serial  `json:"serial,omitempty"`
}

type segmentLine struct {
	Role    plan.Role `json:"role"`
	Start   uint64    `json:"start"`
	MemSize uint64    `json:"memory_bytes"`
	Size    int       `json:"data_bytes"`
	Align   uint64    `json:"align_bytes"`
	SHA256  string    `json:"sha256"` // of the data
	Checked bool      `json:"checked"`
}

type memoryLine struct {
	Start uint64 `json:"start"`
	End   uint64 `json:"end"`
	Type  string `json:"type,omitempty"`
}

func newSegmentReport(p *plan.Plan) *segmentReport {
	r := &segmentReport{Entry: uint64(p.Entry), KernelEntry: uint64(p.KernelEntry), Digest: hex.EncodeToString(p.Digest[:]),
		NoChecks: p.NoChecks, Hotplug: p.Hotplug, Cmdline: p.KernelCmdline}
	for _, s := range p.Segments {
		sum := sha256.Sum256(s.Data)
		r.Segments = append(r.Segments, segmentLine{Role: s.Role, Start: uint64(s.Phys), MemSize: s.MemSize, Size: len(s.Data), Align: s.Align,
			SHA256: hex.EncodeToString(sum[:]), Checked: s.Checked})
	}
	for _, e := range p.E820 {
		r.E820 = append(r.E820, memoryLine{uint64(e.Start), uint64(e.End), e.Type.String()})
	}
	for _, u := range p.Usable {
		r.Usable = append(r.Usable, memoryLine{Start: uint64(u.Start), End: uint64(u.End)})
	}
	if p.Serial != (plan.Serial{}) {
		r.Serial = &p.Serial
	}
	if p.Header != nil {
		s, _ := p.Segment(plan.RoleElfcorehdr)
		r.Header = newHeaderReport(p.Header, s.Phys)
	}
	return r
}

func (r *segmentReport) print(w io.Writer) {
	fmt.Fprintf(w, "sees     %s\n", r.Cmdline)
	fmt.Fprintf(w, "entry    %#x (purgatory), %#x (kernel)\n", r.Entry, r.KernelEntry)
	fmt.Fprintln(w, "segments")
	for _, s := range r.Segments {
		mark := "not checked"
		if s.Checked {
			mark = "checked"
		}
		fmt.Fprintf(w, "  %#012x  %10d bytes, %10d in memory, aligned to %#-8x %-11s %-11s sha256 %s\n", s.Start, s.Size, s.MemSize, s.Align, s.Role, mark, s.SHA256)
	}
	checks := ""
	if r.NoChecks {
		checks = " (not verified: --no-checks)"
	}
	fmt.Fprintf(w, "sha256   %s%s\n", r.Digest, checks)
	for _, u := range r.Usable {
		fmt.Fprintf(w, "uses     %s\n", memmap.Range{Start: memmap.PhysAddr(u.Start), End: memmap.PhysAddr(u.End)})
	}
	if len(r.E820) > 0 {
		fmt.Fprintf(w, "e820     %d ranges\n", len(r.E820))
	}
	for _, e := range r.E820 {
		fmt.Fprintf(w, "  %s  %s\n", memmap.Range{Start: memmap.PhysAddr(e.Start), End: memmap.PhysAddr(e.End)}, e.Type)
	}
	if r.Header != nil {
		updates := "not updated by the kernel"
		if r.Hotplug {
			updates = "updated by the kernel when CPUs or memory are hot-added or hot-removed"
		}
		fmt.Fprintf(w, "elfcorehdr, %s\n", updates)
		r.Header.print(w)
	}
}
