package vm

import (
	"errors"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/vmlab"
	"github.com/gokexec/gokexec/pkg/capture"
	"github.com/gokexec/gokexec/pkg/kdumpfile"
	"github.com/gokexec/gokexec/pkg/memmap"
	"github.com/gokexec/gokexec/pkg/pagefilter"
)

// plantedPages is how many pages of each kind are planted.
const plantedPages = 128

// planted are nonces in memory of each kind, a moment before the crash.
type planted struct {
	vmlab.Plants
	freed []uint64 // the pages that still are as they were when they were freed
}

// plant plants; what it frees may be used again by whatever comes before the crash.
func plant(g *vmlab.Guest) *planted {
	g.T.Helper()
	p := &planted{Plants: g.PlantAll(plantedPages)}
	p.freed = p.Outside(g.VM.Intact(p.Freed))
	return p
}

// checkFiltered looks at a dump of level 31: the kernel's pages are in it, all bytes equal, and no others.
func (p *planted) checkFiltered(t *testing.T, d kdumpfile.Dump) {
	t.Helper()
	if err := checkNonce(d, p.Kernel); err != nil {
		t.Errorf("pages of the kernel: %v", err)
	}
	for _, kind := range []struct {
		name  string
		pages []uint64
		stray int // pages that may be there
	}{
		{"user memory", p.Outside(p.User.Phys), 0}, {"page cache", p.Outside(p.Cache.Phys), 0},
		// A page that was freed last may be in a list of its CPU, or in use again.
		{"free memory", p.freed, len(p.freed) / 4},
	} {
		there := 0
		for _, addr := range kind.pages {
			_, err := d.ReadPhysAt(make([]byte, p.User.PageSize), memmap.PhysAddr(addr))
			if err == nil {
				there++
			} else if !errors.Is(err, kdumpfile.ErrExcluded) {
				t.Errorf("%s at %#x: %v; want that it was left out", kind.name, addr, err)
			}
		}
		if there > kind.stray || len(kind.pages) < plantedPages/4 {
			t.Errorf("%s: %d of %d pages are in the dump; want none", kind.name, there, len(kind.pages))
		}
	}
}

// checkWhole looks at a dump of level 0: all pages are in it, and their classes can be told.
func (p *planted) checkWhole(t *testing.T, d kdumpfile.Dump) {
	t.Helper()
	for name, nonce := range map[string]*vmlab.Nonce{"kernel": p.Kernel, "user": p.User, "cache": p.Cache} {
		if err := checkNonce(d, nonce); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	f, err := pagefilter.New(d, pagefilter.Options{})
	if err != nil {
		t.Fatal(err)
	}
	classes := map[uint64][]pagefilter.Class{} // by window
	for _, kind := range []struct {
		pages []uint64
		class pagefilter.Class
		stray int
	}{{p.Kernel.Phys, pagefilter.Kept, 0}, {p.Outside(p.User.Phys), pagefilter.User, 0}, {p.Outside(p.Cache.Phys), pagefilter.Cache, 0}, {p.freed, pagefilter.Free, len(p.freed) / 4}} {
		wrong := 0
		for _, addr := range kind.pages {
			pfn := addr / uint64(p.User.PageSize)
			first := pfn &^ (pagefilter.WindowPages - 1)
			if classes[first] == nil {
				classes[first] = make([]pagefilter.Class, pagefilter.WindowPages)
				if err := f.Classify(t.Context(), first, classes[first]); err != nil {
					t.Fatal(err)
				}
			}
			if classes[first][pfn-first] != kind.class {
				wrong++
			}
		}
		if wrong > kind.stray {
			t.Errorf("%d of %d pages are told to be something else than %s", wrong, len(kind.pages), kind.class)
		}
	}
}

// checkDefault looks at the result of a capture with all defaults.
func checkDefault(t *testing.T, r *capture.Result) {
	t.Helper()
	v := r.VMCore
	if r.Outcome != capture.Complete || len(r.Errors) != 0 || v.IncompletePages != 0 || v.Format != capture.FormatKdump || v.Compression != "zstd" || v.DumpLevel != 31 {
		t.Errorf("result = %+v; want a complete dump without errors: kdump, zstd, level 31", r)
	}
	// The few anonymous pages of an idle guest may all lie in the memory that the kernel's image gave back
	// after its start, which the filter keeps.
	if len(v.Refused) != 0 || v.Classes["free"] == 0 || v.Classes["cache"] == 0 {
		t.Errorf("classes %v, refused %v; want some of each, and none refused", v.Classes, v.Refused)
	}
	if v.KeptPages == 0 || v.KeptPages > v.MemoryPages/2 || v.SavedBytes > v.SizeBytes/4 {
		t.Errorf("%d of %d pages kept, in %d of %d bytes; want much less", v.KeptPages, v.MemoryPages, v.SavedBytes, v.SizeBytes)
	}
	t.Logf("%s; %v; filter %.1f s, memory %.1f s, peak memory %d MB, least available %d MB", r.Summary(), v.Classes, r.Durations.FilterSeconds, r.Durations.MemorySeconds,
		r.Memory.PeakRSSBytes/1e6, r.Memory.MinMemAvailableBytes/1e6)
}

// crashFiltered crashes a machine whose crash kernel is loaded, and looks at the dump, which is filtered and
// compressed.
func crashFiltered(t *testing.T, g *vmlab.Guest) *capture.Result {
	t.Helper()
	ram := readRAM(t, g)
	g.WriteFile("/dev/kmsg", "<3>gokexec-test: last words\n")
	modules, planted := moduleAddresses(t, g), plant(g)
	g.Crash()
	if end := g.WaitEnd(); end.Reason != "guest-reset" {
		t.Fatalf("the machine ended by %q; want guest-reset, the capture's reboot", end.Reason)
	}
	d := openDump(t, g.VM.Disk(0))
	checkDefault(t, &d.result)
	if d.result.VMCore.Classes["user"] == 0 {
		t.Error("the filter found no anonymous memory, of which some was planted")
	}
	planted.checkFiltered(t, d.dump)
	d.checkRanges(t, ram.iomem, true, ram.firmware...)
	d.checkModules(t, modules)
	if !strings.Contains(d.log, "gokexec-test: last words") {
		t.Errorf("the log lacks the last words; it ends:\n%s", lastLines(d.log, 15))
	}
	return &d.result
}
