package pagefilter

import (
	"encoding/binary"
	"math/bits"
)

const (
	// batchPages is how many struct pages are read at once: 256 KiB of them.
	batchPages = 1 << 12
	// maxOrder bounds log2 of the page frames of a compound page or free block.
	maxOrder = 18
	// vmemmapPage is the least that is mapped of a struct page array, in bytes.
	vmemmapPage = 4096

	mappingAnon = 1 // PAGE_MAPPING_ANON, FOLIO_MAPPING_ANON
	// mapcountTyped: below it, _mapcount is a page type (PAGE_MAPCOUNT_RESERVE, since 6.12
	// PGTY_mapcount_underflow).
	mapcountTyped = -128
)

// scan classifies the page frames of one window, in ascending order.
type scan struct {
	f       *Filter
	first   uint64 // page frame of classes[0]
	classes []Class
	buf     *[]byte

	// The page frames before runEnd belong to the compound page or free block that began
	// last, and have its class.
	run    Class
	runEnd uint64
	// sure: the others needn't be looked at.
	sure bool

	left left

	unreadable uint64
}

func (f *Filter) newScan(first uint64, classes []Class, left left) *scan {
	return &scan{f: f, first: first, classes: classes, left: left, buf: f.batches.Get().(*[]byte)}
}

func (s *scan) close() { s.f.batches.Put(s.buf) }

func (s *scan) endRun() { s.run, s.runEnd, s.sure = Kept, 0, false }

// batch classifies the next page frames of [from, to) and returns how many.
func (s *scan) batch(from, to uint64) uint64 {
	to = min(to, from&^(batchPages-1)+batchPages)
	if s.sure && from < s.runEnd {
		n := min(to, s.runEnd) - from
		fill(s.classes[from-s.first:][:n], s.run)
		return n
	}
	addr, n, ok := s.f.pages.find(from)
	n = min(n, to-from)
	if !ok {
		s.endRun()
		s.unreadable += n
		return n
	}
	if s.inPlace(from, addr, n) {
		return n
	}
	b := (*s.buf)[:n*s.f.rules.size]
	size := int(s.f.rules.size)
	for at := 0; at < len(b); {
		read, err := s.f.mem.ReadVirtAt(b[at:], addr+uint64(at))
		read = max(min(read, len(b)-at), 0)
		if err == nil {
			read = len(b) - at
		}
		whole := read / size * size
		s.pages(from+uint64(at/size), addr+uint64(at), b[at:at+whole])
		at += whole
		if at == len(b) {
			break
		}
		// What is not there is kept, up to where the struct page array may be mapped again.
		s.endRun()
		next := (addr+uint64(at+read-whole))&^(vmemmapPage-1) + vmemmapPage
		skip := min((int(next-addr)-at+size-1)/size*size, len(b)-at)
		s.unreadable += uint64(skip / size)
		at += skip
	}
	return n
}

// inPlace classifies n page frames whose struct pages are at a virtual address, if the dump has these in memory.
func (s *scan) inPlace(pfn, addr, n uint64) bool {
	if s.f.view == nil {
		return false
	}
	run, end, sure := s.run, s.runEnd, s.sure
	ok := s.f.view.ViewVirt(addr, int(n*s.f.rules.size), func(b []byte) { s.pages(pfn, addr, b) })
	if !ok {
		s.run, s.runEnd, s.sure = run, end, sure
	}
	return ok
}

// pages classifies page frames whose struct pages are at a virtual address and in b.
func (s *scan) pages(pfn, addr uint64, b []byte) {
	r := &s.f.rules
	size := int(r.size)
	for at := 0; at < len(b); {
		if pfn < s.runEnd {
			n := s.rest(pfn, b[at:])
			pfn, at = pfn+uint64(n), at+n*size
			continue
		}
		class, order := s.page(pfn, addr+uint64(at), b[at:])
		s.classes[pfn-s.first] = class
		if class == Free && r.word64(b[at:], r.flags)&r.hwpoison != 0 {
			s.classes[pfn-s.first] = HWPoison // it alone
		}
		if order > 0 {
			s.run, s.runEnd = class, min(pfn+1<<order, s.first+uint64(len(s.classes)))
			s.sure = s.left[class] && (class != Free || r.undivided(order, b[at:]))
		}
		pfn, at = pfn+1, at+size
	}
}

