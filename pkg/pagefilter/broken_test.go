package pagefilter_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/dumptest"
	"github.com/gokexec/gokexec/pkg/memmap"
	"github.com/gokexec/gokexec/pkg/pagefilter"
)

// faulty is a memory that panics beyond a virtual address once it is armed, as a mapping of a
// file that has become shorter does.
type faulty struct {
	*dumptest.Machine
	armed bool
	at    uint64
}

func (f *faulty) ReadVirtAt(b []byte, addr uint64) (int, error) {
	if f.armed && addr >= f.at && addr < f.at+1<<40 {
		panic("unexpected fault address")
	}
	return f.Machine.ReadVirtAt(b, addr)
}

func TestFaultsKeep(t *testing.T) {
	ks := dumptest.Kernels()
	s := newStates(dumptest.X86Paging(4, 0), ks[len(ks)-1])
	mem := &faulty{Machine: s.Machine, at: s.Vmemmap}
	f, sv := survey(t, mem)
	if sv.KeptAt(31) == sv.Pages {
		t.Fatal("nothing would be left out")
	}
	mem.armed = true
	forgot := *sv
	forgot.Forget()
	if got := keptBy(t, f, f.Selection(31, &forgot)); got != sv.Pages {
		t.Errorf("after the memory has gone, %d of %d page frames are kept; want all", got, sv.Pages)
	}
	if got := keptBy(t, f, f.Selection(31, sv)); got != sv.KeptAt(31) {
		t.Errorf("after the survey, %d page frames are kept; want the %d that it counted", got, sv.KeptAt(31))
	}
	again, err := f.Survey(context.Background(), pagefilter.SurveyOptions{})
	if err != nil || again.KeptAt(31) != again.Pages {
		t.Errorf("Survey() = %+v, %v; want everything kept", again, err)
	}
	if _, err := pagefilter.New(mem, pagefilter.Options{}); err == nil {
		t.Error("New() finds struct pages that can't be read")
	}
}

// Struct pages that can't be read are kept, and counted; the others are not affected.
func TestUnreadableStructPages(t *testing.T) {
	ks := dumptest.Kernels()
	for _, p := range []dumptest.Paging{dumptest.X86Paging(4, 0), dumptest.ARM64Paging(14)} {
		s := newStates(p, ks[len(ks)-1])
		first := s.at &^ 63
		last := first + 3*64
		for pfn := first - 64; pfn < last+64; pfn++ {
			s.Anon(pfn)
			s.want[pfn], s.name[pfn] = user, "anonymous, near the hole"
			if pfn >= first && pfn < last {
				s.want[pfn] = kept
			}
		}
		s.Hidden = memmap.Range{Start: memmap.PhysAddr(s.StructPage(first)), End: memmap.PhysAddr(s.StructPage(last))}
		f, sv := survey(t, s)
		s.check(t, f)
		if sv.Unreadable != last-first {
			t.Errorf("%s: Unreadable = %d; want %d", p.Name, sv.Unreadable, last-first)
		}
	}
}

// memoryError is a memory whose ranges can't be told.
type memoryError struct{ *dumptest.Machine }

var errRanges = errors.New("bitmap damaged")

func (m memoryError) NextMemory(addr memmap.PhysAddr) (memmap.Range, error) {
	if addr >= 64<<20 {
		return memmap.Range{}, errRanges
	}
	return m.Machine.NextMemory(addr)
}

func TestMemoryError(t *testing.T) {
	m := memoryError{dumptest.NewMachine(dumptest.X86Paging(4, 0), dumptest.Kernels()[0], 64<<20+1<<12)}
	m.Ranges = []memmap.Range{{Start: 0, End: 64 << 20}}
	f, err := pagefilter.New(m, pagefilter.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Survey(context.Background(), pagefilter.SurveyOptions{}); !errors.Is(err, errRanges) {
		t.Errorf("Survey() = %v; want %v", err, errRanges)
	}
	if err := f.Classify(context.Background(), 0, make([]pagefilter.Class, pagefilter.WindowPages)); !errors.Is(err, errRanges) {
		t.Errorf("Classify() = %v; want %v", err, errRanges)
	}
}

// New says what is missing where nothing can be filtered.
func TestNewErrors(t *testing.T) {
	for _, c := range []struct{ from, to, want string }{
		{"PAGESIZE=4096", "PAGESIZE=4095", "PAGESIZE is 4095"},
		{"SIZE(page)=64", "SIZE(page)=0", "page.flags"},
		{"SIZE(page)=64", "SIZE(page)=66", "SIZE(page) is 66"},
		{"SIZE(page)=64", "SIZE(page)=40960", "SIZE(page) is 40960"},
		{"OFFSET(page.flags)=0", "", "OFFSET(page.flags)"},
		{"OFFSET(page.flags)=0", "OFFSET(page.flags)=60", "page.flags"},
		{"SYMBOL(mem_section)=", "SYMBOL(mem)=", "no struct page can be found"},
		{"LENGTH(mem_section)=", "LENGTH(mem)=", "LENGTH(mem_section)"},
		{"SIZE(mem_section)=16", "SIZE(mem_section)=4", "section_mem_map"},
		{"NUMBER(SECTION_SIZE_BITS)=27", "NUMBER(SECTION_SIZE_BITS)=12", "SECTION_SIZE_BITS"},
		{"OFFSET(mem_section.section_mem_map)=0", "OFFSET(mem_section.section_mem_map)=8", "mem_section leads to no struct page"},
		{"NUMBER(MAX_PHYSMEM_BITS)=46", "NUMBER(MAX_PHYSMEM_BITS)=63", "MAX_PHYSMEM_BITS"},
	} {
		m := dumptest.NewMachine(dumptest.X86Paging(4, 0), dumptest.Kernels()[0], 192<<20, memmap.Range{Start: 5 << 30, End: 6 << 30})
		m.Edit(func(text string) string {
			if !strings.Contains(text, c.from) {
				t.Fatalf("VMCOREINFO has no %q", c.from)
			}
			return strings.Replace(text, c.from, c.to, 1)
		})
		_, err := pagefilter.New(m, pagefilter.Options{})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q for %q: New() = %v; want an error with %q", c.to, c.from, err, c.want)
		}
	}
}

