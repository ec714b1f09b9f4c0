package pagefilter_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/gokexec/gokexec/internal/dumptest"
	"github.com/gokexec/gokexec/pkg/memmap"
	"github.com/gokexec/gokexec/pkg/pagefilter"
)

const tib = 1 << 40

// mixedMachine is a machine of any size, whose struct pages are made when they are read: free blocks,
// page cache, anonymous memory and slabs in turn, 1024 page frames each.
func mixedMachine(size uint64, more ...memmap.Range) *dumptest.Machine {
	ks := dumptest.Kernels()
	k := ks[len(ks)-1]
	m := dumptest.NewMachine(dumptest.X86Paging(5, 0), k, size, more...)
	kernelPage := m.Fill
	m.Fill = func(pfn uint64, b []byte) {
		kernelPage(pfn, b)
		if pfn < 1<<16 {
			return // image, page tables, struct pages
		}
		switch pfn >> 10 & 3 {
		case 0:
			b[dumptest.PageRefcount] = 0
			if pfn&1023 == 0 {
				b[dumptest.PageMapcount+3], b[dumptest.PagePrivate] = 0xf0, 10
				b[dumptest.PageMapcount], b[dumptest.PageMapcount+1], b[dumptest.PageMapcount+2] = 0, 0, 0
			}
		case 1:
			b[dumptest.PageFlags] |= 1 << k.LRU
		case 2:
			b[dumptest.PageFlags] |= 1 << k.LRU
			b[dumptest.PageMapping] = 1
		}
	}
	return m
}

