package dumptest

import (
	"debug/elf"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/gokexec/gokexec/pkg/vmcore"
)

// Arch is a kind of machine.
type Arch struct {
	Name    string
	Class   elf.Class
	Order   binary.ByteOrder
	Machine elf.Machine
	Word    int    // bytes of an unsigned long
	Align64 int    // alignment of a u64 in a structure
	Virt    uint64 // where the kernel image is
	Phys    uint64
}

// Archs has each combination of word size and byte order, and the two odd ones: i386, which
// aligns u64 to 4 bytes, once in the ELF64 dump of a machine with PAE.
var Archs = []Arch{
	{"x86_64", elf.ELFCLASS64, binary.LittleEndian, elf.EM_X86_64, 8, 8, 0xffffffff81000000, 0x3000000},
	{"ppc64", elf.ELFCLASS64, binary.BigEndian, elf.EM_PPC64, 8, 8, 0xc000000001000000, 0x1000000},
	{"i386", elf.ELFCLASS32, binary.LittleEndian, elf.EM_386, 4, 4, 0xc1000000, 0x1000000},
	{"i386-pae", elf.ELFCLASS64, binary.LittleEndian, elf.EM_386, 4, 4, 0xc1000000, 0x1000000},
	{"arm", elf.ELFCLASS32, binary.LittleEndian, elf.EM_ARM, 4, 8, 0xc0008000, 0x8000},
	{"ppc", elf.ELFCLASS32, binary.BigEndian, elf.EM_PPC, 4, 8, 0xc0000000, 0},
}

// Image is a piece of kernel memory and what VMCOREINFO says about it.
type Image struct {
	Arch
	data []byte
	info strings.Builder
}

// NewImage returns an image with the head of VMCOREINFO.
func NewImage(a Arch, release string) *Image {
	m := &Image{Arch: a, data: make([]byte, 64)}
	m.Line("OSRELEASE=%s", release)
	m.Line("PAGESIZE=4096")
	return m
}

// Line appends a line to VMCOREINFO.
func (m *Image) Line(format string, args ...any) { fmt.Fprintf(&m.info, format+"\n", args...) }

// Symbol appends a SYMBOL line.
func (m *Image) Symbol(name string, addr uint64) { m.Line("SYMBOL(%s)=%x", name, addr) }

// Alloc reserves n zero bytes and returns their virtual address.
func (m *Image) Alloc(n, align int) uint64 {
	m.data = pad(m.data, align)
	addr := m.Virt + uint64(len(m.data))
	m.data = append(m.data, make([]byte, n)...)
	return addr
}

// Store reserves memory for b, puts it there, and returns its virtual address.
func (m *Image) Store(b []byte, align int) uint64 {
	addr := m.Alloc(len(b), align)
	copy(m.Bytes(addr, len(b)), b)
	return addr
}

// Bytes returns the n bytes at a virtual address, to be read or changed.
func (m *Image) Bytes(addr uint64, n int) []byte { return m.data[addr-m.Virt:][:n] }

// Put stores an integer of size bytes.
func (m *Image) Put(addr uint64, size int, v uint64) {
	b := m.Bytes(addr, size)
	switch size {
	case 1:
		b[0] = byte(v)
	case 2:
		m.Order.PutUint16(b, uint16(v))
	case 4:
		m.Order.PutUint32(b, uint32(v))
	case 8:
		m.Order.PutUint64(b, v)
	}
}

// Ulong stores an unsigned long.
func (m *Image) Ulong(addr uint64, v uint64) { m.Put(addr, m.Word, v) }

// Var makes a variable of size bytes with a SYMBOL of its own.
func (m *Image) Var(name string, size int, v uint64) {
	addr := m.Alloc(size, size)
	m.Put(addr, size, v)
	m.Symbol(name, addr)
}

// Core returns the dump: one PT_LOAD with the image, a note for a CPU, VMCOREINFO.
func (m *Image) Core() *Core {
	return &Core{
		Class: m.Class, Order: m.Order, Machine: m.Machine,
		Loads: []Load{{Phys: m.Phys, Virt: m.Virt, Data: m.data}},
		Notes: []Note{
			{"CORE", uint32(elf.NT_PRSTATUS), make([]byte, 144)},
			{"VMCOREINFO", 0, []byte(m.info.String() + "CRASHTIME=1700000000\n")},
		},
	}
}

// Field is a member of a C structure; Size is that of one element.
type Field struct {
	Name        string
	Size, Count int
}

// Struct is the layout of a C structure, in bytes.
type Struct struct {
	Name    string
	Size    int
	Align   int
	Offsets map[string]int
}

// Struct lays out members as the C compilers of the machine do. A nested structure is a field
// of the word size that is repeated.
func (m *Image) Struct(name string, fields ...Field) Struct {
	s := Struct{Name: name, Align: 1, Offsets: map[string]int{}}
	for _, f := range fields {
		align := f.Size
		if f.Size == 8 {
			align = m.Align64
		}
		if f.Size == m.Word {
			align = m.Word
		}
		s.Align = max(s.Align, align)
		s.Size = (s.Size + align - 1) / align * align
		s.Offsets[f.Name] = s.Size
		s.Size += f.Size * max(f.Count, 1)
	}
	s.Size = (s.Size + s.Align - 1) / s.Align * s.Align
	return s
}

// Export writes SIZE and the OFFSETs of the named members to VMCOREINFO.
func (m *Image) Export(s Struct, members ...string) {
	m.Line("SIZE(%s)=%d", s.Name, s.Size)
	for _, name := range members {
		m.Line("OFFSET(%s.%s)=%d", s.Name, name, s.Offsets[name])
	}
}

// Memory returns the image as it is now, without a dump around it.
func (m *Image) Memory() vmcore.Memory { return &imageMemory{m} }

type imageMemory struct{ m *Image }

func (i *imageMemory) Platform() vmcore.Platform {
	return vmcore.Platform{Machine: i.m.Machine, Order: i.m.Order, Word: i.m.Word}
}

func (i *imageMemory) VMCoreInfo() (*vmcore.VMCoreInfo, error) {
	return vmcore.ParseVMCoreInfo([]byte(i.m.info.String()))
}

func (i *imageMemory) ReadVirtAt(b []byte, addr uint64) (int, error) {
	if addr < i.m.Virt || addr-i.m.Virt >= uint64(len(i.m.data)) {
		return 0, fmt.Errorf("virtual address %#x: %w", addr, vmcore.ErrNotInDump)
	}
	if n := copy(b, i.m.data[addr-i.m.Virt:]); n < len(b) {
		return n, fmt.Errorf("virtual address %#x: %w", addr+uint64(n), vmcore.ErrNotInDump)
	}
	return len(b), nil
}
