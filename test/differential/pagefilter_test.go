package differential

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/pkg/kdumpfile"
	"github.com/gokexec/gokexec/pkg/memmap"
	"github.com/gokexec/gokexec/pkg/pagefilter"
	"github.com/gokexec/gokexec/pkg/vmcore"
)

// dumpsEnv names a directory of dumps to compare on: NAME/vmcore, each an ELF dump of all memory of
// a machine. mdf/run in it, mdf-arm64/run and mdf-riscv64/run start a makedumpfile of that
// architecture; without mdf/run, it is the one in PATH.
const dumpsEnv = "GOKEXEC_DUMPS"

// On real dumps and at each level, the same pages are left out as makedumpfile leaves out. Where the
// decisions differ, the reason is one of those that docs/dump.md lists.
func TestPageFilterAsMakedumpfile(t *testing.T) {
	dir := os.Getenv(dumpsEnv)
	if dir == "" {
		t.Skip(dumpsEnv + " is not set: the page filter is NOT compared with makedumpfile")
	}
	dumps, err := filepath.Glob(filepath.Join(dir, "*", "vmcore"))
	if err != nil || len(dumps) == 0 {
		t.Fatalf("%s: no */vmcore: %v", dir, err)
	}
	for _, path := range dumps {
		t.Run(filepath.Base(filepath.Dir(path)), func(t *testing.T) {
			d := openDumpFile(t, path)
			run := makedumpfileFor(t, dir, d.Platform().Machine)
			f, err := pagefilter.New(d, pagefilter.Options{})
			if err != nil {
				t.Fatalf("New() = %v", err)
			}
			survey, err := f.Survey(context.Background(), pagefilter.SurveyOptions{})
			if err != nil {
				t.Fatalf("Survey() = %v", err)
			}
			for _, r := range survey.Refused {
				t.Errorf("class %v is refused: %s", r.Class, r.Reason)
			}
			t.Logf("%d page frames; by class %v; struct page not readable: %d", survey.Pages, survey.Counts, survey.Unreadable)
			peek := newPeek(t, d)
			for level := range pagefilter.MaxLevel + 1 {
				compareLevel(t, path, d, f.Selection(level, survey), level, run, peek)
			}
		})
	}
}

func openDumpFile(t *testing.T, path string) kdumpfile.Dump {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	st, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	d, err := kdumpfile.Open(kdumpfile.NewFile(file, 0, st.Size()))
	if err != nil {
		t.Fatalf("Open(%s) = %v", path, err)
	}
	return d
}

// makedumpfileFor returns the command of a makedumpfile for dumps of a machine.
func makedumpfileFor(t *testing.T, dir string, m elf.Machine) string {
	t.Helper()
	name := map[elf.Machine]string{elf.EM_X86_64: "mdf", elf.EM_AARCH64: "mdf-arm64", elf.EM_RISCV: "mdf-riscv64"}[m]
	run := filepath.Join(dir, name, "run")
	if _, err := os.Stat(run); err == nil {
		skipBroken(t, run, m)
		return run
	}
	if path, err := exec.LookPath("makedumpfile"); err == nil && name == "mdf" {
		return path
	}
	t.Skipf("%s does not exist: the page filter is NOT compared on %v", run, m)
	return ""
}

// skipBroken skips the test with a makedumpfile that is known to misread dumps of a machine: on riscv64 all up
// to 1.7.9 take the wrong struct pages, and report whole sections as page cache.
func skipBroken(t *testing.T, run string, m elf.Machine) {
	t.Helper()
	text, err := exec.Command(run, "-v").CombinedOutput()
	if err != nil {
		t.Fatalf("%s -v: %v\n%s", run, err, text)
	}
	if found := brokenOnRISCV.Find(text); m == elf.EM_RISCV && found != nil {
		t.Skipf("NOT compared: makedumpfile up to 1.7.9 misreads riscv64, and this is %s", found)
	}
}

var brokenOnRISCV = regexp.MustCompile(`version 1\.[0-7]\.[0-9]+ `)

