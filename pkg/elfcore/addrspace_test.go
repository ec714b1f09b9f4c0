package elfcore_test

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/gokexec/gokexec/internal/dumptest"
	"github.com/gokexec/gokexec/pkg/memmap"
	"github.com/gokexec/gokexec/pkg/vmcore"
)

// TestReadVirtAtTranslated reads from dumps without p_vaddr, by what VMCOREINFO tells.
func TestReadVirtAtTranslated(t *testing.T) {
	const base, size = 0x80000000, 1 << 20 // the machine's memory
	le, be := binary.ByteOrder(binary.LittleEndian), binary.ByteOrder(binary.BigEndian)
	for _, tt := range []struct {
		name    string
		machine elf.Machine
		class   elf.Class
		order   binary.ByteOrder
		info    string
		virt    uint64
		want    memmap.PhysAddr // 0: not in the dump
	}{
		{"x86_64 image", elf.EM_X86_64, elf.ELFCLASS64, le, "NUMBER(phys_base)=2113929216\n", // 0x7e000000
			0xffffffff82001000, 0x80001000},
		{"x86_64 image below the memory", elf.EM_X86_64, elf.ELFCLASS64, le, "NUMBER(phys_base)=-16777216\nNUMBER(KERNEL_IMAGE_SIZE)=2147483648\n",
			0xffffffff82001000, 0}, // at 0x1001000, where this machine has no memory
		{"x86_64 direct map, if exported", elf.EM_X86_64, elf.ELFCLASS64, le, "NUMBER(PAGE_OFFSET)=0xffff8b0a00000000\n",
			0xffff8b0a80002000, 0x80002000},
		{"x86_64 nothing known", elf.EM_X86_64, elf.ELFCLASS64, le, "A=1\n", 0xffff8b0a80002000, 0},
		{"arm64 image", elf.EM_AARCH64, elf.ELFCLASS64, le,
			"SYMBOL(_stext)=ffffa1b2c0010000\nNUMBER(VA_BITS)=48\nNUMBER(kimage_voffset)=0xffffa1b240000000\nNUMBER(PHYS_OFFSET)=0x80000000\n",
			0xffffa1b2c0003000, 0x80003000},
		{"arm64 direct map", elf.EM_AARCH64, elf.ELFCLASS64, le,
			"SYMBOL(_stext)=ffffa1b2c0010000\nNUMBER(VA_BITS)=48\nNUMBER(kimage_voffset)=0xffffa1b240000000\nNUMBER(PHYS_OFFSET)=0x80000000\n",
			0xffff000000004000, 0x80004000},
		{"arm64 vmalloc", elf.EM_AARCH64, elf.ELFCLASS64, le,
			"SYMBOL(_stext)=ffffa1b2c0010000\nNUMBER(VA_BITS)=48\nNUMBER(kimage_voffset)=0xffffa1b240000000\nNUMBER(PHYS_OFFSET)=0x80000000\n",
			0xffffa1b2c0000000 + 0x40000000, 0}, // the image's offset would lead to memory
		{"arm64 with 52-bit kernel on a 48-bit machine", elf.EM_AARCH64, elf.ELFCLASS64, le, // memstart_addr is moved down
			"SYMBOL(_stext)=ffffa1b2c0010000\nNUMBER(VA_BITS)=52\nNUMBER(TCR_EL1_T1SZ)=0x10\nNUMBER(kimage_voffset)=0xffffa1b240000000\nNUMBER(PHYS_OFFSET)=0xfff1000080000000\n",
			0xffff000000004000, 0x80004000},
		{"arm64 before 5.4", elf.EM_AARCH64, elf.ELFCLASS64, le,
			"SYMBOL(_stext)=ffff000008080000\nNUMBER(VA_BITS)=48\nNUMBER(kimage_voffset)=0xfffeffff88000000\nNUMBER(PHYS_OFFSET)=0x80000000\n",
			0xffff800000005000, 0x80005000},
		{"arm64 image before 5.4", elf.EM_AARCH64, elf.ELFCLASS64, le,
			"SYMBOL(_stext)=ffff000008080000\nNUMBER(VA_BITS)=48\nNUMBER(kimage_voffset)=0xfffeffff88000000\nNUMBER(PHYS_OFFSET)=0x80000000\n",
			0xffff000008081000, 0x80081000},
		{"riscv64 image", elf.EM_RISCV, elf.ELFCLASS64, le,
			"NUMBER(phys_ram_base)=2147483648\nNUMBER(PAGE_OFFSET)=0xff60000000000000\nNUMBER(KERNEL_LINK_ADDR)=0xffffffff80000000\nNUMBER(va_kernel_pa_offset)=0xfffffffeffe00000\n",
			0xffffffff80001000, 0x80201000},
		{"riscv64 direct map", elf.EM_RISCV, elf.ELFCLASS64, le,
			"NUMBER(phys_ram_base)=2147483648\nNUMBER(PAGE_OFFSET)=0xff60000000000000\n", 0xff60000000006000, 0x80006000},
		{"ppc64", elf.EM_PPC64, elf.ELFCLASS64, be, "A=1\n", 0xc000000080007000, 0x80007000},
		{"loongarch64 cached", elf.EM_LOONGARCH, elf.ELFCLASS64, le, "A=1\n", 0x9000000080008000, 0x80008000},
		{"loongarch64 uncached", elf.EM_LOONGARCH, elf.ELFCLASS64, le, "A=1\n", 0x8000000080008000, 0x80008000},
		{"s390x", elf.EM_S390, elf.ELFCLASS64, be, "A=1\n", 0x80009000, 0x80009000},
		{"s390x image since 6.10", elf.EM_S390, elf.ELFCLASS64, be, "IDENTITYBASE=0\nKERNELOFFSET=3ffe0000000\nKERNELOFFPHYS=80000000\n",
			0x3ffe0001000, 0x80001000},
		{"arm", elf.EM_ARM, elf.ELFCLASS32, le, "NUMBER(PAGE_OFFSET)=0xc0000000\nNUMBER(PHYS_OFFSET)=0x80000000\n", 0xc0001000, 0x80001000},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := dumptest.Core{Class: tt.class, Order: tt.order, Machine: tt.machine,
				Notes: []dumptest.Note{note("VMCOREINFO", 0, tt.info)},
				Loads: []dumptest.Load{{Phys: base, Data: pattern(base, size)}}}
			// More memory after it, for what lies higher.
			c.Loads = append(c.Loads, dumptest.Load{Phys: base + size, Data: pattern(base+size, 4*size)},
				dumptest.Load{Phys: base + 0x40000000, Data: pattern(7, 64)})
			f := newFile(t, c.Bytes())
			b := make([]byte, 64)
			n, err := f.ReadVirtAt(b, tt.virt)
			if tt.want == 0 {
				if !errors.Is(err, vmcore.ErrNotInDump) {
					t.Errorf("ReadVirtAt(%#x) = %d, %v; want ErrNotInDump", tt.virt, n, err)
				}
				return
			}
			if err != nil || !bytes.Equal(b, pattern(uint64(tt.want), 64)) {
				t.Errorf("ReadVirtAt(%#x) = %x, %v; want memory at %v", tt.virt, b, err, tt.want)
			}
		})
	}
}

