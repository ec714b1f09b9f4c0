package pagefilter_test

import (
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/dumptest"
	"github.com/gokexec/gokexec/pkg/memmap"
	"github.com/gokexec/gokexec/pkg/pagefilter"
)

// replaceLine replaces the line of VMCOREINFO with a key, or removes it.
func replaceLine(m *dumptest.Machine, key, line string) {
	m.Edit(func(text string) string {
		i := strings.Index(text, key+"=")
		end := i + strings.Index(text[i:], "\n") + 1
		return text[:i] + line + text[end:]
	})
}

// Struct pages are found in every memory model, and by each address that SYMBOL(mem_section) may be.
func TestMemoryModels(t *testing.T) {
	for name, change := range map[string]func(s *states){
		"mem_section is the table": func(*states) {},
		"mem_section is a pointer to it": func(s *states) {
			v, _ := s.VMCoreInfo()
			table, _ := v.Symbol("mem_section")
			at := s.Alloc(8, 8)
			s.Put(at, 8, table)
			replaceLine(s.Machine, "SYMBOL(mem_section)", "")
			s.Symbol("mem_section", s.Virt(at))
		},
		"without SPARSEMEM_EXTREME": func(s *states) {
			const sections = 1 << (46 - 27)
			table := s.Alloc(16*sections, 4096)
			for i := range uint64(2) {
				s.Put(table+16*i, 8, s.Vmemmap|3)
			}
			replaceLine(s.Machine, "SYMBOL(mem_section)", "")
			s.Symbol("mem_section", s.Virt(table))
			replaceLine(s.Machine, "LENGTH(mem_section)", "LENGTH(mem_section)=524288\n")
		},
		"section without a map": func(s *states) {
			v, _ := s.VMCoreInfo()
			table, _ := v.Symbol("mem_section")
			section := s.Get(s.Get(table-s.ImageVirt+s.ImagePhys) - s.ImageVirt + s.ImagePhys)
			if section != s.Vmemmap|0xf {
				panic("not the first section")
			}
			s.Put(s.Get(table-s.ImageVirt+s.ImagePhys)-s.ImageVirt+s.ImagePhys+16, 8, s.Vmemmap|1)
			clear(s.want) // all states are in the second section
		},
		"FLATMEM": func(s *states) {
			at := s.Alloc(8, 8)
			s.Put(at, 8, s.Vmemmap)
			s.Symbol("mem_map", s.Virt(at))
			replaceLine(s.Machine, "SYMBOL(mem_section)", "")
		},
		"FLATMEM with node_mem_map": func(s *states) {
			node := s.Alloc(64, 64)
			s.Put(node, 8, s.Vmemmap+64*5)
			s.Put(node+8, 8, 5)
			s.Put(node+16, 8, uint64(s.Ranges[0].End)>>12-5)
			s.Symbol("contig_page_data", s.Virt(node))
			replaceLine(s.Machine, "SYMBOL(mem_section)", "")
			replaceLine(s.Machine, "SYMBOL(node_data)", "")
			s.Line("OFFSET(pglist_data.node_mem_map)=0\nOFFSET(pglist_data.node_start_pfn)=8\nOFFSET(pglist_data.node_spanned_pages)=16")
		},
		"DISCONTIGMEM": func(s *states) {
			table := s.Alloc(8*64, 64)
			split := s.at &^ 1023
			for i, r := range [][2]uint64{{0, split}, {split, uint64(s.Ranges[0].End) >> 12}} {
				node := s.Alloc(64, 64)
				s.Put(node, 8, s.Vmemmap+64*r[0])
				s.Put(node+8, 8, r[0])
				s.Put(node+16, 8, r[1]-r[0])
				s.Put(table+8*uint64(i), 8, s.Virt(node))
			}
			replaceLine(s.Machine, "SYMBOL(mem_section)", "")
			replaceLine(s.Machine, "SYMBOL(node_data)", "")
			s.Symbol("node_data", s.Virt(table))
			s.Line("OFFSET(pglist_data.node_mem_map)=0\nOFFSET(pglist_data.node_start_pfn)=8\nOFFSET(pglist_data.node_spanned_pages)=16")
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStates(dumptest.X86Paging(4, 0), dumptest.Kernels()[1])
			change(s)
			s.Renew()
			f, err := pagefilter.New(s, pagefilter.Options{})
			if err != nil {
				t.Fatalf("New() = %v", err)
			}
			s.check(t, f)
		})
	}
}