// Without what a class is told by, its pages are kept, and why is said. The others are told as before.
func TestUnknownClasses(t *testing.T) {
	ks := dumptest.Kernels()
	all := []pagefilter.Class{cache, privateCache, user}
	for _, c := range []struct {
		key     string
		unknown []pagefilter.Class
	}{
		{"OFFSET(page.private)", []pagefilter.Class{free}},
		{"OFFSET(page._refcount)", []pagefilter.Class{free}},
		{"LENGTH(zone.free_area)", []pagefilter.Class{free}},
		{"NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)", []pagefilter.Class{free}},
		{"OFFSET(page.mapping)", all}, {"OFFSET(page._mapcount)", append(slices.Clone(all), free)},
		{"OFFSET(page.compound_info)", all},
		{"NUMBER(PG_lru)", []pagefilter.Class{cache, privateCache}},
	} {
		k := ks[len(ks)-1]
		k.Hide = []string{c.key}
		s := newStates(dumptest.X86Paging(4, 0), k)
		if c.key == "LENGTH(zone.free_area)" { // comes later
			s.Edit(func(text string) string { return strings.Replace(text, c.key, "LENGTH(hidden)", 1) })
		}
		f, sv := survey(t, s)
		for i, got := range classes(t, f, 0) {
			want := s.want[uint64(i)]
			if got != kept && got != want && got != pagefilter.HWPoison || got != kept && slices.Contains(c.unknown, got) {
				t.Errorf("without %s: page frame %#x (%s) is %v", c.key, i, s.name[uint64(i)], got)
				break
			}
		}
		var refused []pagefilter.Class
		for _, r := range sv.Refused {
			refused = append(refused, r.Class)
			if !strings.Contains(r.Reason, c.key) && c.key != "OFFSET(page.compound_info)" {
				t.Errorf("without %s: reason %q", c.key, r.Reason)
			}
		}
		for _, want := range c.unknown {
			if !slices.Contains(refused, want) {
				t.Errorf("without %s: refused %v; want %v", c.key, refused, c.unknown)
			}
		}
	}
}

// eof is a machine without memory.
type eof struct{ *dumptest.Machine }

func (eof) NextMemory(memmap.PhysAddr) (memmap.Range, error) { return memmap.Range{}, io.EOF }

func TestNoMemory(t *testing.T) {
	m := dumptest.NewMachine(dumptest.X86Paging(4, 0), dumptest.Kernels()[0], 192<<20)
	if _, err := pagefilter.New(eof{m}, pagefilter.Options{}); err == nil {
		t.Error("New() of a machine without memory has no error")
	}
}

// Since 4.10 the bit of PG_swapcache means that with PG_swapbacked only: without its number, and with no version
// that is older, such a page is kept.
func TestSwapCacheAlone(t *testing.T) {
	for release, want := range map[string]pagefilter.Class{"6.12.0": kept, "custom": kept, "4.9.0": cache} {
		ks := dumptest.Kernels()
		k := ks[len(ks)-1]
		k.Release, k.Hide = release, []string{"NUMBER(PG_swapbacked)"}
		m := dumptest.NewMachine(dumptest.X86Paging(4, 0), k, 256<<20)
		m.Flag(0xc000, k.SwapCache)
		f, err := pagefilter.New(m, pagefilter.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got := classes(t, f, 0)[0xc000]; got != want {
			t.Errorf("%s: %v; want %v", release, got, want)
		}
	}
}