// TestReadVirtAtPageTables has page tables of x86_64 with all page sizes.
func TestReadVirtAtPageTables(t *testing.T) {
	for _, tt := range []struct {
		name   string
		levels int
		sme    uint64
	}{{"4 levels", 4, 0}, {"5 levels", 5, 0}, {"SME", 4, 1 << 47}} {
		t.Run(tt.name, func(t *testing.T) {
			const size = 8 << 20
			mem := pattern(0, size)
			clear(mem[:0x10000])
			put := func(table, index, entry uint64) {
				binary.LittleEndian.PutUint64(mem[table+8*index:], entry|tt.sme|0x63)
			}
			// The root is the kernel's symbol at 0x1000; other tables follow.
			const virt = 0xffff8b0a00000000
			root, next := uint64(0x1000), uint64(0x2000)
			if tt.levels == 5 {
				put(root, virt>>48&0x1ff, next)
				root, next = next, next+0x1000
			}
			pud, pmd, pte := next, next+0x1000, next+0x2000
			put(root, virt>>39&0x1ff, pud)
			put(pud, virt>>30&0x1ff, pmd)
			put(pud, virt>>30&0x1ff+1, 0<<30|0x80) // a page of 1 GiB at 0
			put(pmd, 0, pte)
			put(pmd, 1, 4<<20|0x1080) // 2 MiB at 4 MiB, with the PAT bit
			put(pte, 0, 0x300000)     // 4 KiB pages, not in order
			put(pte, 1, 0x200000)
			info := "NUMBER(phys_base)=0\nSYMBOL(init_top_pgt)=ffffffff80001000\n"
			if tt.levels == 5 {
				info += "NUMBER(pgtable_l5_enabled)=1\n"
			}
			if tt.sme != 0 {
				info += "NUMBER(sme_mask)=140737488355328\n"
			}
			c := formats[0].core
			c.Notes = []dumptest.Note{note("VMCOREINFO", 0, info)}
			c.Loads = []dumptest.Load{{Data: mem}}
			f := newFile(t, c.Bytes())
			for _, r := range []struct {
				name string
				virt uint64
				want []byte // nil: not mapped
			}{
				{"4 KiB", virt + 0x10, mem[0x300010:][:32]},
				{"across pages", virt + 0xff0, append(bytes.Clone(mem[0x300ff0:][:16]), mem[0x200000:][:16]...)},
				{"2 MiB", virt + 2<<20 + 0x12345, mem[4<<20+0x12345:][:32]},
				{"1 GiB", virt + 1<<30 + 0x654321, mem[0x654321:][:32]},
				{"not present", virt + 0x2000, nil},
				{"upper table missing", 0xffff900000000000, nil},
				{"not canonical", 0x0100000000000000, nil},
				{"image", 0xffffffff80200000, mem[0x200000:][:32]},
			} {
				b := make([]byte, 32)
				n, err := f.ReadVirtAt(b, r.virt)
				if r.want == nil {
					if !errors.Is(err, vmcore.ErrNotInDump) {
						t.Errorf("%s: ReadVirtAt(%#x) = %d, %v; want ErrNotInDump", r.name, r.virt, n, err)
					}
				} else if err != nil || !bytes.Equal(b, r.want) {
					t.Errorf("%s: ReadVirtAt(%#x) = %x, %v; want %x", r.name, r.virt, b, err, r.want)
				}
			}
		})
	}
}

