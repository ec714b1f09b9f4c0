package vmcore_test

import (
	"cmp"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/gokexec/gokexec/pkg/memmap"
	"github.com/gokexec/gokexec/pkg/vmcore"
)

// pages is physical memory by page of 4 KiB; what was never written is not in the dump.
type pages map[uint64]*[4096]byte

func (p pages) ReadPhysAt(b []byte, addr memmap.PhysAddr) (int, error) {
	for i := range b {
		page := p[(uint64(addr)+uint64(i))>>12]
		if page == nil {
			return i, fmt.Errorf("%v: %w", addr, vmcore.ErrNotInDump)
		}
		b[i] = page[(uint64(addr)+uint64(i))&4095]
	}
	return len(b), nil
}

func (p pages) put(order binary.ByteOrder, addr, value uint64) {
	if p[addr>>12] == nil {
		p[addr>>12] = new([4096]byte)
	}
	order.PutUint64(p[addr>>12][addr&4095:], value)
}

// paging is one layout of page tables, as the kernel that has it would set them up.
type paging struct {
	name    string
	machine elf.Machine
	info    string
	page    uint             // log2 of the page size
	index   uint             // bits of an index
	first   uint             // of one of level 0, if others
	order   binary.ByteOrder // of the entries; nil: little-endian
	virt    uint64           // a kernel address that no fixed mapping has; 0: by machine
	bits    uint             // of a virtual address
	levels  int
	physTop uint // physical addresses have fewer bits
	root    uint64
	top     uint64 // what an empty entry of the top table holds
	largest int    // level of the largest leaf, 0 being a page

	table func(phys uint64) uint64
	leaf  func(phys uint64, level int) uint64
}

const (
	rootPhys = 0x80400000
	riscvOf  = "SYMBOL(swapper_pg_dir)=ffffffff80400000\nNUMBER(KERNEL_LINK_ADDR)=0xffffffff80000000\nNUMBER(va_kernel_pa_offset)=0xffffffff00000000\n"
)

func armTable(phys uint64) uint64 { return phys | 3 }
func armLeaf(phys uint64, level int) uint64 {
	if level == 0 {
		return phys | 0x0060000000000703
	}
	return phys | 0x0060000000000701
}
func arm64High(phys uint64) uint64 { return phys&(1<<48-1) | phys>>48<<12 } // pages of 64 KiB
func armLPA2(phys uint64) uint64   { return phys&(1<<50-1) | phys>>50<<8 }
func riscvPTE(phys uint64) uint64  { return phys >> 12 << 10 }

