package vmcore

import (
	"encoding/binary"
	"math/bits"
)

// tablesLoongArch are those of loong64 with pages of 16 KiB and 3 levels, as the default configuration has them
// (arch/loongarch/include/asm/pgtable.h, pgtable-bits.h). Tables point to tables by virtual addresses.
func tablesLoongArch(v *VMCoreInfo) *pageTables {
	const (
		huge    = 1 << 6 // an entry above the last level maps a page
		present = 1 << 7
		address = 1<<48 - 1
	)
	if v.PageSize != 1<<14 {
		return nil
	}
	t := &pageTables{symbols: []string{"swapper_pg_dir"}, page: 14, index: 11, levels: 3, bits: 47}
	t.above = ^uint64(0) >> t.bits
	t.decode = func(e uint64, level int) (phys uint64, size uint, ok bool) {
		switch {
		case level == 0 || e&huge != 0:
			return e & (address &^ (1<<14 - 1)), t.shift(level), e&present != 0 && level < 2
		case e == 0:
			return 0, 0, false
		}
		return e & address, 0, true
	}
	return t
}

// tablesPPC64 are those of the radix MMU of ppc64 (Power ISA 3.0, book III, 5.7.10; arch/powerpc/include/asm/book3s/64/
// radix.h): 52 bits, pages of 4 and 64 KiB. Entries are big-endian on any machine. The hash MMU has no such tables.
func tablesPPC64(v *VMCoreInfo) *pageTables {
	const (
		present = 1 << 63
		leaf    = 1 << 62
		page    = 0x01fffffffffff000
		table   = 0x0fffffffffffff00
	)
	if n, ok := v.Number("RADIX_MMU"); !ok || n != 1 || v.PageSize != 1<<12 && v.PageSize != 1<<16 {
		return nil
	}
	t := &pageTables{symbols: []string{"swapper_pg_dir"}, page: uint(bits.TrailingZeros64(v.PageSize)), index: 9, first: 9, levels: 4, bits: 52, above: 0xc00}
	if t.page == 16 {
		t.first = 5
	}
	t.order = binary.BigEndian
	t.decode = func(e uint64, level int) (phys uint64, size uint, ok bool) {
		switch {
		case e&present == 0:
			return 0, 0, false
		case level == 0 || e&leaf != 0:
			return e & page, t.shift(level), level < 3
		}
		return e & table, 0, true
	}
	return t
}

// tablesS390 are those of s390x (z/Architecture Principles of Operation, "Dynamic Address Translation";
// arch/s390/include/asm/pgtable.h): segment tables of 1 MiB entries below region tables, two or three of them.
func tablesS390(v *VMCoreInfo) *pageTables {
	const (
		invalid     = 1 << 5 // of tables
		pageInvalid = 1 << 10
		large       = 1 << 10 // this entry maps a large page
		kind        = 3 << 2
		region2     = 2 << 2
		region3     = 1 << 2
	)
	t := &pageTables{symbols: []string{"swapper_pg_dir"}, page: 12, index: 11, first: 8, levels: 3, bits: 42}
	t.settle = func(e uint64) bool {
		switch e & kind {
		case region3:
			return true
		case region2:
			t.levels, t.bits = 4, 53
			return true
		}
		return false
	}
	t.decode = func(e uint64, level int) (phys uint64, size uint, ok bool) {
		switch {
		case e == 0: // each entry that is used has a bit of its kind
			return 0, 0, false
		case level == 0:
			return e &^ (1<<12 - 1), t.shift(0), e&pageInvalid == 0
		case e&invalid != 0:
			return 0, 0, false
		case level <= 2 && e&large != 0:
			return e &^ (1<<t.shift(level) - 1), t.shift(level), true
		case level == 1:
			return e &^ (1<<11 - 1), 0, true
		}
		return e &^ (1<<12 - 1), 0, true
	}
	return t
}
