package pagefilter

import (
	"encoding/binary"
	"fmt"

	"github.com/gokexec/gokexec/pkg/vmcore"
)

// missing is an offset or bit that VMCOREINFO doesn't have.
const missing = -1

// orderKind is where the first tail page of a compound page says how large it is.
type orderKind uint8

const (
	orderUnknown orderKind = iota
	orderFlags             // the low byte of its flags: 6.6 and later
	orderByte              // a member of one byte
	orderShort             // a member of two bytes: before 4.16
)

// rules say how a struct page is read: what VMCOREINFO has of struct page and the page flags
// (include/linux/mm_types.h, include/linux/page-flags.h, kernel/vmcore_info.c).
type rules struct {
	order binary.ByteOrder
	word  int
	fast  bool   // little-endian, 64 bits
	size  uint64 // of a struct page in bytes

	// Offsets into a struct page.
	flags, refcount, mapping, mapcount, private, compound int

	compoundMask bool // compound_info: tail pages may have a mask instead of a pointer

	// Masks of flags; 0: the kernel doesn't say, or doesn't have it.
	lru, privateFlag, swapCache, swapBacked, slabFlag, hwpoison, head, buddyFlag uint64

	// Page types, values of _mapcount; has tells which are known.
	buddy, slab, hugetlb, offline, unaccepted pageType

	orders     uint64 // LENGTH(zone.free_area): a free block's order is less; 0: unknown
	compoundAt int    // offset of the order within the first tail page
	orderKind  orderKind

	// A hugetlb page before 6.9: a flag of the first tail page, or an identifier of its destructor there.
	hugetlbFlag uint64
	dtorAt      int
	dtor        uint64
	dtorSize    int

	unknown []Refusal
}

// pageType is a value of _mapcount that says what a page is.
type pageType struct {
	value int32
	known bool
}

func (t pageType) is(mapcount int32) bool { return t.known && t.value == mapcount }

// newRules reads the rules. The error is for a VMCOREINFO without which no page can be told.
func newRules(p vmcore.Platform, v *vmcore.VMCoreInfo) (rules, error) {
	r := rules{order: p.Order, word: p.Word}
	if p.Order == nil || p.Word != 4 && p.Word != 8 {
		return r, fmt.Errorf("a platform with words of %d bytes", p.Word)
	}
	r.fast = p.Word == 8 && p.Order == binary.ByteOrder(binary.LittleEndian)
	l := vmcore.Layout{Info: v}
	r.size = l.Size("page")
	flags := l.Offset("page.flags")
	l.Fits("page.flags", flags, uint64(p.Word), r.size)
	if l.Err != nil {
		return r, l.Err
	}
	if r.size < 32 || r.size > 512 || r.size%4 != 0 {
		return r, fmt.Errorf("VMCOREINFO: SIZE(page) is %d; want a multiple of 4 from 32 to 512", r.size)
	}
	r.flags = int(flags)
	r.readOffsets(v)
	r.readFlags(v)
	r.readCompound(v)
	r.refuse()
	return r, nil
}

// offset returns the offset of the first of members that struct page has, with n bytes inside it.
func (r *rules) offset(v *vmcore.VMCoreInfo, n int, members ...string) int {
	for _, m := range members {
		if off, ok := v.Offset("page." + m); ok && off <= r.size-uint64(n) {
			return int(off)
		}
	}
	return missing
}

func (r *rules) readOffsets(v *vmcore.VMCoreInfo) {
	r.refcount = r.offset(v, 4, "_refcount", "_count")
	r.mapping = r.offset(v, r.word, "mapping")
	r.mapcount = r.offset(v, 4, "_mapcount")
	r.private = r.offset(v, r.word, "private")
	r.compound = r.offset(v, r.word, "compound_head")
	if r.compound == missing {
		r.compound = r.offset(v, r.word, "compound_info") // 7.1
		r.compoundMask = r.compound != missing && r.size&(r.size-1) == 0
	}
	r.orders, _ = v.Length("zone.free_area")
	if r.orders > maxOrder+1 {
		r.orders = 0
	}
}

// bit returns the mask of the page flag with the NUMBER name.
func (r *rules) bit(v *vmcore.VMCoreInfo, name string) uint64 {
	n, ok := v.Number(name)
	if !ok || n < 0 || n >= int64(8*r.word) {
		return 0
	}
	return 1 << n
}