func TestReadVirtAt(t *testing.T) {
	c := formats[0].core
	c.Loads = []dumptest.Load{
		{Phys: 0x5000, Virt: 0xffffffff81000000, Data: pattern(0x5000, 0x1000)},
		{Phys: 0x4000, Virt: 0xffff888000004000, Data: pattern(0x4000, 0x3000)},
		{Phys: 0x9000, Virt: ^uint64(0), Data: pattern(0x9000, 0x1000)},         // no virtual address
		{Phys: 0xa000, Virt: 0xfffffffffffff000, Data: pattern(0xa000, 0x1000)}, // to the very end
		{Phys: ^uint64(0), Virt: 0xffffc90000000000, Data: pattern(7, 0x1000)},  // vmalloc of /proc/kcore
	}
	f := newFile(t, c.Bytes())
	for _, tt := range []struct {
		virt uint64
		n    int
		want []byte
	}{
		{0xffffffff81000010, 16, pattern(0x5010, 16)},
		{0xffff888000005010, 16, pattern(0x5010, 16)},
		{0xfffffffffffffff0, 16, pattern(0xaff0, 16)},
		{0xfffffffffffffff0, 32, pattern(0xaff0, 16)}, // not on to address 0
		{0xffffc90000000000, 16, pattern(7, 16)},
		{0xffff888000003ff0, 32, nil},
		{0, 16, nil},
	} {
		b := make([]byte, tt.n)
		n, err := f.ReadVirtAt(b, tt.virt)
		if !bytes.Equal(b[:n], tt.want) || (err != nil) != (n < tt.n) || err != nil && !errors.Is(err, vmcore.ErrNotInDump) {
			t.Errorf("ReadVirtAt(%d bytes, %#x) = %d (%x), %v; want %d", tt.n, tt.virt, n, b[:n], err, len(tt.want))
		}
	}
}

