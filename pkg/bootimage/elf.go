package bootimage

import (
	"cmp"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"slices"
)

// ELFLoad is a PT_LOAD of an ELF kernel. Sizes and offsets are in bytes.
type ELFLoad struct {
	Offset   uint64 // in the image
	PhysAddr uint64 // p_paddr
	VirtAddr uint64 // p_vaddr
	FileSize uint64
	MemSize  uint64
	Align    uint64
	Flags    elf.ProgFlag
}

// ELF is an ELF kernel: its header and the PT_LOADs with a memory size, in the
// order of the file. They lie inside the file and do not overlap in memory.
type ELF struct {
	Class   elf.Class
	Order   binary.ByteOrder
	Machine elf.Machine
	Type    elf.Type // ET_EXEC or ET_DYN
	Entry   uint64   // e_entry: physical on x86, virtual elsewhere
	Loads   []ELFLoad
	Empty   []ELFLoad // PT_LOADs without a memory size: they load nothing
}

// kernelBases are where the virtual addresses of a kernel begin: what lies lower
// is a program for user space. 0x40000000 is the lowest PAGE_OFFSET that 32-bit
// kernels can be configured for.
var kernelBases = [...]struct {
	machine elf.Machine
	class   elf.Class
	base    uint64
}{
	{elf.EM_X86_64, elf.ELFCLASS64, 1 << 63},
	{elf.EM_AARCH64, elf.ELFCLASS64, 1 << 63},
	{elf.EM_RISCV, elf.ELFCLASS64, 1 << 63},
	{elf.EM_RISCV, elf.ELFCLASS32, 0x40000000},
	{elf.EM_LOONGARCH, elf.ELFCLASS64, 1 << 63},
	{elf.EM_PPC64, elf.ELFCLASS64, 1 << 63},
	{elf.EM_386, elf.ELFCLASS32, 0x40000000},
	{elf.EM_ARM, elf.ELFCLASS32, 0x40000000},
}

// kernelBase is 0 where addresses tell nothing.
func (f *ELF) kernelBase() uint64 {
	for _, k := range kernelBases {
		if k.machine == f.Machine && k.class == f.Class {
			return k.base
		}
	}
	return 0
}

// elfLayout is the place of the fields of the two classes.
type elfLayout struct {
	class            elf.Class
	ehsize, phsize   int
	word             int // size of an address
	entry, phoff     int
	phentsize, phnum int
}

var elfLayouts = []elfLayout{
	{elf.ELFCLASS32, 52, 32, 4, 24, 28, 42, 44},
	{elf.ELFCLASS64, 64, 56, 8, 24, 32, 54, 56},
}

func (l *elfLayout) addr(o binary.ByteOrder, b []byte) uint64 {
	if l.word == 4 {
		return uint64(o.Uint32(b))
	}
	return o.Uint64(b)
}

func parseELF(src source) (*ELF, error) {
	b, err := src.head(64)
	if err != nil {
		return nil, err
	}
	if len(b) < elf.EI_NIDENT {
		return nil, fmt.Errorf("ELF: %w: %d bytes, no header", ErrTruncated, len(b))
	}
	f := &ELF{Class: elf.Class(b[elf.EI_CLASS])}
	switch elf.Data(b[elf.EI_DATA]) {
	case elf.ELFDATA2LSB:
		f.Order = binary.LittleEndian
	case elf.ELFDATA2MSB:
		f.Order = binary.BigEndian
	default:
		return nil, fmt.Errorf("ELF: byte order (e_ident[EI_DATA]) is %d, neither 1 nor 2", b[elf.EI_DATA])
	}
	var l *elfLayout
	for i := range elfLayouts {
		if elfLayouts[i].class == f.Class {
			l = &elfLayouts[i]
		}
	}
	if l == nil {
		return nil, fmt.Errorf("ELF: class (e_ident[EI_CLASS]) is %d, neither 1 nor 2", b[elf.EI_CLASS])
	}
	if len(b) < l.ehsize {
		return nil, fmt.Errorf("ELF: %w: %d bytes, the header has %d", ErrTruncated, len(b), l.ehsize)
	}
	f.Type = elf.Type(f.Order.Uint16(b[16:]))
	f.Machine = elf.Machine(f.Order.Uint16(b[18:]))
	f.Entry = l.addr(f.Order, b[l.entry:])
	switch f.Type {
	case elf.ET_EXEC, elf.ET_DYN:
	case elf.ET_REL:
		return nil, fmt.Errorf("%w: an ELF relocatable object (a kernel module or .o file) for %s", ErrNotKernel, MachineName(f.Machine))
	case elf.ET_CORE:
		return nil, fmt.Errorf("%w: an ELF core dump (a vmcore) for %s", ErrNotKernel, MachineName(f.Machine))
	default:
		return nil, fmt.Errorf("%w: an ELF file of type %d", ErrNotKernel, uint16(f.Type))
	}
	phoff := l.addr(f.Order, b[l.phoff:])
	phentsize, phnum := f.Order.Uint16(b[l.phentsize:]), f.Order.Uint16(b[l.phnum:])
	if phnum == 0 {
		return nil, fmt.Errorf("%w: an ELF file without program headers", ErrNotKernel)
	}
	if int(phentsize) != l.phsize {
		return nil, fmt.Errorf("ELF: e_phentsize is %d, want %d", phentsize, l.phsize)
	}
	n := int(phnum) * l.phsize
	if phoff > uint64(src.size) || uint64(n) > uint64(src.size)-phoff {
		return nil, fmt.Errorf("ELF: %w: %d bytes, the %d program headers are at %#x", ErrTruncated, src.size, phnum, phoff)
	}
	ph, err := src.at(int64(phoff), n)
	if err != nil {
		return nil, fmt.Errorf("ELF: program headers: %w", err)
	}
	for i := range int(phnum) {
		if err := f.addProgram(l, ph[i*l.phsize:(i+1)*l.phsize], i); err != nil {
			return nil, err
		}
	}
	return f, f.check(src.size)
}