func (r *rules) readFlags(v *vmcore.VMCoreInfo) {
	r.lru = r.bit(v, "PG_lru")
	r.privateFlag = r.bit(v, "PG_private")
	r.swapCache = r.bit(v, "PG_swapcache")
	r.swapBacked = r.bit(v, "PG_swapbacked")
	if version, known := kernelVersion(v.OSRelease); r.swapBacked == 0 && (!known || version >= kernel(4, 10)) {
		r.swapCache = 0 // since 4.10 the bit has that meaning with PG_swapbacked only
	}
	r.slabFlag = r.bit(v, "PG_slab")
	r.hwpoison = r.bit(v, "PG_hwpoison")
	r.buddyFlag = r.bit(v, "PG_buddy")
	if n, ok := v.Number("PG_head_mask"); ok {
		r.head = uint64(n)
	}
	for _, t := range []struct {
		to   *pageType
		name string
	}{
		{&r.buddy, "PAGE_BUDDY_MAPCOUNT_VALUE"}, {&r.slab, "PAGE_SLAB_MAPCOUNT_VALUE"},
		{&r.hugetlb, "PAGE_HUGETLB_MAPCOUNT_VALUE"}, {&r.offline, "PAGE_OFFLINE_MAPCOUNT_VALUE"},
		{&r.unaccepted, "PAGE_UNACCEPTED_MAPCOUNT_VALUE"},
	} {
		// Printed as a long: 0xf0000000 and -268435456 are the same int.
		if n, ok := v.Number(t.name); ok && n >= -1<<31 && n < 1<<32 && int32(n) != -1 {
			*t.to = pageType{int32(n), r.mapcount != missing}
		}
	}
}

// readCompound finds out how the kernel keeps the order of a compound page and that it is one of
// hugetlb, as the comments at orderKind and rules say.
func (r *rules) readCompound(v *vmcore.VMCoreInfo) {
	r.compoundAt, r.dtorAt = missing, missing
	version, known := kernelVersion(v.OSRelease)
	r.hugetlbFlag = r.bit(v, "PG_hugetlb")
	if r.hugetlb.known || r.hugetlbFlag != 0 {
		r.orderKind = orderFlags
		return
	}
	// 6.3 names the members of struct folio, of which the first tail page is the second part.
	member := func(folio, page string) int {
		if off, ok := v.Offset("folio." + folio); ok && off >= r.size && off <= 2*r.size-4 {
			return int(off - r.size)
		}
		return r.offset(v, 4, page)
	}
	r.compoundAt = member("_folio_order", "compound_order")
	if r.compoundAt != missing {
		r.orderKind = orderByte
		if known && version < kernel(4, 16) {
			r.orderKind = orderShort
		}
	} else if known && version >= kernel(6, 6) {
		r.orderKind = orderFlags // a kernel without hugetlb
	}
	if n, ok := v.Number("HUGETLB_PAGE_DTOR"); ok && n >= 0 {
		r.dtorAt, r.dtor, r.dtorSize = member("_folio_dtor", "compound_dtor"), uint64(n), 1
		if known && version < kernel(4, 16) {
			r.dtorSize = 2
		}
	}
}

// Refusal is a class whose pages are kept at every level, and why.
type Refusal struct {
	Class  Class
	Reason string
}

// refuse lists the classes that can't be told, and makes sure that they are not.
func (r *rules) refuse() {
	add := func(reason string, classes ...Class) {
		for _, c := range classes {
			r.unknown = append(r.unknown, Refusal{c, "VMCOREINFO does not tell: " + reason})
		}
	}
	switch {
	case r.private == missing:
		add("OFFSET(page.private)", Free)
	case r.refcount == missing:
		add("OFFSET(page._refcount)", Free)
	case r.orders == 0:
		add("LENGTH(zone.free_area)", Free)
	case r.mapcount == missing && r.buddyFlag == 0:
		add("OFFSET(page._mapcount)", Free)
	case !r.buddy.known && r.buddyFlag == 0:
		add("NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)", Free)
	}
	switch {
	case r.mapping == missing:
		add("OFFSET(page.mapping)", Cache, PrivateCache, User)
	case r.mapcount == missing:
		add("OFFSET(page._mapcount)", Cache, PrivateCache, User)
	case r.compound == missing:
		add("OFFSET(page.compound_head)", Cache, PrivateCache, User)
	case r.lru == 0:
		add("NUMBER(PG_lru)", Cache, PrivateCache)
	}
	for _, u := range r.unknown {
		switch u.Class {
		case Free:
			r.buddy.known, r.buddyFlag, r.unaccepted.known = false, 0, false
		case User:
			r.mapping, r.lru, r.swapCache, r.hugetlb.known = missing, 0, 0, false
		case Cache:
			r.lru, r.swapCache = 0, 0
		}
	}
	if r.privateFlag == 0 && r.lru != 0 {
		// Without it no page cache can be told from that with private data, so all of it is.
		r.privateFlag = ^uint64(0)
	}
}

// version is a kernel version that compares as a number: 6.12 is 6<<16 | 12.
type version uint32

func kernel(major, minor uint32) version { return version(major<<16 | minor) }

// kernelVersion reads the first two numbers of a kernel release.
func kernelVersion(release string) (version, bool) {
	var major, minor uint32
	if n, _ := fmt.Sscanf(release, "%d.%d", &major, &minor); n < 2 || major > 0xffff || minor > 0xffff {
		return 0, false
	}
	return kernel(major, minor), true
}