func pagings() []paging {
	arm := func(name string, page uint, built, actual, bits uint, levels, largest int) paging {
		p := paging{name: "arm64 " + name, machine: elf.EM_AARCH64, page: page, index: page - 3, bits: bits, levels: levels, physTop: 48, largest: largest,
			table: armTable, leaf: armLeaf}
		// The image begins 2 GiB above the direct map of the fewest bits (arch/arm64/include/asm/memory.h).
		voffset := -(uint64(1) << (min(actual, 48) - 1))
		p.info = fmt.Sprintf("PAGESIZE=%d\nNUMBER(VA_BITS)=%d\nNUMBER(TCR_EL1_T1SZ)=%#x\nNUMBER(kimage_voffset)=%#x\nNUMBER(PHYS_OFFSET)=0x80000000\nSYMBOL(_stext)=%x\nSYMBOL(swapper_pg_dir)=%x\n",
			1<<page, built, 64-actual, voffset, voffset+0x80010000, voffset+rootPhys)
		return p
	}
	wide := func(p paging, pack func(uint64) uint64) paging {
		p.physTop = 52
		p.table = func(phys uint64) uint64 { return armTable(pack(phys)) }
		p.leaf = func(phys uint64, level int) uint64 {
			// With LPA2 the bits of the shareability are the address's.
			return armLeaf(0, level)&^0x300 | pack(phys)
		}
		return p
	}
	riscv := func(name string, bits uint, levels int, info string) paging {
		return paging{name: "riscv64 " + name, machine: elf.EM_RISCV, page: 12, index: 9, bits: bits, levels: levels, physTop: 56, largest: 2,
			info:  "PAGESIZE=4096\n" + info + riscvOf,
			table: func(phys uint64) uint64 { return riscvPTE(phys) | 1 },
			leaf:  func(phys uint64, _ int) uint64 { return riscvPTE(phys) | 0xe7 }}
	}
	x86 := func(name string, bits uint, levels int, sme uint64, info string) paging {
		return paging{name: "x86_64 " + name, machine: elf.EM_X86_64, page: 12, index: 9, bits: bits, levels: levels, physTop: 46, largest: 2,
			info:  "PAGESIZE=4096\nNUMBER(phys_base)=0\nSYMBOL(init_top_pgt)=ffffffff80400000\n" + info,
			root:  0x400000,
			table: func(phys uint64) uint64 { return phys | 0x63 | sme },
			leaf: func(phys uint64, level int) uint64 {
				if level == 0 {
					return phys | 0x63 | sme
				}
				return phys | 0x10e3 | sme // with the PAT bit
			}}
	}
	return []paging{
		x86("4 levels", 48, 4, 0, ""),
		x86("5 levels", 57, 5, 0, "NUMBER(pgtable_l5_enabled)=1\n"),
		x86("SME", 48, 4, 1<<47, "NUMBER(sme_mask)=140737488355328\n"),
		arm("4 KiB, 39 bits", 12, 39, 39, 39, 3, 1),
		arm("4 KiB, 48 bits", 12, 48, 48, 48, 4, 2),
		wide(arm("4 KiB, 52 bits, LPA2", 12, 52, 52, 52, 5, 2), armLPA2),
		arm("4 KiB, built for 52 bits, without LPA2", 12, 52, 48, 48, 4, 2),
		arm("16 KiB, 47 bits", 14, 47, 47, 47, 3, 1),
		arm("16 KiB, 48 bits", 14, 48, 48, 48, 4, 1),
		arm("16 KiB, built for 52 bits, without LPA2", 14, 52, 47, 47, 3, 1),
		wide(arm("16 KiB, 52 bits, LPA2", 14, 52, 52, 52, 4, 1), armLPA2),
		arm("64 KiB, 42 bits", 16, 42, 42, 42, 2, 1),
		arm("64 KiB, 48 bits", 16, 48, 48, 48, 3, 1),
		wide(arm("64 KiB, 52 bits", 16, 52, 52, 52, 3, 1), arm64High),
		wide(arm("64 KiB, built for 52 bits, 48 used", 16, 52, 48, 52, 3, 1), arm64High),
		riscv("Sv39", 39, 3, "NUMBER(VA_BITS)=39\n"),
		riscv("Sv48", 48, 4, "NUMBER(VA_BITS)=48\n"),
		riscv("Sv57", 57, 5, "NUMBER(VA_BITS)=57\n"),
		riscv("Sv39 by its direct map", 39, 3, "NUMBER(PAGE_OFFSET)=0xffffffd600000000\n"),
		riscv("Sv48 by its direct map", 48, 4, "NUMBER(PAGE_OFFSET)=0xffffaf8000000000\n"),
		riscv("Sv57 by its direct map", 57, 5, "NUMBER(PAGE_OFFSET)=0xff60000000000000\n"),
		{name: "loong64", machine: elf.EM_LOONGARCH, page: 14, index: 11, bits: 47, levels: 3, physTop: 48, largest: 1, virt: 0xffff800000000000,
			info:  "PAGESIZE=16384\nSYMBOL(swapper_pg_dir)=9000000080400000\n",
			table: func(phys uint64) uint64 { return 0x9000000000000000 | phys },
			leaf: func(phys uint64, level int) uint64 {
				if level == 0 {
					return phys | 0x3d1 // valid, cached, global, present, writable
				}
				return phys | 0x13d1 // and huge, where a page has global
			}},
		ppc("4 KiB", 12, 9), ppc("64 KiB", 16, 5),
		s390("3 levels", 42, 3, 1<<2|1<<5), s390("4 levels", 53, 4, 2<<2|1<<5),
	}
}

