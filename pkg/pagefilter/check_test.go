package pagefilter_test

import (
	"context"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/dumptest"
	"github.com/gokexec/gokexec/pkg/memmap"
	"github.com/gokexec/gokexec/pkg/pagefilter"
	"github.com/gokexec/gokexec/pkg/vmcore"
)

const lruAt = 8 // of struct page; free blocks have no compound_head

// bench is a machine on which the checks have something to look at: 64 free pages on a list, 64
// anonymous pages whose anon_vma is in a slab, and a damaged page.
type bench struct {
	*dumptest.Machine
	free, anon, slab uint64 // first page frames
}

func newBench(t *testing.T, p dumptest.Paging) *bench {
	t.Helper()
	ks := dumptest.Kernels()
	m := dumptest.NewMachine(p, ks[len(ks)-1], 256<<20)
	b := &bench{m, (p.RAM + 192<<20) >> p.Page, (p.RAM + 200<<20) >> p.Page, (p.RAM + 208<<20) >> p.Page}
	for i := range uint64(64) {
		m.Free(b.free+2*i, 0)
		m.Anon(b.anon + i)
		m.Set(b.anon+i, dumptest.PageMapping, 8, b.direct(b.slab)+16*i+1)
	}
	m.Slab(b.slab, 0)
	m.Flag(b.slab+8, ks[len(ks)-1].HWPoison)
	return b
}

// struct_ is the virtual address of a page frame's struct page, direct that of its memory.
func (b *bench) struct_(pfn uint64) uint64 { return b.Vmemmap + 64*pfn }
func (b *bench) direct(pfn uint64) uint64  { return b.Direct + pfn<<b.Page - b.RAM }

func survey(t *testing.T, mem pagefilter.Memory) (*pagefilter.Filter, *pagefilter.Survey) {
	t.Helper()
	f, err := pagefilter.New(mem, pagefilter.Options{})
	if err != nil {
		t.Fatalf("New() = %v", err)
	}
	s, err := f.Survey(context.Background(), pagefilter.SurveyOptions{})
	if err != nil {
		t.Fatalf("Survey() = %v", err)
	}
	return f, s
}

// noted is a machine with the notes of its CPUs.
type noted struct {
	*dumptest.Machine
	sp   []uint64
	task uint64 // of each, on riscv64
}

func (n *noted) Notes() (notes []vmcore.Note) {
	at := map[elf.Machine]int{elf.EM_X86_64: 264, elf.EM_AARCH64: 360, elf.EM_RISCV: 128}[n.Machine.Machine]
	for _, sp := range n.sp {
		desc := make([]byte, 400)
		binary.LittleEndian.PutUint64(desc[at:], sp)
		if n.Machine.Machine == elf.EM_RISCV {
			binary.LittleEndian.PutUint64(desc[144:], n.task)
		}
		notes = append(notes, vmcore.Note{Name: "CORE", Type: elf.NT_PRSTATUS, Desc: desc})
	}
	return notes
}

