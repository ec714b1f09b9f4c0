package main

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/gokexec/gokexec/internal/vmlab"
	"github.com/gokexec/gokexec/pkg/capture"
	"github.com/gokexec/gokexec/pkg/kdumpfile"
	"github.com/gokexec/gokexec/pkg/memmap"
)

// noncePages is how many pages of memory of each kind hold a nonce.
const noncePages = 256

// observed is what is known of the machine before the crash.
type observed struct {
	nonces vmlab.Plants
	freed  []uint64   // where pages of free memory still have theirs
	memory memmap.Set // System RAM less the crash memory and the low 1 MiB
}

func (d *demo) observe() error {
	var err error
	if d.before.nonces, err = d.vm.PlantAll(d.ctx, noncePages); err != nil {
		return err
	}
	d.before.freed = d.before.nonces.Outside(d.vm.Intact(d.before.nonces.Freed))
	d.say("planted random nonces, in %d pages each: of the kernel (a pipe's, %x...), of a process, of a file, and of memory that is free again",
		noncePages, d.before.nonces.Kernel.Value[:8])
	text, err := d.vm.ReadFile(d.ctx, "/proc/iomem")
	if err != nil {
		return err
	}
	iomem, err := memmap.ParseIomem(strings.NewReader(string(text)))
	if err != nil {
		return err
	}
	low := memmap.Range{End: 1 << 20} // a header built by the kernel excludes it
	d.before.memory = iomem.SystemRAM().Minus(memmap.NewSet(append(iomem.CrashKernel(), low)...))
	return nil
}

func (d *demo) compare() error {
	d.say("reading the disk on the host")
	dump, err := capture.OpenRaw(d.vm.Disk(0))
	if err != nil {
		return err
	}
	defer dump.Close()
	entries, err := smallEntries(d.vm.Disk(0))
	if err != nil {
		return err
	}
	result := new(capture.Result)
	if err := json.Unmarshal(entries[capture.ResultName], result); err != nil {
		return fmt.Errorf("%s: %w", capture.ResultName, err)
	}
	memory, err := kdumpfile.Open(dump)
	if err != nil {
		return err
	}
	fmt.Printf("\nthe end of the crashed kernel's log:\n")
	indent(panicLines(string(entries[capture.LogName])))
	fmt.Printf("\nwhat was compared:\n")
	if err := errors.Join(d.compareNonces(memory), d.compareRanges(memory), compareResult(result, d.kernel.Release)); err != nil {
		return err
	}
	v := result.VMCore
	fmt.Printf("\nsaved: log %.1f kB (%d records), %.0f MB of memory as %.1f MB (%.0f:1; %s, %s, level %d) in %.1f s, peak memory of gokexec %.1f MB of %.0f MB\n",
		float64(result.Log.SizeBytes)/1e3, result.Log.Records, float64(v.SizeBytes)/1e6, float64(v.SavedBytes)/1e6, float64(v.SizeBytes)/float64(v.SavedBytes),
		v.Format, v.Compression, v.DumpLevel, result.Durations.TotalSeconds, float64(result.Memory.PeakRSSBytes)/1e6, float64(result.Memory.MemTotalBytes)/1e6)
	fmt.Printf("pages: %d in the dump, %d of them zero, of %d; by class: %s\n", v.KeptPages, v.ZeroPages, v.MemoryPages, classes(v.Classes))
	fmt.Printf("\nthe report of the crash, which the capture has saved as %s (%s, in %.1f s):\n\n", capture.ReportName, capture.ReportJSONName, result.Report.Seconds)
	short, log, _ := strings.Cut(string(entries[capture.ReportName]), "End of the kernel log\n")
	indent(short)
	fmt.Printf("           (and the end of the log, %d lines)\n", strings.Count(log, "\n"))
	fmt.Printf("demo: success, in %.0f s\n", time.Since(d.start).Seconds())
	return nil
}

// classes lists the classes of pages that there are.
func classes(counts map[string]uint64) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		if counts[name] > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", strings.ReplaceAll(name, "_", " "), counts[name]))
		}
	}
	return strings.Join(parts, ", ")
}