// flatMemory is memory from 0 on, each byte of which tells its page.
type flatMemory uint64

func (m flatMemory) ReadPhysAt(b []byte, addr memmap.PhysAddr) (int, error) {
	for i := range b {
		if uint64(addr)+uint64(i) >= uint64(m) {
			return i, vmcore.ErrNotInDump
		}
		b[i] = byte((uint64(addr) + uint64(i)) >> 12)
	}
	return len(b), nil
}

// TestNewAddressSpace translates for dumps that have no PT_LOADs at all.
func TestNewAddressSpace(t *testing.T) {
	base := uint64(0x30000)
	le, be := binary.ByteOrder(binary.LittleEndian), binary.ByteOrder(binary.BigEndian)
	for _, tt := range []struct {
		name     string
		platform vmcore.Platform
		info     string
		physBase *uint64
		virt     uint64
		want     byte // page; 0: not in the dump
	}{
		{"x86_64, phys_base from the dump's header", vmcore.Platform{Machine: elf.EM_X86_64, Order: le, Word: 8}, "A=1", &base, 0xffffffff80001000, 0x31},
		{"x86_64, VMCOREINFO wins", vmcore.Platform{Machine: elf.EM_X86_64, Order: le, Word: 8}, "NUMBER(phys_base)=8192", &base, 0xffffffff80001000, 3},
		{"x86_64, nothing known", vmcore.Platform{Machine: elf.EM_X86_64, Order: le, Word: 8}, "A=1", nil, 0xffffffff80001000, 0},
		{"i386", vmcore.Platform{Machine: elf.EM_386, Order: le, Word: 4}, "A=1", &base, 0xc0005000, 5},
		{"i386, 2 GiB for the kernel", vmcore.Platform{Machine: elf.EM_386, Order: le, Word: 4}, "SYMBOL(_stext)=81000000", nil, 0x80005000, 5},
		{"arm", vmcore.Platform{Machine: elf.EM_ARM, Order: le, Word: 4}, "SYMBOL(_stext)=c0008000", &base, 0xc0005000, 0x35},
		{"ppc", vmcore.Platform{Machine: elf.EM_PPC, Order: be, Word: 4}, "A=1", nil, 0xc0005000, 5},
		{"mips", vmcore.Platform{Machine: elf.EM_MIPS, Order: be, Word: 4}, "A=1", nil, 0xa0005000, 5},
		{"mips64 image", vmcore.Platform{Machine: elf.EM_MIPS, Order: be, Word: 8}, "A=1", nil, 0xffffffff80005000, 5},
		{"mips64 direct map", vmcore.Platform{Machine: elf.EM_MIPS, Order: be, Word: 8}, "A=1", nil, 0xa800000000005000, 5},
		{"mips64 vmalloc", vmcore.Platform{Machine: elf.EM_MIPS, Order: be, Word: 8}, "A=1", nil, 0xc000000000005000, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			info, err := vmcore.ParseVMCoreInfo([]byte(tt.info + "\n"))
			if err != nil {
				t.Fatal(err)
			}
			a := vmcore.NewAddressSpace(tt.platform, info, flatMemory(1<<20), vmcore.Hints{PhysBase: tt.physBase})
			b := []byte{0}
			n, err := a.ReadVirtAt(b, tt.virt)
			if tt.want == 0 {
				if n != 0 || !errors.Is(err, vmcore.ErrNotInDump) {
					t.Errorf("ReadVirtAt(%#x) = %d, %v; want ErrNotInDump", tt.virt, n, err)
				}
			} else if n != 1 || err != nil || b[0] != tt.want {
				t.Errorf("ReadVirtAt(%#x) = %d, %v, page %#x; want page %#x", tt.virt, n, err, b[0], tt.want)
			}
		})
	}
}