// ppc is ppc64le with the radix MMU, whose tables are big-endian.
func ppc(name string, page, first uint) paging {
	return paging{name: "ppc64le " + name, machine: elf.EM_PPC64, page: page, index: 9, first: first, bits: 52, levels: 4, physTop: 52, largest: 2, virt: 0xc008000000000000,
		order: binary.BigEndian,
		info:  fmt.Sprintf("PAGESIZE=%d\nNUMBER(RADIX_MMU)=1\nSYMBOL(swapper_pg_dir)=c000000080400000\n", 1<<page),
		table: func(phys uint64) uint64 { return 1<<63 | phys | 9 },
		leaf:  func(phys uint64, _ int) uint64 { return 3<<62 | phys | 0x18e }}
}

// s390 is s390x, whose tables say in each entry of which level they are.
func s390(name string, bits uint, levels int, top uint64) paging {
	return paging{name: "s390x " + name, machine: elf.EM_S390, page: 12, index: 11, first: 8, bits: bits, levels: levels, physTop: 46, largest: 2, virt: 1 << (bits - 1), root: rootPhys, top: top,
		order: binary.BigEndian,
		info:  "PAGESIZE=4096\nSYMBOL(swapper_pg_dir)=80400000\n",
		table: func(phys uint64) uint64 { return phys },
		leaf: func(phys uint64, level int) uint64 {
			if level == 0 {
				return phys | 0x11
			}
			return phys | 0x400
		}}
}

// shift is log2 of the bytes that an entry of a level covers.
func (p *paging) shift(level int) uint {
	if level > 0 && p.first != 0 {
		return p.page + p.first + p.index*uint(level-1)
	}
	return p.page + p.index*uint(level)
}

// entries is the byte order of the tables.
func (p *paging) entries() binary.ByteOrder {
	if p.order != nil {
		return p.order
	}
	return binary.LittleEndian
}

// kernelAddress is a random address of the kernel's half that no fixed mapping has.
func (p *paging) kernelAddress(r *rand.Rand) uint64 {
	switch {
	case p.virt != 0:
		return p.virt + r.Uint64N(1<<35)
	}
	switch p.machine {
	case elf.EM_AARCH64:
		// Behind the direct map and far from the image.
		return ^uint64(0) - 1<<34 - r.Uint64N(1<<35)
	case elf.EM_RISCV:
		return -(uint64(1) << (p.bits - 1)) + r.Uint64N(1<<30)
	}
	return -(uint64(1) << (p.bits - 1)) + r.Uint64N(1<<(p.bits-2))
}