// compareLevel compares the pages that a dump of makedumpfile holds with those that the selection keeps.
func compareLevel(t *testing.T, path string, d kdumpfile.Dump, sel *pagefilter.Selection, level pagefilter.Level, run string, peek *peek) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "dump")
	cmd := exec.Command(run, "-d", fmt.Sprint(level), path, out)
	if text, err := cmd.CombinedOutput(); err != nil {
		if level == 0 {
			t.Skipf("NOT compared, makedumpfile can't read this dump: %v: %v\n%s", cmd, err, text)
		}
		t.Fatalf("%v: %v\n%s", cmd, err, text)
	}
	theirs := openDumpFile(t, out)
	page := kdumpfile.PageSize(d)
	kept, same := 0, 0
	differences := map[string]int{}
	bits := func(next func(memmap.PhysAddr) (memmap.Range, error), first uint64, b []uint64) (more bool) {
		clear(b)
		end := first + uint64(64*len(b))
		for at := first; ; {
			r, err := next(memmap.PhysAddr(at * page))
			if errors.Is(err, io.EOF) {
				return false
			}
			if err != nil {
				t.Fatal(err)
			}
			from, to := max(uint64(r.Start)/page, at), uint64(r.End)/page
			for pfn := from; pfn < min(to, end); pfn++ {
				b[(pfn-first)/64] |= 1 << (pfn % 64)
			}
			if to >= end {
				return true
			}
			at = to
		}
	}
	ours, held, memory := make([]uint64, kdumpfile.WindowPages/64), make([]uint64, kdumpfile.WindowPages/64), make([]uint64, kdumpfile.WindowPages/64)
	for first, more := uint64(0), true; more; first += kdumpfile.WindowPages {
		more = bits(d.NextMemory, first, ours)
		copy(memory, ours)
		bits(theirs.NextHeld, first, held)
		if err := sel.Filter(context.Background(), first, ours); err != nil {
			t.Fatalf("Filter() = %v", err)
		}
		for i := range uint64(kdumpfile.WindowPages) {
			bit := func(b []uint64) bool { return b[i/64]>>(i%64)&1 != 0 }
			keep := bit(ours)
			if keep {
				kept++
			}
			switch {
			case !bit(memory):
			case keep == bit(held):
				same++
			case keep:
				differences["kept, left out by makedumpfile: "+peek.why(first+i)]++
			default:
				differences["LEFT OUT, kept by makedumpfile: "+peek.why(first+i)]++
			}
		}
	}
	t.Logf("level %2d: %d decisions the same, %d pages kept by us; different: %.2000s", level, same, kept, fmt.Sprint(differences))
	for i, why := range slices.Sorted(maps.Keys(differences)) {
		if i < 20 && (strings.HasPrefix(why, "LEFT OUT") || strings.HasSuffix(why, "?")) {
			t.Errorf("level %d: %d pages %s", level, differences[why], why)
		}
	}
	if same == 0 {
		t.Error("nothing was compared")
	}
	os.Remove(out)
}

// peek looks at struct pages, to tell why two filters differ.
type peek struct {
	r     *vmcore.Reader
	base  uint64 // of the struct page array of sparse memory with a virtual one
	image memmap.Range
}

func newPeek(t *testing.T, d kdumpfile.Dump) *peek {
	t.Helper()
	r, err := vmcore.NewReader(d)
	if err != nil {
		t.Fatal(err)
	}
	p := &peek{r: r}
	p.base, _ = r.Info.Symbol("vmemmap")
	if e, ok := d.(*kdumpfile.ELF); ok {
		// The first PT_LOAD is that of the kernel image (kernel/crash_core.c,
		// crash_prepare_elf64_headers).
		p.image = e.Loads[0].PhysRange()
		// x86 maps it with large pages, of which the last goes on behind it.
		p.image.End = (p.image.End + 1<<21 - 1) &^ (1<<21 - 1)
	}
	return p
}

// why tells why makedumpfile may decide otherwise about a page frame; it ends with a question mark where
// it has no explanation.
func (p *peek) why(pfn uint64) string {
	if p.image.ContainsAddr(memmap.PhysAddr(pfn * p.r.Info.PageSize)) {
		return "page of the kernel image"
	}
	if at, ok := p.r.Info.Offset("page.compound_info"); ok && p.base != 0 {
		info, err := p.r.Ulong(p.base+64*pfn+at, "page.compound_info")
		if err == nil && info&1 != 0 {
			return "tail page"
		}
	}
	var b [64]byte
	if p.base != 0 && p.r.Bytes(b[:], p.base+64*pfn, "struct page") == nil {
		return fmt.Sprintf("page %#x, %x?", pfn, b)
	}
	return fmt.Sprintf("page %#x?", pfn)
}