// A class that contradicts the kernel is refused, and only it; its pages are then kept at each level.
func TestRefused(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(b *bench)
		class  pagefilter.Class
		reason string // "" where nothing is to be refused
	}{
		{"nothing wrong", func(*bench) {}, kept, ""},
		{"zones count more free pages", func(b *bench) { b.CountFree(5000) }, free, "NR_FREE_PAGES"},
		{"zones count fewer free pages", func(b *bench) {
			for i := range uint64(4) {
				b.Free(b.slab+1024*(1+i), 10)
			}
			b.CountFree(-2560)
		}, free, "NR_FREE_PAGES"},
		{"zones count a few more", func(b *bench) { b.CountFree(5) }, kept, ""},
		{"zones count more, and struct pages are missing", func(b *bench) {
			b.CountFree(5000)
			at := memmap.PhysAddr(b.StructPage(b.slab + 64))
			b.Hidden = memmap.Range{Start: at, End: at + 64*6000}
		}, kept, ""},
		{"zones count more, of memory that the dump lacks", func(b *bench) {
			b.CountFree(5000)
			b.Ranges[0].End -= 6000 << memmap.PhysAddr(b.Page)
		}, kept, ""},
		{"zones count fewer, and the dump lacks memory", func(b *bench) {
			for i := range uint64(4) {
				b.Free(b.slab+1024*(1+i), 10)
			}
			b.CountFree(-2560)
			b.Ranges[0].End -= 6000 << memmap.PhysAddr(b.Page)
		}, free, "NR_FREE_PAGES"},
		{"free blocks on no list", func(b *bench) {
			for i := range uint64(64) {
				b.Set(b.free+2*i, lruAt, 8, b.struct_(b.slab)+lruAt)
			}
		}, free, "on no list"},
		{"a broken list", func(b *bench) { b.Set(b.free, lruAt, 8, 0) }, kept, ""},
		{"anon_vma in pages that would be left out", func(b *bench) { b.Anon(b.slab); b.Type(b.slab, -1) }, user, "page.mapping"},
		{"mappings that lead nowhere", func(b *bench) {
			for i := range uint64(64) {
				b.Set(b.anon+i, dumptest.PageMapping, 8, 0xdead000000000001)
			}
		}, user, "no address of the kernel"},
		{"struct pages in free memory", func(b *bench) {
			b.Free(b.StructPage(b.free)>>b.Page, 0)
			b.Free(b.StructPage(b.free)>>b.Page+1, 0)
		}, free, "struct pages"},
		{"struct pages in user memory", func(b *bench) { b.Anon(b.StructPage(b.anon) >> b.Page) }, user, "struct pages"},
	} {
		for _, p := range []dumptest.Paging{dumptest.X86Paging(5, 0), dumptest.ARM64Paging(12), dumptest.RISCVPaging(48)} {
			for _, nodes := range []string{"node_data", "nodes by free lists"} {
				if nodes != "node_data" && p.Machine != elf.EM_AARCH64 {
					continue
				}
				t.Run(c.name+"/"+p.Name+"/"+nodes, func(t *testing.T) {
					b := newBench(t, p)
					c.change(b)
					if nodes != "node_data" {
						replaceLine(b.Machine, "SYMBOL(node_data)", "CRASHTIME=1795959518\n")
						b.Renew()
					}
					f, s := survey(t, b)
					checkRefused(t, f, s, c.class, c.reason)
				})
			}
		}
	}
}

func checkRefused(t *testing.T, f *pagefilter.Filter, s *pagefilter.Survey, class pagefilter.Class, reason string) {
	t.Helper()
	switch {
	case reason == "":
		if len(s.Refused) != 0 {
			t.Errorf("Refused = %+v; want none", s.Refused)
		}
		if got := keptBy(t, f, f.Selection(0, s)); s.Counts[pagefilter.HWPoison] != 1 || got != s.Pages-1 || s.KeptAt(0) != got {
			t.Errorf("level 0 keeps %d page frames, counted %d; want all %d but one that is damaged", got, s.KeptAt(0), s.Pages)
		}
		return
	case len(s.Refused) != 1 || s.Refused[0].Class != class || !strings.Contains(s.Refused[0].Reason, reason):
		t.Errorf("Refused = %+v; want only %v, because of %q", s.Refused, class, reason)
	}
	if s.Counts[class] == 0 {
		t.Fatalf("Counts = %v; want some of %v", s.Counts, class)
	}
	for level := range pagefilter.MaxLevel + 1 {
		want := s.Pages
		for c, n := range s.Counts {
			if level > 0 && pagefilter.Class(c) != class && level.Excludes(pagefilter.Class(c)) {
				want -= n
			}
		}
		if got := s.KeptAt(level); got != want {
			t.Errorf("KeptAt(%d) = %d; want %d of %d", level, got, want, s.Pages)
		}
		if level%8 != 0 && level != 31 {
			continue
		}
		if got := keptBy(t, f, f.Selection(level, s)); got != want {
			t.Errorf("the selection of level %d keeps %d page frames; want %d", level, got, want)
		}
	}
}

// keptBy counts the page frames that a selection keeps.
func keptBy(t *testing.T, f *pagefilter.Filter, sel *pagefilter.Selection) (n uint64) {
	t.Helper()
	for first, keep := range memoryBits(t, f) {
		if err := sel.Filter(context.Background(), first, keep); err != nil {
			t.Fatalf("Filter() = %v", err)
		}
		for _, w := range keep {
			for ; w != 0; w &= w - 1 {
				n++
			}
		}
	}
	return n
}