// TestPageTables maps random pages of every size and asks for addresses in them.
func TestPageTables(t *testing.T) {
	for _, p := range pagings() {
		t.Run(p.name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, uint64(p.bits)))
			mem, next := pages{}, uint64(0x90000000)
			root := uint64(rootPhys)
			if p.root != 0 {
				root = p.root
			}
			order := p.entries()
			empty := func(slot uint64) bool {
				e := uint64(0)
				if page := mem[slot>>12]; page != nil {
					e = order.Uint64(page[slot&4095:])
				}
				return e == 0 || p.top != 0 && e == p.top
			}
			mem.put(order, root, p.top)
			tables := map[[2]uint64]uint64{} // level and prefix of the address to the table below
			type mapping struct {
				virt, phys uint64
				size       uint
			}
			var mapped []mapping
			for range 400 {
				level := r.IntN(p.largest + 1)
				size := p.shift(level)
				virt := p.kernelAddress(r) &^ (1<<size - 1)
				phys := r.Uint64N(1<<p.physTop) &^ (1<<size - 1)
				at, free := root, true
				for l := p.levels - 1; l > level; l-- {
					shift := p.shift(l)
					slot := at + 8*p.slot(virt, l)
					key := [2]uint64{uint64(l), virt >> shift}
					below, ok := tables[key]
					if !ok {
						if !empty(slot) {
							free = false // a larger page is there
							break
						}
						below = next
						next += max(uint64(1)<<p.page, uint64(8)<<p.index)
						for b := below; b < next; b += 4096 {
							mem.put(order, b, 0)
						}
						tables[key] = below
						mem.put(order, slot, p.table(below))
					}
					at = below
				}
				slot := at + 8*p.slot(virt, level)
				if !free || !empty(slot) {
					continue
				}
				mem.put(order, slot, p.leaf(phys, level))
				mapped = append(mapped, mapping{virt, phys, size})
			}
			if len(mapped) < 100 {
				t.Fatalf("only %d mappings", len(mapped))
			}
			made := []memmap.PhysAddr{memmap.PhysAddr(root)}
			for _, at := range tables {
				made = append(made, memmap.PhysAddr(at))
			}
			info, err := vmcore.ParseVMCoreInfo([]byte(p.info))
			if err != nil {
				t.Fatal(err)
			}
			a := vmcore.NewAddressSpace(vmcore.Platform{Machine: p.machine, Order: p.machineOrder(), Word: 8}, info, mem, vmcore.Hints{})
			for _, m := range mapped {
				off := r.Uint64N(1 << m.size)
				phys, run, err := a.Translate(m.virt + off)
				if err != nil || uint64(phys) != m.phys+off || run != 1<<m.size-off {
					t.Fatalf("Translate(%#x) = %v, %#x, %v; want %#x, %#x", m.virt+off, phys, run, err, m.phys+off, 1<<m.size-off)
				}
			}
			found := a.KernelTables(1 << 20)
			if part := a.KernelTables(len(made) / 2); !slices.Equal(part, found[:len(made)/2]) {
				t.Errorf("KernelTables() with a bound = %v; want the first of %v", part, found)
			}
			slices.Sort(found)
			slices.Sort(made)
			if !slices.Equal(found, made) {
				t.Errorf("KernelTables() = %v; want %v", found, made)
			}
			slices.SortFunc(mapped, func(x, y mapping) int { return cmp.Compare(x.virt, y.virt) })
			last := mapped[len(mapped)-1]
			i := 0
			for m := range a.Mappings(mapped[0].virt, last.virt+1<<last.size-1) {
				if want := mapped[i]; m.Virt != want.virt || uint64(m.Phys) != want.phys || m.Size != 1<<want.size {
					t.Fatalf("Mappings(): number %d is %+v; want %+v", i, m, want)
				}
				if got, want := len(a.Tables(m.Virt)), p.levels-p.level(mapped[i].size); got != want || a.Tables(m.Virt)[0] != memmap.PhysAddr(root) {
					t.Fatalf("Tables(%#x) = %v; want %d from %#x on", m.Virt, a.Tables(m.Virt), want, root)
				}
				i++
			}
			if i != len(mapped) {
				t.Errorf("Mappings() yields %d; want %d", i, len(mapped))
			}
			for m := range a.Mappings(last.virt+1, last.virt+4096) { // a part of a page
				if m.Virt != last.virt+1 || uint64(m.Phys) != last.phys+1 || m.Size > 4096 {
					t.Errorf("Mappings() from the middle on = %+v of %+v", m, last)
				}
			}
			for range 100 {
				virt := p.kernelAddress(r)
				inside := false
				for _, m := range mapped {
					inside = inside || virt-m.virt < 1<<m.size
				}
				// On s390x the identity mapping has all that the tables do not have.
				if phys, _, err := a.Translate(virt); p.machine != elf.EM_S390 && !inside && !errors.Is(err, vmcore.ErrNotInDump) {
					t.Errorf("Translate(%#x), which is not mapped, = %v, %v; want ErrNotInDump", virt, phys, err)
				}
			}
			if p.bits < 57 {
				if phys, _, err := a.Translate(1 << 60); !errors.Is(err, vmcore.ErrNotInDump) {
					t.Errorf("Translate of an address that is not canonical = %v, %v; want ErrNotInDump", phys, err)
				}
			}
		})
	}
}

// level is the one whose entries cover 1<<size bytes.
func (p *paging) level(size uint) int {
	for l := range p.levels {
		if p.shift(l) == size {
			return l
		}
	}
	return -1
}

