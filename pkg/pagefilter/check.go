package pagefilter

import (
	"context"
	"fmt"
	"slices"

	"github.com/gokexec/gokexec/pkg/memmap"
	"github.com/gokexec/gokexec/pkg/vmcore"
)

// Bounds of the checks of a survey.
const (
	samplesOfWindow = 64 // page frames of a class that a window contributes
	sampledWindows  = 64 // about as many windows contribute, evenly spread
	maxSamples      = 2 * samplesOfWindow * sampledWindows
	everySample     = 4 // of which the struct page's own memory is checked
	minSamples      = 8 // fewer say nothing
)

// samples are some page frames of each class, to be looked at more closely.
type samples [NumClasses][]uint64

// take adds page frames of a window, whose first is first, of a machine with pages of memory: by and by
// one more of each class.
func (s *samples) take(first uint64, classes []Class, pages uint64) {
	if first/WindowPages%(1+pages/WindowPages/sampledWindows) != 0 {
		return
	}
	var got [NumClasses]int
	size := len(classes) / samplesOfWindow
	for part := range samplesOfWindow {
		for i, c := range classes[part*size:][:size] {
			if c != Kept && got[c] <= part {
				got[c]++
				s[c] = append(s[c], first+uint64(part*size+i))
			}
		}
	}
}

// add takes over samples of another.
func (s *samples) add(o *samples) {
	for c := range s {
		s[c] = append(s[c], o[c][:min(len(o[c]), maxSamples-len(s[c]))]...)
	}
}

// checker finds out whether what would be left out may be.
type checker struct {
	f       *Filter
	ctx     context.Context
	r       *vmcore.Reader
	space   *vmcore.AddressSpace
	seen    map[uint64]bool // page frames that were looked at
	nodes   []uint64        // addresses of pglist_data
	zones   zoneCount
	counted bool // zones is known
	known   *runs
	group   [batchPages]Class
	refused []Refusal
}

// refuse keeps the pages of a class, for the first reason given.
func (c *checker) refuse(class Class, format string, args ...any) {
	if class == Kept || slices.ContainsFunc(c.refused, func(r Refusal) bool { return r.Class == class }) {
		return
	}
	c.refused = append(c.refused, Refusal{class, fmt.Sprintf(format, args...)})
}

// newChecker returns a checker that has refused what the filter doesn't know. It counts the zones' free
// pages, which on a running machine change while the survey is made.
func (f *Filter) newChecker(ctx context.Context) (*checker, error) {
	r, err := vmcore.NewReader(f.mem)
	if err != nil {
		return nil, err
	}
	c := &checker{f: f, ctx: ctx, r: r, seen: map[uint64]bool{}, refused: slices.Clone(f.rules.unknown),
		space: vmcore.NewAddressSpace(f.mem.Platform(), f.info, f.mem, vmcore.Hints{})}
	c.nodes = nodes(r)
	c.zones, c.counted = f.readZones(r, c.nodes)
	return c, nil
}

// check compares a finished survey with what the kernel itself says.
func (c *checker) check(s *Survey, picked *samples) error {
	defer func() {
		if p := recover(); p != nil {
			for class := range Class(NumClasses) {
				c.refuse(class, "the checks failed: %v", p)
			}
		}
		s.Refused = c.refused
	}()
	c.known = s.known
	c.findNodes(picked[Free])
	if c.counted {
		c.freePages(s)
	}
	c.freeLists(picked[Free])
	for _, class := range []Class{User, Cache, PrivateCache} {
		c.mappings(class, picked[class])
	}
	c.essentials()
	for _, class := range picked {
		for i := 0; i < len(class); i += everySample {
			c.structPages(class[i])
		}
	}
	return c.ctx.Err()
}

// findNodes looks for the nodes by the free blocks. On a running machine that comes too late for a
// count before the survey.
func (c *checker) findNodes(pages []uint64) {
	if len(c.nodes) > 0 || c.f.info.CrashTime.IsZero() {
		return
	}
	n, ok := newNodeFinder(c.f, c.r)
	if !ok {
		return
	}
	if found, all := n.find(pages); all {
		c.nodes = found
		c.zones, c.counted = c.f.readZones(c.r, c.nodes)
	}
}

// freePages compares the number of free pages with the zones' own.
func (c *checker) freePages(s *Survey) {
	after, ok := c.f.readZones(c.r, c.nodes)
	// Unaccepted memory is free for the zones.
	n := s.Counts[Free] + s.Counts[Unaccepted] + s.keptFree
	if ok && c.zones.off(after, n, s.Unreadable+c.absent()) {
		c.refuse(Free, "%d free pages were counted, but the zones of the kernel have counted %d (NR_FREE_PAGES)", n, after.free)
	}
}