// The stack of a CPU in a page that would be left out, and on riscv64 the task.
func TestStackIsKept(t *testing.T) {
	for _, p := range []dumptest.Paging{dumptest.X86Paging(4, 0), dumptest.ARM64Paging(12), dumptest.RISCVPaging(39)} {
		for _, c := range []struct {
			sp, task, user uint64 // page frames behind the slab; no other of them is the user's
			refused        string
		}{
			{0, 0, 4, ""}, {5, 0, 5, "the stack of CPU 1"}, {5, 0, 7, "the stack of CPU 1"}, {5, 0, 8, ""}, {5, 0, 4, ""},
			{4, 9, 9, map[bool]string{true: "the task of CPU 0"}[p.Machine == elf.EM_RISCV]},
		} {
			t.Run(fmt.Sprintf("%s %+v", p.Name, c), func(t *testing.T) {
				b := newBench(t, p)
				b.Anon(b.slab + c.user)
				f, s := survey(t, &noted{b.Machine, []uint64{b.direct(b.slab) + 0x500, b.direct(b.slab+c.sp) + 0xff0, 0x7ffc0000}, b.direct(b.slab+c.task) + 0x40})
				checkRefused(t, f, s, user, c.refused)
			})
		}
	}
}

// Page tables in pages that would be left out, of each level, that lead to nothing else that is looked at.
func TestPageTablesAreKept(t *testing.T) {
	for _, p := range []dumptest.Paging{dumptest.X86Paging(5, 0), dumptest.X86Paging(4, 1<<47), dumptest.ARM64Paging(12), dumptest.ARM64Paging(14), dumptest.ARM64Paging(16), dumptest.RISCVPaging(48)} {
		for n, tables := 0, 1; n < tables; n++ {
			t.Run(fmt.Sprintf("%s, table %d", p.Name, n), func(t *testing.T) {
				b := newBench(t, p)
				first := b.slab + 16
				b.TablesAt = first << p.Page
				b.Map(p.ImageVirt&^(1<<30-1)-1<<36, p.ImagePhys, 1<<p.Page)
				tables = int(b.TablesAt>>p.Page - first)
				b.Anon(first + uint64(n))
				f, s := survey(t, b)
				checkRefused(t, f, s, user, "page tables of the kernel")
			})
		}
	}
}

// The kernel log in pages that would be left out, in each form that kernels have.
func TestLogIsKept(t *testing.T) {
	const pages = 4
	for name, describe := range map[string]func(b *bench, log uint64){
		"log_buf": func(b *bench, log uint64) {
			at := b.Alloc(16, 8)
			b.Put(at, 8, log)
			b.Put(at+8, 4, pages<<12)
			b.Symbol("log_buf", b.Virt(at))
			b.Symbol("log_buf_len", b.Virt(at+8))
		},
		"printk ring buffer": func(b *bench, log uint64) {
			at := b.Alloc(128, 8)
			b.Put(at, 8, b.Virt(at+8))
			b.Put(at+8+8, 8, b.Virt(at))  // descs
			b.Put(at+8+16, 8, b.Virt(at)) // infos
			b.Put(at+8+48, 4, 14)         // size_bits of text_data_ring
			b.Put(at+8+56, 8, log)        // data
			b.Symbol("prb", b.Virt(at))
			b.Line("OFFSET(printk_ringbuffer.desc_ring)=0\nOFFSET(printk_ringbuffer.text_data_ring)=48")
			b.Line("OFFSET(prb_desc_ring.descs)=8\nOFFSET(prb_desc_ring.infos)=16\nOFFSET(prb_data_ring.size_bits)=0\nOFFSET(prb_data_ring.data)=8")
		},
	} {
		for page := range uint64(pages + 1) { // the last is behind it
			b := newBench(t, dumptest.X86Paging(4, 0))
			log := b.slab + 16
			b.Anon(log + page)
			describe(b, b.direct(log))
			f, s := survey(t, b)
			if page == pages {
				checkRefused(t, f, s, kept, "")
				continue
			}
			t.Run(name, func(t *testing.T) { checkRefused(t, f, s, user, "the kernel log") })
		}
	}
}