// machineOrder is the byte order of all else.
func (p *paging) machineOrder() binary.ByteOrder {
	if p.machine == elf.EM_S390 {
		return binary.BigEndian
	}
	return binary.LittleEndian
}

// slot is the index of a virtual address at a level.
func (p *paging) slot(virt uint64, level int) uint64 {
	shift, width := p.shift(level), p.index
	switch {
	case level == p.levels-1:
		width = p.bits - shift
	case level == 0 && p.first != 0:
		width = p.first
	}
	return virt >> shift & (1<<width - 1)
}

// Svnapot: 16 entries that are alike stand for 64 KiB.
func TestPageTablesNAPOT(t *testing.T) {
	mem := pages{}
	const virt = 0xffffffc000000000
	pmd, pte := uint64(0x90000000), uint64(0x90001000)
	le := binary.LittleEndian
	mem.put(le, rootPhys+8*(virt>>30&0x1ff), riscvPTE(pmd)|1)
	mem.put(le, pmd, riscvPTE(pte)|1)
	for i := range uint64(16) {
		mem.put(le, pte+8*i, 1<<63|riscvPTE(0x123450000|8<<12)|0xe7)
	}
	info, err := vmcore.ParseVMCoreInfo([]byte("PAGESIZE=4096\nNUMBER(VA_BITS)=39\n" + riscvOf))
	if err != nil {
		t.Fatal(err)
	}
	a := vmcore.NewAddressSpace(vmcore.Platform{Machine: elf.EM_RISCV, Order: binary.LittleEndian, Word: 8}, info, mem, vmcore.Hints{})
	for _, off := range []uint64{0, 0x1234, 0xfff0} {
		if phys, run, err := a.Translate(virt + off); err != nil || uint64(phys) != 0x123450000+off || run != 0x10000-off {
			t.Errorf("Translate(%#x) = %v, %#x, %v; want %#x, %#x", virt+off, phys, run, err, 0x123450000+off, 0x10000-off)
		}
	}
}

// FuzzTranslate: whatever the tables hold, a walk ends, and an answer is inside one page.
func FuzzTranslate(f *testing.F) {
	f.Add([]byte{1, 2, 3, 4, 5, 6, 7, 8}, uint64(0xffff800012345678), uint8(0))
	f.Add([]byte{0x63, 0, 0x40, 0, 0, 0, 0, 0}, uint64(0xffff800012345678), uint8(3))
	all := pagings()
	f.Fuzz(func(t *testing.T, fill []byte, addr uint64, which uint8) {
		p := all[int(which)%len(all)]
		info, err := vmcore.ParseVMCoreInfo([]byte(p.info))
		if err != nil {
			t.Fatal(err)
		}
		mem := repeated(fill)
		a := vmcore.NewAddressSpace(vmcore.Platform{Machine: p.machine, Order: p.machineOrder(), Word: 8}, info, mem, vmcore.Hints{})
		phys, run, err := a.Translate(addr)
		if err != nil {
			if !errors.Is(err, vmcore.ErrNotInDump) {
				t.Errorf("Translate(%#x) = %v; want ErrNotInDump", addr, err)
			}
			return
		}
		if run == 0 {
			t.Errorf("Translate(%#x) = %v, 0 bytes", addr, phys)
		}
		// Of a Svnapot page other entries would have to be alike.
		if again, run2, err := a.Translate(addr + run - 1); p.machine != elf.EM_RISCV && (err != nil || again != phys+memmap.PhysAddr(run-1) || run2 == 0) {
			t.Errorf("Translate(%#x), the end of the same mapping, = %v, %v; want %v", addr+run-1, again, err, phys+memmap.PhysAddr(run-1))
		}
	})
}

// repeated is memory that holds the same bytes again and again.
type repeated []byte

func (m repeated) ReadPhysAt(b []byte, addr memmap.PhysAddr) (int, error) {
	if len(m) == 0 {
		return 0, vmcore.ErrNotInDump
	}
	for i := range b {
		b[i] = m[(uint64(addr)+uint64(i))%uint64(len(m))]
	}
	return len(b), nil
}