// rest classifies page frames of the current run, as many as b has, but stops at one that
// can't belong to it.
func (s *scan) rest(pfn uint64, b []byte) int {
	r := &s.f.rules
	size := int(r.size)
	n := min(s.runEnd-pfn, uint64(len(b)/size))
	out := s.classes[pfn-s.first:][:n]
	if s.sure {
		fill(out, s.run)
		return len(out)
	}
	checkCount := s.run == Free
	for i := range out {
		p := b[i*size : (i+1)*size]
		class := s.run
		if r.word64(p, r.flags)&r.hwpoison != 0 && s.run != Unaccepted {
			class = HWPoison
		} else if checkCount && r.int32(p, r.refcount) != 0 {
			// In use, whatever the block's first page says.
			s.endRun()
			return i
		}
		out[i] = class
	}
	return len(out)
}

// undivided reports whether a free block of an order, whose struct pages are in b, has not been divided: the allocator
// takes what it needs from the front of a block and makes free blocks of the halves behind it (mm/page_alloc.c,
// expand), so it looks at the first page of each of these.
func (r *rules) undivided(order uint, b []byte) bool {
	for i := range order {
		at := int(r.size) << i
		if at+int(r.size) > len(b) || r.int32(b[at:], r.refcount) != 0 || r.mapcount != missing && r.buddy.is(r.int32(b[at:], r.mapcount)) {
			return false
		}
	}
	return true
}

// fill makes all of out the same.
func fill(out []Class, c Class) {
	if len(out) == 0 {
		return
	}
	out[0] = c
	for n := 1; n < len(out); n *= 2 {
		copy(out[n:], out[:n])
	}
}

// page classifies the first page frame in b, whose struct page is at addr, and returns the
// order of the compound page or free block that begins with it. The tests and their order are
// those of makedumpfile (__exclude_unnecessary_pages); a class that only a test for
// another level would find comes first there as well.
func (s *scan) page(pfn, addr uint64, b []byte) (Class, uint) {
	r := &s.f.rules
	flags := r.word64(b, r.flags)
	if flags == r.poisoned() {
		return Kept, 0 // never initialised (PAGE_POISON_PATTERN)
	}
	damaged := flags&r.hwpoison != 0
	if r.compound != missing {
		if info := r.word64(b, r.compound); info&1 != 0 {
			if damaged {
				return HWPoison, 0
			}
			return s.tail(pfn, addr, info), 0
		}
	}
	mapcount := int32(-1)
	if r.mapcount != missing {
		mapcount = r.int32(b, r.mapcount)
	}
	if r.buddy.is(mapcount) || flags&r.buddyFlag != 0 {
		return s.free(pfn, b, damaged)
	}
	if r.unaccepted.is(mapcount) {
		if order := uint(r.orders - 1); r.orders > 0 && pfn&(1<<order-1) == 0 {
			return Unaccepted, order
		}
		return Kept, 0
	}
	order, hugetlb := s.compound(pfn, addr, flags, mapcount, b)
	switch {
	case damaged:
		return HWPoison, order
	case r.offline.is(mapcount):
		return Offline, order
	case hugetlb:
		// Its page cache is not on the LRU list, so it is user memory.
	case flags&r.slabFlag != 0 || mapcount < mapcountTyped:
		return Kept, order
	}
	if r.mapping == missing {
		return Kept, order
	}
	switch anon := r.word64(b, r.mapping)&mappingAnon != 0; {
	case anon:
		return User, order
	case flags&r.lru != 0 || flags&r.swapCache != 0 && flags&r.swapBacked == r.swapBacked:
		if flags&r.privateFlag != 0 || r.privateFlag == ^uint64(0) {
			return PrivateCache, order
		}
		return Cache, order
	case hugetlb:
		return User, order
	}
	return Kept, order
}

// free is page for the first page of a free block.
func (s *scan) free(pfn uint64, b []byte, damaged bool) (Class, uint) {
	r := &s.f.rules
	order := r.word64(b, r.private)
	if order >= r.orders || pfn&(1<<order-1) != 0 || r.int32(b, r.refcount) != 0 {
		if damaged {
			return HWPoison, 0
		}
		return Kept, 0
	}
	return Free, uint(order)
}

