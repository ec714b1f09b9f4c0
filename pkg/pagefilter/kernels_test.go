package pagefilter_test

import (
	"context"
	"testing"

	"github.com/gokexec/gokexec/internal/dumptest"
	"github.com/gokexec/gokexec/pkg/pagefilter"
)

const (
	kept         = pagefilter.Kept
	cache        = pagefilter.Cache
	privateCache = pagefilter.PrivateCache
	user         = pagefilter.User
	free         = pagefilter.Free
	hwpoison     = pagefilter.HWPoison
	offline      = pagefilter.Offline
	unaccepted   = pagefilter.Unaccepted
)

// states has page frames of each kind, and what is expected of each.
type states struct {
	*dumptest.Machine
	at   uint64 // next page frame
	want map[uint64]pagefilter.Class
	name map[uint64]string
}

// block reserves 1<<order page frames that are expected to have a class.
func (s *states) block(name string, order uint, class pagefilter.Class) (pfn uint64) {
	n := uint64(1) << order
	pfn = (s.at + n - 1) &^ (n - 1)
	s.at = pfn + n
	for i := range n {
		s.want[pfn+i], s.name[pfn+i] = class, name
	}
	return pfn
}

// expect changes what is expected of a page frame.
func (s *states) expect(pfn uint64, class pagefilter.Class) { s.want[pfn] = class }

// newStates makes the machine. Every state is made as the kernel's own functions make it.
func newStates(p dumptest.Paging, k dumptest.Kernel) *states {
	m := dumptest.NewMachine(p, k, 192<<20+8192<<p.Page)
	s := &states{m, (p.RAM + 192<<20) >> p.Page, map[uint64]pagefilter.Class{}, map[uint64]string{}}
	m.Free(s.block("free page", 0, free), 0)
	m.Free(s.block("free block", 3, free), 3)
	m.Free(s.block("largest free block", dumptest.Orders-1, free), dumptest.Orders-1)
	s.freeBlocks()
	m.Anon(s.block("anonymous", 0, user))
	pfn := s.block("large anonymous folio", 4, user)
	m.Compound(pfn, 4)
	m.Anon(pfn)
	m.Flag(pfn+5, k.HWPoison)
	s.expect(pfn+5, hwpoison)
	m.Cache(s.block("page cache", 0, cache), false)
	m.Cache(s.block("page cache with private data", 0, privateCache), true)
	pfn = s.block("large folio of page cache", 3, cache)
	m.Compound(pfn, 3)
	m.Cache(pfn, false)
	m.Flag(s.block("swap cache, off the LRU list", 0, cache), k.SwapCache, k.SwapBacked)
	m.Flag(s.block("PG_owner_priv_1 alone", 0, kept), k.SwapCache)
	m.Hugetlb(s.block("hugetlb", 9, user), 9, 0)
	m.Hugetlb(s.block("hugetlb, used by a file", 9, user), 9, m.Object())
	m.Slab(s.block("slab", 0, kept), 0)
	m.Slab(s.block("slab of order 3", 3, kept), 3)
	m.Compound(s.block("compound page of the kernel", 2, kept), 2)
	s.types()
	s.contradictions()
	return s
}

func (s *states) freeBlocks() {
	k := &s.Kernel
	pfn := s.block("free block of which one page is damaged", 3, free)
	s.Free(pfn, 3)
	s.Flag(pfn+3, k.HWPoison)
	s.expect(pfn+3, hwpoison)
	pfn = s.block("free block of which the first page is damaged", 2, free)
	s.Free(pfn, 2)
	s.Flag(pfn, k.HWPoison)
	s.expect(pfn, hwpoison)
}

func (s *states) types() {
	k := &s.Kernel
	s.Type(s.block("offline", 0, offline), k.OfflineType)
	pfn := s.block("page table", 0, kept)
	s.Type(pfn, k.TableType)
	s.Set(pfn, dumptest.PageMapping, 8, 0xffff888087654321)
	s.Flag(s.block("damaged", 0, hwpoison), k.HWPoison)
	pfn = s.block("damaged page cache", 0, hwpoison)
	s.Cache(pfn, false)
	s.Flag(pfn, k.HWPoison)
	if k.UnacceptedType != 0 {
		pfn = s.block("unaccepted", dumptest.Orders-1, unaccepted)
		s.Type(pfn, k.UnacceptedType)
		for i := range uint64(1) << (dumptest.Orders - 1) {
			s.Set(pfn+i, dumptest.PageRefcount, 4, 0)
		}
		s.CountFree(1 << (dumptest.Orders - 1))
	}
}

