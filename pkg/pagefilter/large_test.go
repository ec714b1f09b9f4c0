package pagefilter_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"

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