// compound returns the order of the compound page that begins with the first struct page
// of b: 0 where that is none, or where its first tail page doesn't say so.
func (s *scan) compound(pfn, addr, flags uint64, mapcount int32, b []byte) (order uint, hugetlb bool) {
	r := &s.f.rules
	size := int(r.size)
	if flags&r.head == 0 || len(b) < 2*size {
		return 0, false
	}
	tail := b[size : 2*size]
	if r.compound == missing || r.headOf(addr+r.size, r.word64(tail, r.compound)) != addr {
		return 0, false
	}
	tailFlags := r.word64(tail, r.flags)
	switch {
	case r.hugetlb.known:
		hugetlb = r.hugetlb.is(mapcount)
	case r.hugetlbFlag != 0:
		hugetlb = tailFlags&r.hugetlbFlag != 0
	case r.dtorAt != missing:
		hugetlb = r.small(tail, r.dtorAt, r.dtorSize) == r.dtor
	}
	n := uint64(0)
	switch r.orderKind {
	case orderFlags:
		n = tailFlags & 0xff
	case orderByte:
		n = r.small(tail, r.compoundAt, 1)
	case orderShort:
		n = r.small(tail, r.compoundAt, 2)
	}
	if n > maxOrder || pfn&(1<<n-1) != 0 {
		return 0, hugetlb
	}
	return uint(n), hugetlb
}

// tail classifies a tail page that is in no run: its head's order is not known, or the head
// is no memory of this window. It has the class of its head, where that can be found.
func (s *scan) tail(pfn, addr, info uint64) Class {
	r := &s.f.rules
	head := r.headOf(addr, info)
	if head >= addr || r.orderKind != orderUnknown {
		return Kept
	}
	n := (addr - head) / r.size
	if n*r.size != addr-head || n > pfn-s.first || bits.Len64(n) > maxOrder {
		return Kept
	}
	if at, _, ok := s.f.pages.find(pfn - n); !ok || at != head {
		return Kept
	}
	switch class := s.classes[pfn-n-s.first]; class {
	case Cache, PrivateCache, User, HWPoison, Offline:
		return class
	}
	return Kept
}

// headOf returns the address of the head's struct page, given the compound_head or
// compound_info of the tail's at addr; 0 where it is no tail. Since 7.1 and where a struct page
// has a power of two of bytes, it may be a mask that gives the head's address when applied to
// the tail's (include/linux/page-flags.h, set_compound_tail).
func (r *rules) headOf(addr, info uint64) uint64 {
	if info&1 == 0 {
		return 0
	}
	info &^= 1
	if r.compoundMask {
		ones := ^info << 1 >> 1 // 0 but for low bits where info is a mask
		if r.word == 4 {
			ones = uint64(^uint32(info) << 1 >> 1)
		}
		if low := bits.Len64(ones); ones&(ones+1) == 0 && 1<<low >= r.size && 1<<low <= r.size<<maxOrder {
			return addr & info
		}
	}
	return info
}

// poisoned is the flags of a struct page that was never initialised.
func (r *rules) poisoned() uint64 {
	if r.word == 4 {
		return 1<<32 - 1
	}
	return ^uint64(0)
}

// word64 decodes an unsigned long of a struct page. It and int32 are inlined for most kernels.
func (r *rules) word64(b []byte, at int) uint64 {
	if r.fast {
		return binary.LittleEndian.Uint64(b[at:])
	}
	return r.slowWord64(b[at:])
}

func (r *rules) slowWord64(b []byte) uint64 {
	if r.word == 4 {
		return uint64(r.order.Uint32(b))
	}
	return r.order.Uint64(b)
}

func (r *rules) int32(b []byte, at int) int32 {
	if r.fast {
		return int32(binary.LittleEndian.Uint32(b[at:]))
	}
	return r.slowInt32(b[at:])
}

func (r *rules) slowInt32(b []byte) int32 { return int32(r.order.Uint32(b)) }

// small decodes an unsigned integer of one or two bytes.
func (r *rules) small(b []byte, at, size int) uint64 {
	if size == 2 {
		return uint64(r.order.Uint16(b[at:]))
	}
	return uint64(b[at])
}