// contradictions are struct pages that no kernel leaves so: they are kept.
func (s *states) contradictions() {
	k := &s.Kernel
	pfn := s.block("free block of an order that does not exist", 0, kept)
	s.Type(pfn, k.BuddyType)
	s.Set(pfn, dumptest.PageRefcount, 4, 0)
	s.Set(pfn, dumptest.PagePrivate, 8, dumptest.Orders)
	pfn = s.block("free block, not aligned", 4, kept)
	s.Type(pfn+1, k.BuddyType)
	s.Set(pfn+1, dumptest.PageRefcount, 4, 0)
	s.Set(pfn+1, dumptest.PagePrivate, 8, 3)
	pfn = s.block("free page that is in use", 0, kept)
	s.Type(pfn, k.BuddyType)
	pfn = s.block("free block of which a part is in use", 3, kept)
	s.Type(pfn, k.BuddyType)
	s.Set(pfn, dumptest.PagePrivate, 8, 3)
	for i := range uint64(4) {
		s.Set(pfn+i, dumptest.PageRefcount, 4, 0)
		s.expect(pfn+i, free)
	}
	s.CountFree(4)
	// PG_head alone, and next to it what would be a tail page of hugetlb but isn't one.
	pfn = s.block("PG_head without tail pages", 9, kept)
	s.Flag(pfn, k.Head)
	if k.HugetlbFlag != 0 {
		s.Flag(pfn+1, k.HugetlbFlag)
	}
	s.Set(pfn+1, 16, 1, 2)
	pfn = s.block("compound page of an absurd order", 1, kept)
	s.Compound(pfn, 1)
	s.Slab(pfn, 0)
	if k.OrderAt != 0 {
		s.Set(pfn+1, k.OrderAt, 1, 0xff)
	} else {
		s.Flag(pfn+1, 0, 1, 2, 3, 4, 5, 6, 7)
	}
	pfn = s.block("never initialised", 0, kept)
	for at := uint64(0); at < 64; at += 8 {
		s.Set(pfn, at, 8, ^uint64(0))
	}
	pfn = s.block("tail page without a head", 1, kept)
	s.Set(pfn, dumptest.PageCompound, 8, s.Vmemmap+pfn*64+64+1)
	s.Set(pfn+1, dumptest.PageCompound, 8, 1)
}

func classes(t *testing.T, f *pagefilter.Filter, first uint64) []pagefilter.Class {
	t.Helper()
	c := make([]pagefilter.Class, pagefilter.WindowPages)
	if err := f.Classify(context.Background(), first, c); err != nil {
		t.Fatalf("Classify(%#x) = %v", first, err)
	}
	return c
}

// check compares each page frame of the first window with what is expected; others are the kernel's.
func (s *states) check(t *testing.T, f *pagefilter.Filter) {
	t.Helper()
	wrong := 0
	first := s.RAM >> s.Page &^ (pagefilter.WindowPages - 1)
	for i, got := range classes(t, f, first) {
		pfn := first + uint64(i)
		if want := s.want[pfn]; got != want && wrong < 10 {
			wrong++
			t.Errorf("page frame %#x (%s): %v; want %v", pfn, s.name[pfn], got, want)
		}
	}
}

// Each version's struct pages are told apart, with each kind of page tables.
func TestKernelVersions(t *testing.T) {
	for _, k := range dumptest.Kernels() {
		for _, p := range dumptest.Pagings() {
			t.Run(k.Release+"/"+p.Name, func(t *testing.T) {
				s := newStates(p, k)
				f, err := pagefilter.New(s, pagefilter.Options{})
				if err != nil {
					t.Fatalf("New() = %v", err)
				}
				s.check(t, f)
				survey, err := f.Survey(context.Background(), pagefilter.SurveyOptions{})
				if err != nil || len(survey.Refused) > 0 || survey.Unreadable != 0 {
					t.Errorf("Survey() = %+v, %v; want nothing refused", survey, err)
				}
			})
		}
	}
}