// absent is how many page frames the nodes span that the dump doesn't know as memory: holes, the
// memory of the capture kernel, and what was added after that was loaded.
func (c *checker) absent() (n uint64) {
	start, ok := c.f.info.Offset("pglist_data.node_start_pfn")
	spanned, ok2 := c.f.info.Offset("pglist_data.node_spanned_pages")
	if !ok || !ok2 {
		return 0
	}
	for _, node := range c.nodes {
		first, err := c.r.Ulong(node+start, "pglist_data.node_start_pfn")
		pages, err2 := c.r.Ulong(node+spanned, "pglist_data.node_spanned_pages")
		if err != nil || err2 != nil || first+pages < first || first+pages > 1<<(64-c.f.shift) {
			continue
		}
		n += pages
		err = c.f.eachMemory(first, first+pages, func(from, to uint64) error {
			n -= to - from
			return c.ctx.Err()
		})
		if err != nil {
			return n
		}
	}
	return n
}

// freeLists checks that free blocks are on a list: that the next element has them as the previous one.
func (c *checker) freeLists(pages []uint64) {
	lru, ok := c.f.info.Offset("page.lru")
	if !ok || lru+2*uint64(c.r.Word) > c.f.rules.size {
		return
	}
	tried, bad := 0, 0
	for _, pfn := range pages {
		addr, _, ok := c.f.pages.find(pfn)
		if !ok || !c.heads(addr) {
			continue
		}
		tried++
		next, err := c.r.Ulong(addr+lru, "page.lru")
		if err != nil {
			bad++
			continue
		}
		if back, err := c.r.Ulong(next+uint64(c.r.Word), "page.lru"); err != nil || back != addr+lru {
			bad++
		}
	}
	if tried >= minSamples && bad > tried/4 {
		c.refuse(Free, "%d of %d free blocks looked at are on no list", bad, tried)
	}
}

// heads reports whether a free block begins with the struct page at addr.
func (c *checker) heads(addr uint64) bool {
	r := &c.f.rules
	if !r.buddy.known {
		return false
	}
	mapcount, err := c.r.Uint32(addr+uint64(r.mapcount), "page._mapcount")
	return err == nil && r.buddy.is(int32(mapcount))
}

// mappings checks that what a page's mapping points to, an address_space or an anon_vma, is there and
// is kept.
func (c *checker) mappings(class Class, pages []uint64) {
	r := &c.f.rules
	tried, missing, lost := 0, 0, [NumClasses]int{}
	for _, pfn := range pages {
		addr, _, ok := c.f.pages.find(pfn)
		if !ok {
			continue
		}
		if r.compound >= 0 {
			info, err := c.r.Ulong(addr+uint64(r.compound), "page.compound_head")
			if err != nil {
				continue
			}
			if head := r.headOf(addr, info); head != 0 {
				addr = head
			}
		}
		mapping, err := c.r.Ulong(addr+uint64(r.mapping), "page.mapping")
		if err != nil || mapping == 0 {
			continue // hugetlb that nobody uses
		}
		tried++
		phys, _, err := c.space.Translate(mapping &^ 3)
		if err != nil {
			missing++
			continue
		}
		lost[c.classOf(phys)]++
		c.tables(mapping &^ 3)
	}
	if tried < minSamples {
		return
	}
	if missing > tried/4 {
		c.refuse(class, "page.mapping of %d of %d pages looked at is no address of the kernel", missing, tried)
	}
	for target, n := range lost {
		if Class(target) != Kept && n > tried/16 {
			c.refuse(Class(target), "%d of %d pages looked at belong to something in a page of this class (page.mapping)", n, tried)
		}
	}
}

// virtual checks that the page of a virtual address is kept.
func (c *checker) virtual(addr uint64, what string) {
	if phys, _, err := c.space.Translate(addr); err == nil {
		c.physical(phys, what)
	}
}

func (c *checker) physical(phys memmap.PhysAddr, what string) {
	if pfn := c.f.frame(phys); !c.seen[pfn] {
		c.seen[pfn] = true
		c.lost(c.classOf(phys), phys, what)
	}
}

// lost refuses the class of a page that has to be kept.
func (c *checker) lost(class Class, phys memmap.PhysAddr, what string) {
	c.refuse(class, "the page at %v would be left out, which contains %s", phys, what)
}

// classOf returns the class of one page.
func (c *checker) classOf(phys memmap.PhysAddr) Class {
	pfn := c.f.frame(phys)
	group := max(c.f.rules.orders, 1)
	first := pfn &^ (1<<(group-1) - 1)
	classes := c.group[:min(uint64(1)<<(group-1), batchPages)]
	if pfn-first >= uint64(len(classes)) {
		first = pfn &^ (batchPages - 1)
	}
	if _, err := c.f.classify(c.ctx, first, classes, left{}); err != nil {
		return Kept
	}
	return classes[pfn-first]
}