// The memory that a survey takes doesn't depend on how much the machine has, or over how many
// addresses that is spread. The Makefile runs this without the race detector, with which a sync.Pool
// forgets a part of what it is given.
func TestBoundedMemory(t *testing.T) {
	took := func(mem *dumptest.Machine) uint64 {
		f, err := pagefilter.New(mem, pagefilter.Options{})
		if err != nil {
			t.Fatal(err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		s, err := f.Survey(context.Background(), pagefilter.SurveyOptions{Workers: 2})
		runtime.ReadMemStats(&after)
		if err != nil || s.Counts[free] == 0 || s.Counts[user] == 0 {
			t.Fatalf("Survey() = %+v, %v", s, err)
		}
		return after.TotalAlloc - before.TotalAlloc
	}
	var spread []memmap.Range
	for at := memmap.PhysAddr(64 << 30); at < 12*tib; at += 64 << 30 {
		spread = append(spread, memmap.Range{Start: at, End: at + 64<<20})
	}
	small := took(mixedMachine(4 << 30))
	large := took(mixedMachine(4<<30, spread...))
	t.Logf("bytes allocated for 4 GiB: %d; for 191 pieces over 12 TiB: %d", small, large)
	if large > small+8<<20 {
		t.Errorf("a survey of 12 TiB allocates %d bytes, one of 4 GiB %d", large, small)
	}
}

// The same time per page frame is taken on a machine with 4 GiB and on one with 12 TiB.
func BenchmarkClassify(b *testing.B) {
	for _, size := range []uint64{4 << 30, 12 * tib} {
		b.Run(fmt.Sprintf("%dGiB", size>>30), func(b *testing.B) {
			f, err := pagefilter.New(mixedMachine(size), pagefilter.Options{})
			if err != nil {
				b.Fatal(err)
			}
			c := make([]pagefilter.Class, pagefilter.WindowPages)
			windows := size >> 12 / pagefilter.WindowPages
			b.ReportAllocs()
			i := uint64(0)
			for b.Loop() {
				i += windows*5/8 + 1
				if err := f.Classify(context.Background(), i%windows*pagefilter.WindowPages, c); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/pagefilter.WindowPages, "ns/page")
		})
	}
}

// server is a machine as a server is after some weeks, with its struct pages where they can be looked at in place: of
// 64 blocks of 1024 page frames, 28 are free, 20 anonymous memory, 8 page cache and 4 the kernel's; 4 have several kinds.
type server struct {
	*dumptest.Machine
	blocks, kernel []byte
	array          [2]uint64 // page frames of the struct pages
}

const serverPages = 64 << 10

func newServer(size uint64) *server {
	m := mixedMachine(size)
	s := &server{Machine: m, array: [2]uint64{m.StructPage(0) >> 12, (m.StructPage(size>>12)-1)>>12 + 1}}
	kernelPage := dumptest.NewMachine(dumptest.X86Paging(5, 0), m.Kernel, 4<<30).Fill
	m.Fill = func(pfn uint64, b []byte) {
		kernelPage(pfn, b)
		if pfn >= 1<<16 && (pfn < s.array[0] || pfn >= s.array[1]) {
			s.fill(pfn, b)
		}
	}
	for pfn := uint64(0); pfn < size>>12; pfn += 1 << 10 {
		if pfn >= 1<<16 && (pfn < s.array[0] || pfn >= s.array[1]) && pfn%serverPages < 28<<10 {
			m.CountFree(1 << 10)
		}
	}
	s.blocks, s.kernel = make([]byte, 64*serverPages), make([]byte, 64<<12)
	for i := range uint64(serverPages) {
		kernelPage(1<<20+i, s.blocks[64*i:][:64])
		s.fill(1<<20+i, s.blocks[64*i:][:64])
	}
	for i := range uint64(len(s.kernel) / 64) {
		kernelPage(1<<20+i, s.kernel[64*i:][:64])
	}
	return s
}

func (s *server) fill(pfn uint64, b []byte) {
	k := &s.Kernel
	put := func(at, v uint64) { binary.LittleEndian.PutUint64(b[at:], v) }
	lru := binary.LittleEndian.Uint64(b[dumptest.PageFlags:]) | 1<<k.LRU
	switch block := pfn % serverPages >> 10; {
	case block < 28:
		b[dumptest.PageRefcount] = 0
		if pfn&1023 == 0 {
			binary.LittleEndian.PutUint32(b[dumptest.PageMapcount:], uint32(k.BuddyType))
			put(dumptest.PagePrivate, 10)
			put(lruAt, s.Vmemmap+64*pfn+lruAt) // a list of its own
			put(lruAt+8, s.Vmemmap+64*pfn+lruAt)
		}
	case block < 48, block >= 60 && pfn&8 != 0:
		put(dumptest.PageFlags, lru)
		put(dumptest.PageMapping, s.Object()+1)
	case block < 56:
		put(dumptest.PageFlags, lru)
		put(dumptest.PageMapping, s.Object())
	}
}

func (s *server) ViewVirt(addr uint64, n int, use func(b []byte)) bool {
	pfn := (addr - s.Vmemmap) / 64
	last := pfn + uint64(n)/64
	switch {
	case addr < s.Vmemmap || pfn < 1<<16 || n > len(s.kernel):
		return false
	case last <= s.array[0] || pfn >= s.array[1]:
		use(s.blocks[pfn%serverPages*64:][:n])
	case pfn >= s.array[0] && last <= s.array[1]:
		use(s.kernel[:n])
	default:
		return false
	}
	return true
}

// Whole memory of 4 GiB and of 12 TiB is surveyed, and what a dump of level 31 keeps is found out for its bitmaps and for
// its pages, as when it is written: the same time for each page frame, in the same memory.
func BenchmarkPlan(b *testing.B) {
	for _, size := range []uint64{4 << 30, 12 * tib} {
		b.Run(fmt.Sprintf("%dGiB", size>>30), func(b *testing.B) {
			mem := newServer(size)
			f, err := pagefilter.New(mem, pagefilter.Options{})
			if err != nil {
				b.Fatal(err)
			}
			keep := make([]uint64, pagefilter.WindowPages/64)
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			var survey, passes time.Duration
			for b.Loop() {
				began := time.Now()
				s, err := f.Survey(context.Background(), pagefilter.SurveyOptions{Workers: 1, Levels: []pagefilter.Level{31}})
				if err != nil || len(s.Refused) > 0 || s.Pages != size>>12 {
					b.Fatalf("Survey() = %+v, %v", s, err)
				}
				survey += time.Since(began)
				sel := f.Selection(31, s)
				for range 2 {
					for first := uint64(0); first < size>>12; first += pagefilter.WindowPages {
						for i := range keep {
							keep[i] = ^uint64(0)
						}
						if err := sel.Filter(context.Background(), first, keep); err != nil {
							b.Fatal(err)
						}
					}
				}
				passes += time.Since(began)
				runtime.ReadMemStats(&after)
				runtime.KeepAlive(s)
			}
			pages := float64(b.N) * float64(size>>12)
			b.ReportMetric(float64(survey.Nanoseconds())/pages, "survey-ns/page")
			b.ReportMetric(float64(passes.Nanoseconds())/pages, "all-ns/page")
			b.ReportMetric(float64(after.HeapSys-before.HeapSys)/(1<<20), "heap-MiB")
		})
	}
}
