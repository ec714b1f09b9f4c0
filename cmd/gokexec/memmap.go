package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/pflag"

	"github.com/gokexec/gokexec/pkg/kcore"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/memmap"
)

func memmapCommand() command {
	return command{
		name:  "memmap",
		short: "show the machine's memory, and what a dump would contain",
		long: `Reads the memory map in /proc/iomem and shows what a dump would contain: all RAM that
the kernel uses, including hot-added memory, without the crash memory.`,
		setup: func(flags *pflag.FlagSet) func(context.Context, *env, []string) error {
			asJSON := flags.Bool("json", false, "report as JSON")
			sysroot := flags.String("sysroot", "", "read /proc and /sys under `DIR`, a collected tree")
			return func(_ context.Context, e *env, args []string) error {
				if err := noArgs(args); err != nil {
					return err
				}
				return e.memmap(*sysroot, *asJSON)
			}
		},
	}
}

// memmapReport is what memmap --json prints. Ends are exclusive.
type memmapReport struct {
	RAM       []rangeLine `json:"ram"`
	Crash     []rangeLine `json:"crash"`
	Reserved  []rangeLine `json:"reserved"`
	Dumped    []rangeLine `json:"dumped"`
	RAMBytes  uint64      `json:"ram_bytes"`
	DumpBytes uint64      `json:"dumped_bytes"`
}

type rangeLine struct {
	Start uint64 `json:"start"`
	End   uint64 `json:"end"`
	Bytes uint64 `json:"size_bytes"`
	Name  string `json:"name,omitempty"`
}

func (e *env) memmap(sysroot string, asJSON bool) error {
	root, err := e.tree(sysroot)
	if err != nil {
		return err
	}
	// Read the whole machine if it can dump; otherwise the memory map suffices.
	machine, err := kcore.ReadMachine(root)
	if err != nil {
		iomem, err := memmap.ReadIomem(root)
		if err != nil {
			return headerProblem(err)
		}
		machine = &kcore.Machine{Iomem: iomem}
	}
	r := newMemmapReport(machine)
	if asJSON {
		return e.printJSON(r)
	}
	r.print(e.stdout)
	return nil
}

func newMemmapReport(m *kcore.Machine) *memmapReport {
	r := &memmapReport{RAM: []rangeLine{}, Reserved: []rangeLine{}}
	ram := m.Iomem.SystemRAM()
	for _, res := range m.Iomem.Walk() {
		switch {
		case res.Name == "System RAM" || strings.HasPrefix(res.Name, "System RAM ("):
			r.RAM = append(r.RAM, newRangeLine(res.Range(), res.Name))
		case machine.ReservedName(res.Name):
			r.Reserved = append(r.Reserved, newRangeLine(res.Range(), res.Name))
		}
	}
	r.Crash = rangeLines(append(m.Iomem.CrashKernel(), m.CMA...))
	dumped := ram.Minus(m.Excluded())
	r.Dumped = rangeLines(dumped.Ranges())
	r.RAMBytes, r.DumpBytes = ram.Size(), dumped.Size()
	return r
}

func rangeLines(ranges []memmap.Range) []rangeLine {
	lines := []rangeLine{}
	for _, x := range ranges {
		lines = append(lines, newRangeLine(x, ""))
	}
	return lines
}

func newRangeLine(r memmap.Range, name string) rangeLine {
	return rangeLine{uint64(r.Start), uint64(r.End), r.Size(), name}
}

func (r *memmapReport) print(w io.Writer) {
	for _, part := range []struct {
		title string
		lines []rangeLine
	}{{"RAM", r.RAM}, {"crash memory", r.Crash}, {"reserved", r.Reserved}, {"would be dumped", r.Dumped}} {
		fmt.Fprintf(w, "%s\n", part.title)
		for _, l := range part.lines {
			x := memmap.Range{Start: memmap.PhysAddr(l.Start), End: memmap.PhysAddr(l.End)}
			fmt.Fprintln(w, strings.TrimRight(fmt.Sprintf("  %-40s %10d KiB  %s", x, l.Bytes>>10, l.Name), " "))
		}
	}
	fmt.Fprintf(w, "total: %d MiB of RAM, %d MiB would be dumped\n", r.RAMBytes>>20, r.DumpBytes>>20)
}
