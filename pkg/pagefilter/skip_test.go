package pagefilter_test

import (
	"context"
	"slices"
	"testing"

	"github.com/gokexec/gokexec/internal/dumptest"
	"github.com/gokexec/gokexec/pkg/pagefilter"
)

// bitsOf is what a selection keeps of the first window.
func bitsOf(t *testing.T, sel *pagefilter.Selection, first uint64) []uint64 {
	t.Helper()
	keep := slices.Repeat([]uint64{^uint64(0)}, pagefilter.WindowPages/64)
	if err := sel.Filter(context.Background(), first, keep); err != nil {
		t.Fatal(err)
	}
	return keep
}

// A survey for some levels leads to the same dumps, of these levels and of others, as one for all of them.
func TestSurveyLevels(t *testing.T) {
	ks := dumptest.Kernels()
	f, all := survey(t, newStates(dumptest.X86Paging(4, 0), ks[len(ks)-1]))
	for _, of := range [][]pagefilter.Level{{8}, {1, 31}, {24, 31}, {31}} {
		sv, err := f.Survey(context.Background(), pagefilter.SurveyOptions{Levels: of})
		if err != nil || len(sv.Refused) > 0 || sv.Pages != all.Pages {
			t.Fatalf("Survey(%v) = %+v, %v", of, sv, err)
		}
		forgot, coarse := *sv, *sv
		forgot.Forget()
		coarse.Coarsen()
		for _, level := range []pagefilter.Level{0, 1, 8, 16, 31} {
			want := bitsOf(t, f.Selection(level, all), 0)
			for _, sv := range []*pagefilter.Survey{sv, &forgot, &coarse} {
				if !slices.Equal(bitsOf(t, f.Selection(level, sv), 0), want) {
					t.Errorf("after a survey for %v, the dump of level %d is another", of, level)
				}
			}
		}
		for _, level := range of {
			if got, want := sv.KeptAt(level), all.KeptAt(level); got != want {
				t.Errorf("a survey for %v counts %d pages that level %d keeps; want %d", of, got, level, want)
			}
		}
	}
}

// A free block that has been divided where the allocator does is found out, however far the survey looks: none of what is
// in use is left out.
func TestDividedBlocks(t *testing.T) {
	ks := dumptest.Kernels()
	m := dumptest.NewMachine(dumptest.X86Paging(4, 0), ks[len(ks)-1], 256<<20)
	first := uint64(192 << 20 >> 12)
	for order := range uint(dumptest.Orders - 1) {
		pfn := first + uint64(order)<<dumptest.Orders
		m.Free(pfn, dumptest.Orders-1)
		for i := range uint64(1) << order { // of the second half of a half, and so on
			m.Set(pfn+1<<order+i, dumptest.PageRefcount, 4, 1)
		}
	}
	f, sv := survey(t, m)
	short, err := f.Survey(context.Background(), pagefilter.SurveyOptions{Levels: []pagefilter.Level{31}})
	if err != nil {
		t.Fatal(err)
	}
	if short.Counts != sv.Counts {
		t.Errorf("the survey for level 31 counts %v, that for all levels %v", short.Counts, sv.Counts)
	}
	keep := bitsOf(t, f.Selection(16, short), 0)
	for order := range uint(dumptest.Orders - 1) {
		for i := range uint64(1) << order {
			if pfn := first + uint64(order)<<dumptest.Orders + 1<<order + i; keep[pfn/64]>>(pfn%64)&1 == 0 {
				t.Fatalf("page frame %#x is in use and is left out", pfn)
			}
		}
	}
}

// counting counts what is read.
type counting struct {
	*dumptest.Machine
	bytes int
}

func (c *counting) ReadVirtAt(b []byte, addr uint64) (int, error) {
	c.bytes += len(b)
	return c.Machine.ReadVirtAt(b, addr)
}

// The struct pages of a gigantic page that is left out aren't read.
func TestGiganticPageIsSkipped(t *testing.T) {
	ks := dumptest.Kernels()
	m := &counting{Machine: dumptest.NewMachine(dumptest.X86Paging(4, 0), ks[len(ks)-1], 2<<30)}
	const order = 18
	m.Hugetlb(1<<order, order, 0)
	f, err := pagefilter.New(m, pagefilter.Options{})
	if err != nil {
		t.Fatal(err)
	}
	read := func(levels ...pagefilter.Level) int {
		before := m.bytes
		s, err := f.Survey(context.Background(), pagefilter.SurveyOptions{Workers: 1, Levels: levels})
		if err != nil || s.Counts[user] != 1<<order {
			t.Fatalf("Survey(%v) = %+v, %v", levels, s, err)
		}
		return m.bytes - before
	}
	all, level31, level16 := read(), read(31), read(16, 31)
	if saved := all - level31; saved < 15<<20 || level16 != all {
		t.Errorf("a survey for all levels reads %d bytes, for level 31 %d, for 16 and 31 %d; want 15 MiB less, and the same", all, level31, level16)
	}
}

// viewed is a machine whose memory can be looked at in place. Every wrong'th time what was seen there was not it.
type viewed struct {
	*dumptest.Machine
	wrong, views int
}

func (v *viewed) ViewVirt(addr uint64, n int, use func(b []byte)) bool {
	b := make([]byte, n)
	if m, err := v.ReadVirtAt(b, addr); m < n || err != nil {
		return false
	}
	if v.views++; v.wrong > 0 && v.views%v.wrong == 0 {
		for i := range b[n/2:] {
			b[n/2+i] = byte(i) * 7
		}
		use(b)
		return false
	}
	use(b)
	return true
}

// Where the struct pages can be looked at in place, the classes are the same, also where that breaks off.
func TestInPlace(t *testing.T) {
	ks := dumptest.Kernels()
	for _, k := range []dumptest.Kernel{ks[0], ks[len(ks)-1]} {
		for _, wrong := range []int{0, 1, 3} {
			s := newStates(dumptest.X86Paging(4, 0), k)
			last := s.block("large folio, the last", 4, user)
			s.Compound(last, 4)
			s.Anon(last)
			v := &viewed{Machine: s.Machine, wrong: wrong}
			f, err := pagefilter.New(v, pagefilter.Options{})
			if err != nil {
				t.Fatal(err)
			}
			s.check(t, f)
			if v.views == 0 {
				t.Errorf("%s: nothing was looked at in place", k.Release)
			}
		}
	}
}