// compareNonces looks for what has to be in the dump, and what has to be left out.
func (d *demo) compareNonces(dump kdumpfile.Dump) error {
	read := func(b []byte, phys uint64) error {
		_, err := dump.ReadPhysAt(b, memmap.PhysAddr(phys))
		return err
	}
	n := d.before.nonces
	if err := n.Kernel.Check(read); err != nil {
		return fmt.Errorf("nonce of the kernel: %w", err)
	}
	fmt.Printf("  nonce   kernel: %d of %d pages are in the dump, each at its physical address, all bytes equal\n", noncePages, noncePages)
	for _, kind := range []struct {
		name  string
		pages []uint64
		stray int // that may be there: free memory may be in a CPU's list, or in use again
	}{{"process", n.Outside(n.User.Phys), 0}, {"file", n.Outside(n.Cache.Phys), 0}, {"free memory", d.before.freed, len(d.before.freed) / 4}} {
		out := 0
		for _, phys := range kind.pages {
			if errors.Is(read(make([]byte, n.User.PageSize), phys), kdumpfile.ErrExcluded) {
				out++
			}
		}
		if len(kind.pages)-out > kind.stray {
			return fmt.Errorf("nonce of %s: only %d of %d pages are left out", kind.name, out, len(kind.pages))
		}
		fmt.Printf("          %s: %d of %d pages are left out, as dump level 31 says\n", kind.name, out, len(kind.pages))
	}
	return nil
}

func (d *demo) compareRanges(dump kdumpfile.Dump) error {
	var loads []memmap.Range
	for addr := memmap.PhysAddr(0); ; {
		r, err := dump.NextMemory(addr)
		if err == io.EOF {
			break
		} else if err != nil {
			return err
		}
		loads, addr = append(loads, r), r.End
	}
	if missing := d.before.memory.Minus(memmap.NewSet(loads...)); !missing.Empty() {
		return fmt.Errorf("the dump lacks memory that the machine had: %v", missing.Ranges())
	}
	fmt.Printf("  ranges  all %d ranges of System RAM above 1 MiB and outside of the crash memory, %d MB, are known to the dump\n",
		d.before.memory.Len(), d.before.memory.Size()/1e6)
	return nil
}

func compareResult(r *capture.Result, release string) error {
	if r.Outcome != capture.Complete || len(r.Errors) > 0 || r.KernelRelease != release {
		return fmt.Errorf("%s: outcome %s, kernel %s, errors %v; want complete, %s, none", capture.ResultName, r.Outcome, r.KernelRelease, r.Errors, release)
	}
	if r.Report == nil || r.Report.Error != "" || r.Report.Fingerprint == "" {
		return fmt.Errorf("%s: report %+v; want one with a fingerprint", capture.ResultName, r.Report)
	}
	fmt.Printf("  result  %s: %s, kernel %s, %d unreadable pages\n", capture.ResultName, r.Outcome, r.KernelRelease, r.VMCore.IncompletePages)
	return nil
}

// smallEntries reads log, report and result out of the tar stream on a disk.
func smallEntries(disk string) (map[string][]byte, error) {
	f, err := os.Open(disk)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	entries := map[string][]byte{capture.LogName: nil, capture.ReportName: nil, capture.ResultName: nil}
	for tr := tar.NewReader(f); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("the disk's tar stream: %w", err)
		}
		if _, wanted := entries[h.Name]; wanted {
			if entries[h.Name], err = io.ReadAll(tr); err != nil {
				return nil, err
			}
		}
	}
	for name, b := range entries {
		if len(b) == 0 {
			return nil, fmt.Errorf("the disk lacks %s", name)
		}
	}
	return entries, nil
}

// panicLines is the log from the panic on, without the register dump.
func panicLines(log string) string {
	var b strings.Builder
	for line := range strings.Lines(log) {
		for _, mark := range []string{"sysrq: ", "Kernel panic", "Call Trace", "sysrq_handle_crash", "panic+", "Hardware name", "CPU: "} {
			if strings.Contains(line, mark) {
				b.WriteString(line)
				break
			}
		}
	}
	return b.String()
}