// Where the kernel doesn't say how large a compound page is, its tail pages are told by their pointer or
// mask, but a pointer is not trusted far.
func TestTailsByPointer(t *testing.T) {
	for _, k := range dumptest.Kernels() {
		if k.HugetlbFlag == 0 && k.OrderAt == 0 && k.HugetlbType == 0 {
			t.Fatalf("%s has no order at all", k.Release)
		}
		k.Release = "custom" // no version tells that the order is in the flags, either
		k.Hide = []string{"NUMBER(PG_hugetlb)", "NUMBER(PAGE_HUGETLB_MAPCOUNT_VALUE)", "OFFSET(page.compound_order)", "OFFSET(folio._folio_order)"}
		m := dumptest.NewMachine(dumptest.X86Paging(4, 0), k, 256<<20)
		const folio, slab, wild = 0xc000, 0xc010, 0xc021
		m.Compound(folio, 4)
		m.Cache(folio, false)
		m.Slab(slab, 2)
		// Not where such a pointer could come from.
		m.Set(wild, dumptest.PageCompound, 8, m.Vmemmap+64*folio+3)
		m.Set(wild+1, dumptest.PageCompound, 8, m.Vmemmap+64*(wild+9)+1)
		f, err := pagefilter.New(m, pagefilter.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for i, c := range classes(t, f, 0)[folio : folio+64] {
			if want := map[bool]pagefilter.Class{true: cache, false: kept}[i < 16]; c != want {
				t.Errorf("%d: page frame %#x is %v; want %v", k.HugetlbType, folio+i, c, want)
			}
		}
	}
}

// The memory of two sections that are far apart, and of none in between.
func TestHoles(t *testing.T) {
	far := memmap.Range{Start: 40 << 30, End: 40<<30 + 32<<20}
	ks := dumptest.Kernels()
	m := dumptest.NewMachine(dumptest.X86Paging(4, 0), ks[len(ks)-1], 256<<20, far)
	pfn := uint64(far.Start) >> 12
	m.Free(pfn, 10)
	m.Free(pfn+4096, 10)
	m.Anon(uint64(far.End)>>12 - 1)
	f, s := survey(t, m)
	if s.Pages != (256<<20+32<<20)>>12 || s.Counts[free] != 2048 || s.Counts[user] != 1 {
		t.Errorf("Survey() = %+v; want 2048 free and 1 user page", s)
	}
	if got := keptBy(t, f, f.Selection(24, s)); got != s.Pages-2049 {
		t.Errorf("level 24 keeps %d of %d page frames", got, s.Pages)
	}
}

// A gigantic page is one page over all the sections that it has, up to a whole window.
func TestGiganticPage(t *testing.T) {
	const pfn, order = 1 << 18, 18
	ks := dumptest.Kernels()
	for _, k := range []dumptest.Kernel{ks[0], ks[len(ks)-1]} {
		m := dumptest.NewMachine(dumptest.X86Paging(4, 0), k, 2<<30+4<<20)
		m.Hugetlb(pfn, order, m.Object())
		m.Flag(pfn+100000, k.HWPoison)
		f, err := pagefilter.New(m, pagefilter.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for i, c := range classes(t, f, pfn) {
			want := user
			if i == 100000 {
				want = hwpoison
			}
			if c != want {
				t.Fatalf("%s: page frame %#x is %v; want %v", k.Release, pfn+i, c, want)
			}
		}
		if c := classes(t, f, 2*pfn); c[0] != kept {
			t.Errorf("%s: the page behind it is %v", k.Release, c[0])
		}
	}
}
