package main

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/gokexec/gokexec/internal/vmlab"
	"github.com/gokexec/gokexec/pkg/capture"
	"github.com/gokexec/gokexec/pkg/elfcore"
	"github.com/gokexec/gokexec/pkg/memmap"
)

// noncePages is how many pages of the machine's memory hold the nonce.
const noncePages = 256

// observed is what is known of the machine before the crash.
type observed struct {
	nonce  *vmlab.Nonce
	memory memmap.Set // System RAM less the crash memory and the low 1 MiB
}

func (d *demo) observe() error {
	var err error
	if d.before.nonce, err = d.vm.Plant(d.ctx, noncePages); err != nil {
		return err
	}
	d.say("planted a random nonce, %x..., in %d pages of a process's memory", d.before.nonce.Value[:8], noncePages)
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
	log, result, err := smallEntries(d.vm.Disk(0))
	if err != nil {
		return err
	}
	core, err := elfcore.New(dump, dump.Size())
	if err != nil {
		return err
	}
	fmt.Printf("\nthe end of the crashed kernel's log:\n")
	indent(panicLines(log))
	fmt.Printf("\nwhat was compared:\n")
	if err := errors.Join(d.compareNonce(core), d.compareRanges(core), compareResult(result, d.kernel.Release)); err != nil {
		return err
	}
	fmt.Printf("\nsaved: log %.1f kB (%d records), memory %.1f MB in %.1f s (%.0f MB/s), peak memory of gokexec %.1f MB of %.0f MB\n",
		float64(result.Log.SizeBytes)/1e3, result.Log.Records, float64(result.VMCore.SavedBytes)/1e6, result.Durations.TotalSeconds,
		float64(result.RateBytesPerSecond)/1e6, float64(result.Memory.PeakRSSBytes)/1e6, float64(result.Memory.MemTotalBytes)/1e6)
	fmt.Printf("demo: success, in %.0f s\n", time.Since(d.start).Seconds())
	return nil
}

func (d *demo) compareNonce(core *elfcore.File) error {
	err := d.before.nonce.Check(func(b []byte, phys uint64) error {
		_, err := core.ReadPhysAt(b, memmap.PhysAddr(phys))
		return err
	})
	if err != nil {
		return fmt.Errorf("nonce: %w", err)
	}
	fmt.Printf("  nonce   %d of %d pages are in the dump, each at its physical address, all bytes equal\n", noncePages, noncePages)
	return nil
}

func (d *demo) compareRanges(core *elfcore.File) error {
	var loads []memmap.Range
	for _, l := range core.Loads {
		loads = append(loads, memmap.Range{Start: l.Phys, End: l.Phys + memmap.PhysAddr(l.MemSize)})
	}
	if missing := d.before.memory.Minus(memmap.NewSet(loads...)); !missing.Empty() {
		return fmt.Errorf("the dump lacks memory that the machine had: %v", missing.Ranges())
	}
	fmt.Printf("  ranges  all %d ranges of System RAM above 1 MiB and outside of the crash memory, %d MB, are in the dump\n",
		d.before.memory.Len(), d.before.memory.Size()/1e6)
	return nil
}

func compareResult(r *capture.Result, release string) error {
	if r.Outcome != capture.Complete || len(r.Errors) > 0 || r.KernelRelease != release {
		return fmt.Errorf("%s: outcome %s, kernel %s, errors %v; want complete, %s, none", capture.ResultName, r.Outcome, r.KernelRelease, r.Errors, release)
	}
	fmt.Printf("  result  %s: %s, kernel %s, %d unreadable pages\n", capture.ResultName, r.Outcome, r.KernelRelease, r.VMCore.IncompletePages)
	return nil
}

// smallEntries reads the log and the result out of the tar stream on a disk.
func smallEntries(disk string) (log string, result *capture.Result, err error) {
	f, err := os.Open(disk)
	if err != nil {
		return "", nil, err
	}
	defer f.Close()
	for tr := tar.NewReader(f); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return "", nil, fmt.Errorf("the disk's tar stream: %w", err)
		}
		switch h.Name {
		case capture.LogName:
			b, err := io.ReadAll(tr)
			if err != nil {
				return "", nil, err
			}
			log = string(b)
		case capture.ResultName:
			result = &capture.Result{}
			if err := json.NewDecoder(tr).Decode(result); err != nil {
				return "", nil, fmt.Errorf("%s: %w", h.Name, err)
			}
		}
	}
	if log == "" || result == nil {
		return "", nil, fmt.Errorf("the disk lacks %s or %s", capture.LogName, capture.ResultName)
	}
	return log, result, nil
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
