package vmcore

import (
	"encoding/binary"
	"math/bits"
)

// tablesX86 are those of x86_64 (Intel SDM volume 3, 4.5): 4-level and 5-level paging. With
// KASLR nothing exported says where the direct map is, so they alone tell.
func tablesX86(v *VMCoreInfo) *pageTables {
	const (
		present = 1 << 0
		large   = 1 << 7 // this entry maps a large page
		address = 0x000ffffffffff000
	)
	sme := numberOr(v, "sme_mask", 0) // the memory encryption bit of AMD SME
	t := &pageTables{symbols: []string{"init_top_pgt", "init_level4_pgt", "swapper_pg_dir"},
		page: 12, index: 9, levels: 4, signed: true}
	if n, ok := v.Number("pgtable_l5_enabled"); ok && n == 1 {
		t.levels = 5
	}
	t.bits = t.shift(t.levels)
	t.decode = func(e uint64, level int) (phys uint64, size uint, ok bool) {
		e &^= sme
		if e&present == 0 {
			return 0, 0, false
		}
		// 1 GiB is the largest page. Bit 12 of its entry is PAT, below the address.
		if level == 0 || e&large != 0 && level <= 2 {
			size = t.shift(level)
		}
		return e & address, size, true
	}
	return t
}

// tablesARM64 are those of arm64 (Arm ARM, D8.3): pages of 4, 16 and 64 KiB, 36 to 52 bits.
func tablesARM64(v *VMCoreInfo) *pageTables {
	const (
		valid = 1 << 0
		table = 1 << 1 // or, on the last level, a page
	)
	built, ok := v.Number("VA_BITS")
	if !ok || built < 36 || built > 52 || v.PageSize < 4096 || v.PageSize > 65536 || v.PageSize&(v.PageSize-1) != 0 {
		return nil
	}
	t := &pageTables{symbols: []string{"swapper_pg_dir"}, page: uint(bits.TrailingZeros64(v.PageSize))}
	t.index = t.page - 3
	t.bits = uint(arm64Bits(v, built))
	// Without LPA2 physical addresses beyond 48 bits only come with pages of 64 KiB.
	lpa2 := t.page < 16 && t.bits == 52
	if t.page == 16 {
		// A kernel for 52 bits keeps a top table for them on any machine
		// (arch/arm64/include/asm/assembler.h, offset_ttbr1).
		t.bits = uint(built)
	}
	t.levels = int((t.bits - t.page + t.index - 1) / t.index)
	t.above = ^uint64(0) >> t.bits
	mask := (uint64(1)<<48 - 1) &^ (v.PageSize - 1)
	t.decode = func(e uint64, level int) (phys uint64, size uint, ok bool) {
		if e&valid == 0 || level == 0 && e&table == 0 {
			return 0, 0, false
		}
		phys = e & mask
		switch {
		case lpa2:
			phys = e&((1<<50-1)&^(v.PageSize-1)) | e>>8&3<<50
		case t.page == 16:
			phys |= e >> 12 & 0xf << 48
		}
		if level == 0 || e&table == 0 {
			size = t.shift(level)
		}
		return phys, size, true
	}
	return t
}

// tablesRISCV are those of riscv64 (RISC-V privileged specification, 11.4 to 11.6 and Svnapot):
// Sv39, Sv48 and Sv57.
func tablesRISCV(v *VMCoreInfo) *pageTables {
	const (
		valid = 1 << 0
		leaf  = 7 << 1 // R, W, X
		napot = 1 << 63
	)
	t := &pageTables{symbols: []string{"swapper_pg_dir"}, page: 12, index: 9, signed: true}
	switch va, _ := v.Number("VA_BITS"); {
	case va == 39 || va == 48 || va == 57:
		t.bits = uint(va)
	default:
		// Older kernels do not export it; each mode has a direct map of its own
		// (Documentation/arch/riscv/vm-layout.rst).
		offset, ok := v.Number("PAGE_OFFSET")
		if !ok || offset >= 0 {
			return nil
		}
		t.bits = 39
		for t.bits < 57 && offset < -(1<<(t.bits-1)) {
			t.bits += 9
		}
	}
	t.levels = int(t.bits-t.page) / int(t.index)
	t.decode = func(e uint64, level int) (phys uint64, size uint, ok bool) {
		if e&valid == 0 {
			return 0, 0, false
		}
		number := e >> 10 & (1<<44 - 1)
		switch {
		case e&leaf == 0:
			return number << 12, 0, level > 0
		case e&napot != 0 && level == 0 && number != 0:
			// The lowest one bit of the page number tells the size.
			return number & (number - 1) << 12, t.page + 1 + uint(bits.TrailingZeros64(number)), true
		}
		return number << 12, t.shift(level), true
	}
	return t
}

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
