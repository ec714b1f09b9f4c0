package dumptest

import (
	"debug/elf"
	"fmt"
)

// Paging is how a kind of machine maps its memory.
type Paging struct {
	Name    string
	Machine elf.Machine
	Page    uint // log2 of the page size in bytes
	Bits    uint // of a virtual address
	Levels  int
	Section uint // SECTION_SIZE_BITS
	Phys    uint // MAX_PHYSMEM_BITS

	RAM       uint64 // physical address of the first memory
	ImagePhys uint64 // of _stext
	ImageVirt uint64
	Vmemmap   uint64 // where the struct page of page frame 0 would be mapped
	Direct    uint64 // where RAM is mapped

	table, leaf func(phys uint64, level int) uint64
	largest     int // level of the largest entry that maps memory
	describe    func(m *Machine)
}

// X86Paging is x86_64 with 4 or 5 levels; sme is the encryption bit, or 0.
func X86Paging(levels int, sme uint64) Paging {
	p := Paging{
		Name: fmt.Sprintf("x86_64, %d levels, sme_mask %#x", levels, sme), Machine: elf.EM_X86_64, Page: 12, Bits: 48 + 9*uint(levels-4), Levels: levels,
		Section: 27, Phys: 46, RAM: 0, ImagePhys: 16 << 20, ImageVirt: 0xffffffff81000000,
		Vmemmap: 0xffffea0000000000, Direct: 0xffff888000000000, largest: 2,
		table: func(phys uint64, _ int) uint64 { return phys | sme | 0x63 },
		leaf: func(phys uint64, level int) uint64 {
			if level > 0 {
				phys |= 0x80
			}
			return phys | sme | 0x63
		},
		describe: func(m *Machine) {
			m.Line("NUMBER(phys_base)=0\nNUMBER(KERNEL_IMAGE_SIZE)=1073741824\nNUMBER(sme_mask)=%d", sme)
			m.Line("NUMBER(pgtable_l5_enabled)=%d", levels-4)
			m.Symbol("init_top_pgt", m.Virt(m.root))
		},
	}
	if levels == 5 {
		p.Phys, p.Vmemmap, p.Direct = 52, 0xffd4000000000000, 0xff11000000000000
	}
	return p
}

// ARM64Paging is arm64 with a page size and 48 bits.
func ARM64Paging(page uint) Paging {
	p := Paging{
		Name: fmt.Sprintf("arm64, pages of %d KiB", 1<<page>>10), Machine: elf.EM_AARCH64, Page: page, Bits: 48,
		Section: 27, Phys: 48, RAM: 0x40000000, ImagePhys: 0x40210000, ImageVirt: 0xffff800080010000,
		Vmemmap: 0xfffffdffc0000000, Direct: 0xffff000000000000, largest: 1,
		table: func(phys uint64, _ int) uint64 { return phys | 3 },
		leaf: func(phys uint64, level int) uint64 {
			if level > 0 {
				return phys | 0x0060000000000701
			}
			return phys | 0x0060000000000703
		},
		describe: func(m *Machine) {
			m.Line("NUMBER(VA_BITS)=48\nNUMBER(TCR_EL1_T1SZ)=0x10\nNUMBER(PHYS_OFFSET)=0x40000000\nNUMBER(kimage_voffset)=%#x", m.ImageVirt-m.ImagePhys)
			m.Symbol("swapper_pg_dir", m.Virt(m.root))
		},
	}
	index := page - 3
	p.Levels = int((48 - page + index - 1) / index)
	if page == 16 {
		p.Section = 29
	}
	return p
}

// RISCVPaging is riscv64 with Sv39, Sv48 or Sv57.
func RISCVPaging(bits uint) Paging {
	p := Paging{
		Name: fmt.Sprintf("riscv64, Sv%d", bits), Machine: elf.EM_RISCV, Page: 12, Bits: bits, Levels: int(bits-12) / 9,
		Section: 27, Phys: 56, RAM: 0x80000000, ImagePhys: 0x80200000, ImageVirt: 0xffffffff80000000,
		largest: 2,
		table:   func(phys uint64, _ int) uint64 { return phys>>12<<10 | 1 },
		leaf:    func(phys uint64, _ int) uint64 { return phys>>12<<10 | 0xe7 },
		describe: func(m *Machine) {
			m.Line("NUMBER(VA_BITS)=%d\nNUMBER(PAGE_OFFSET)=%#x\nNUMBER(phys_ram_base)=%#x", bits, m.Direct, m.RAM)
			m.Line("NUMBER(KERNEL_LINK_ADDR)=%#x\nNUMBER(va_kernel_pa_offset)=%#x", m.ImageVirt, m.ImageVirt-m.ImagePhys)
			m.Symbol("swapper_pg_dir", m.Virt(m.root))
		},
	}
	p.Direct = -(uint64(1) << (bits - 1)) + 1<<(bits-2)
	p.Vmemmap = -(uint64(1) << (bits - 1)) + 1<<(bits-3)
	return p
}

// Pagings has each kind of machine that the page tables are known of.
func Pagings() []Paging {
	return []Paging{
		X86Paging(4, 0), X86Paging(4, 1<<47), X86Paging(5, 0), ARM64Paging(12), ARM64Paging(14), ARM64Paging(16),
		RISCVPaging(39), RISCVPaging(48), RISCVPaging(57),
	}
}

// Map maps size bytes, rounded up to whole pages, with the largest entries that fit.
func (m *Machine) Map(virt, phys, size uint64) {
	index := m.Page - 3
	shift := func(level int) uint { return m.Page + index*uint(level) }
	virt &= 1<<m.Bits - 1
	for at := uint64(0); at < size; {
		level := m.largest
		for ; level > 0; level-- {
			if n := uint64(1) << shift(level); (virt+at)%n == 0 && (phys+at)%n == 0 && size-at >= n {
				break
			}
		}
		table := m.root
		for l := m.Levels - 1; l > level; l-- {
			slot := table + 8*((virt+at)>>shift(l)&(1<<index-1))
			if m.Get(slot) == 0 {
				m.Put(slot, 8, m.table(m.newTable(), l))
			}
			table = m.tableAt(slot)
		}
		m.Put(table+8*((virt+at)>>shift(level)&(1<<index-1)), 8, m.leaf(phys+at, level))
		at += 1 << shift(level)
	}
}

// newTable returns the physical address of an empty table.
func (m *Machine) newTable() uint64 {
	if m.TablesAt == 0 {
		return m.Alloc(1<<m.Page, 1<<m.Page)
	}
	m.TablesAt += 1 << m.Page
	return m.TablesAt - 1<<m.Page
}

// tableAt is the physical address of the table that an entry leads to.
func (m *Machine) tableAt(slot uint64) uint64 {
	e := m.Get(slot)
	if m.Machine == elf.EM_RISCV {
		return e >> 10 << 12
	}
	return e & (1<<46 - 1) &^ (1<<m.Page - 1)
}