// addProgram takes over program header i.
func (f *ELF) addProgram(l *elfLayout, b []byte, i int) error {
	switch t := elf.ProgType(f.Order.Uint32(b)); t {
	case elf.PT_PHDR:
		// Where addresses tell nothing: the linker makes one for programs,
		// and none with the linker scripts of the kernel.
		if f.kernelBase() != 0 {
			return nil
		}
		return fmt.Errorf("%w: an ELF program for %s (it has a %v)", ErrNotKernel, MachineName(f.Machine), t)
	case elf.PT_INTERP, elf.PT_TLS:
		what := "program"
		if f.Type == elf.ET_DYN && t == elf.PT_TLS {
			what = "program or shared library"
		}
		return fmt.Errorf("%w: an ELF %s for %s (it has a %v)", ErrNotKernel, what, MachineName(f.Machine), t)
	case elf.PT_LOAD:
	default:
		return nil
	}
	at := func(k int) uint64 { return l.addr(f.Order, b[k:]) }
	var p ELFLoad
	if l.class == elf.ELFCLASS64 {
		p = ELFLoad{Flags: elf.ProgFlag(f.Order.Uint32(b[4:])), Offset: at(8), VirtAddr: at(16), PhysAddr: at(24), FileSize: at(32), MemSize: at(40), Align: at(48)}
	} else {
		p = ELFLoad{Offset: at(4), VirtAddr: at(8), PhysAddr: at(12), FileSize: at(16), MemSize: at(20), Flags: elf.ProgFlag(f.Order.Uint32(b[24:])), Align: at(28)}
	}
	switch {
	case p.FileSize > p.MemSize:
		return fmt.Errorf("ELF: program header %d: p_filesz %#x is above p_memsz %#x", i, p.FileSize, p.MemSize)
	case p.PhysAddr+p.MemSize < p.PhysAddr:
		return fmt.Errorf("ELF: program header %d: p_paddr %#x plus p_memsz %#x overflows", i, p.PhysAddr, p.MemSize)
	case p.MemSize > 0 && p.VirtAddr+(p.MemSize-1) < p.VirtAddr:
		return fmt.Errorf("ELF: program header %d: p_vaddr %#x plus p_memsz %#x overflows", i, p.VirtAddr, p.MemSize)
	case p.Align&(p.Align-1) != 0:
		return fmt.Errorf("ELF: program header %d: p_align %#x is not a power of two", i, p.Align)
	case p.MemSize > 0:
		f.Loads = append(f.Loads, p)
	default:
		f.Empty = append(f.Empty, p)
	}
	return nil
}

// check looks at what only all program headers together tell.
func (f *ELF) check(size int64) error {
	if len(f.Loads) == 0 {
		return fmt.Errorf("%w: an ELF file without a PT_LOAD", ErrNotKernel)
	}
	base := f.kernelBase()
	isKernel, entry := false, false
	for i, p := range f.Loads {
		if p.Offset > uint64(size) || p.FileSize > uint64(size)-p.Offset {
			return fmt.Errorf("ELF: %w: %d bytes, PT_LOAD %d has %#x bytes at offset %#x", ErrTruncated, size, i, p.FileSize, p.Offset)
		}
		isKernel = isKernel || p.VirtAddr >= base
		entry = entry || f.Entry-p.PhysAddr < p.MemSize || f.Entry-p.VirtAddr < p.MemSize
	}
	if !isKernel {
		what := "program"
		if f.Type == elf.ET_DYN {
			what = "program or shared library"
		}
		return fmt.Errorf("%w: an ELF %s for %s (its addresses are all below %#x)", ErrNotKernel, what, MachineName(f.Machine), base)
	}
	if !entry {
		return fmt.Errorf("ELF: e_entry %#x is in no PT_LOAD", f.Entry)
	}
	byAddr := slices.SortedFunc(slices.Values(f.Loads), func(a, b ELFLoad) int { return cmp.Compare(a.PhysAddr, b.PhysAddr) })
	for i := 1; i < len(byAddr); i++ {
		if a, b := byAddr[i-1], byAddr[i]; a.PhysAddr+a.MemSize > b.PhysAddr {
			return fmt.Errorf("ELF: PT_LOADs [%#x..%#x) and [%#x..%#x) overlap in physical memory",
				a.PhysAddr, a.PhysAddr+a.MemSize, b.PhysAddr, b.PhysAddr+b.MemSize)
		}
	}
	return nil
}

// Span returns the lowest and the end (exclusive) of the physical addresses of
// the PT_LOADs.
func (f *ELF) Span() (start, end uint64) {
	start = ^uint64(0)
	for _, p := range f.Loads {
		start, end = min(start, p.PhysAddr), max(end, p.PhysAddr+p.MemSize)
	}
	return start, end
}

func (f *ELF) memSize() uint64 {
	start, end := f.Span()
	return end - start
}
