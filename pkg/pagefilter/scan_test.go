package pagefilter

import (
	"debug/elf"
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/gokexec/gokexec/pkg/vmcore"
)

// Struct pages of each word size and byte order are decoded alike.
func TestWordsAndOrders(t *testing.T) {
	const lru, head, private, swapBacked, hwpoison = 4, 16, 13, 19, 22
	for _, word := range []int{4, 8} {
		for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
			// flags, lru (compound_head), mapping, index, private, _mapcount, _refcount
			at := func(i int) int { return i * word }
			size := 7*word + 4
			if word == 8 {
				size = 64
			}
			mapcount := at(6)
			info, err := vmcore.ParseVMCoreInfo(fmt.Appendf(nil, `OSRELEASE=6.1.0
SIZE(page)=%d
OFFSET(page.flags)=0
OFFSET(page.compound_head)=%d
OFFSET(page.mapping)=%d
OFFSET(page.private)=%d
OFFSET(page._mapcount)=%d
OFFSET(page._refcount)=%d
OFFSET(page.compound_order)=%d
LENGTH(zone.free_area)=11
NUMBER(PG_lru)=%d
NUMBER(PG_private)=%d
NUMBER(PG_swapbacked)=%d
NUMBER(PG_hwpoison)=%d
NUMBER(PG_head_mask)=%d
NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)=-129
NUMBER(PAGE_OFFLINE_MAPCOUNT_VALUE)=4294967039
`, size, at(1), at(3), at(5), mapcount, mapcount+4, at(2)+1, lru, private, swapBacked, hwpoison, 1<<head))
			if err != nil {
				t.Fatal(err)
			}
			r, err := newRules(vmcore.Platform{Machine: elf.EM_PPC64, Order: order, Word: word}, info)
			if err != nil || len(r.unknown) > 0 {
				t.Fatalf("newRules() = %v, unknown %v", err, r.unknown)
			}
			ulong := func(b []byte, v uint64) {
				if word == 4 {
					order.PutUint32(b, uint32(v))
				} else {
					order.PutUint64(b, v)
				}
			}
			for _, c := range []struct {
				name                    string
				flags, mapping, private uint64
				mapcount, refcount      int32
				compound                uint // order, of a compound page
				want                    Class
				order                   uint
			}{
				{"kernel", 0, 0, 0, -1, 1, 0, Kept, 0},
				{"free", 0, 0, 5, -129, 0, 0, Free, 5},
				{"free, in use", 0, 0, 5, -129, 1, 0, Kept, 0},
				{"free, order 11", 0, 0, 11, -129, 0, 0, Kept, 0},
				{"offline", 0, 0, 0, -257, 1, 0, Offline, 0},
				{"anonymous", 1<<lru | 1<<swapBacked, 0x1001, 0, 0, 1, 0, User, 0},
				{"anonymous, order 9", 1<<lru | 1<<swapBacked, 0x1001, 0, 0, 1, 9, User, 9},
				{"cache", 1 << lru, 0x1000, 0, -1, 2, 0, Cache, 0},
				{"private cache", 1<<lru | 1<<private, 0x1000, 7, -1, 2, 0, PrivateCache, 0},
				{"damaged", 1<<hwpoison | 1<<lru, 0x1000, 0, -1, 2, 0, HWPoison, 0},
			} {
				const addr = 0xc1000000
				b := make([]byte, 2*size)
				ulong(b, c.flags)
				ulong(b[at(3):], c.mapping)
				ulong(b[at(5):], c.private)
				order.PutUint32(b[mapcount:], uint32(c.mapcount))
				order.PutUint32(b[mapcount+4:], uint32(c.refcount))
				if c.compound > 0 {
					ulong(b, c.flags|1<<head)
					ulong(b[size+at(1):], addr|1)
					b[size+at(2)+1] = byte(c.compound)
				}
				s := &scan{f: &Filter{rules: r}}
				got, n := s.page(1<<12, addr, b)
				if got != c.want || n != c.order {
					t.Errorf("word %d, %v: %s: %v, order %d; want %v, order %d", word, order, c.name, got, n, c.want, c.order)
				}
			}
		}
	}
}

// Masks and pointers of compound_info (7.1) are told apart.
func TestHeadOf(t *testing.T) {
	r := &rules{word: 8, size: 64, compoundMask: true}
	const page = 0xffffea0000012340 &^ 63
	for _, c := range []struct{ info, want uint64 }{
		{0xffffffffffffff80 | 1, page &^ 127},
		{^uint64(64<<9-1) | 1, page &^ (64<<9 - 1)},
		{^uint64(64<<18-1) | 1, page &^ (64<<18 - 1)},
		{0xffffea0000012300 | 1, 0xffffea0000012300},
		{0xffffffc700000000 | 1, 0xffffffc700000000}, // riscv64 Sv39's vmemmap
		{0xfffffc0000000000 | 1, 0xfffffc0000000000}, // a pointer that has the form of a mask, but for an impossible order
		{0xffffffffffffff80, 0}, {0, 0},
	} {
		if got := r.headOf(page, c.info); got != c.want {
			t.Errorf("headOf(%#x) = %#x; want %#x", c.info, got, c.want)
		}
	}
	r.compoundMask = false
	if got := r.headOf(page, 0xffffffffffffff81); got != 0xffffffffffffff80 {
		t.Errorf("a pointer before 7.1 is read as a mask: %#x", got)
	}
}

func TestKernelVersion(t *testing.T) {
	for release, want := range map[string]version{
		"6.12.118+deb13-amd64": kernel(6, 12), "7.3-rc1": kernel(7, 3), "4.15": kernel(4, 15),
		"custom": 0, "": 0, "6": 0, "6.x": 0, "-1.2": 0, "99999999.1": 0,
	} {
		if got, ok := kernelVersion(release); got != want || ok != (want != 0) {
			t.Errorf("kernelVersion(%q) = %#x, %v; want %#x", release, got, ok, want)
		}
	}
}
