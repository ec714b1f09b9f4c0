package elfcore

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/gokexec/gokexec/pkg/memmap"
)

// ErrTooManyRanges means that a header would have more program headers than an
// elfcorehdr can number: 65534, in the 16 bits of e_phnum. The capture kernel
// doesn't understand PN_XNUM, and other readers understand 65535 as PN_XNUM.
var ErrTooManyRanges = errors.New("more program headers than the 65534 that an elfcorehdr can number")

const maxHeaderProgs = pnXnum - 1

// NoteRange is where the running kernel keeps ELF notes that it fills in when it
// crashes.
type NoteRange struct {
	Addr memmap.PhysAddr
	Size uint64 // bytes
}

// Header is an elfcorehdr: the ELF header and program headers that a capture
// kernel is given and makes the head of its /proc/vmcore from. In it, the
// offset of a segment (Load.Offset) is the physical address to read it from.
type Header struct {
	Machine elf.Machine
	Order   binary.ByteOrder
	Class   elf.Class

	CPUNotes   []NoteRange // per CPU: its registers at the crash
	VMCoreInfo NoteRange   // the VMCOREINFO note
	Loads      []Load      // the memory: first the kernel text mapping, if any, then RAM
}

// Size returns the number of bytes that AppendBinary appends.
func (h *Header) Size() uint64 {
	ehdr, phdr := headerSizes(h.Class)
	return uint64(ehdr) + uint64(phdr)*h.progs()
}

// progs returns the number of program headers.
func (h *Header) progs() uint64 { return uint64(len(h.CPUNotes)) + 1 + uint64(len(h.Loads)) }

// headerSizes returns the sizes of the ELF header and of a program header.
func headerSizes(c elf.Class) (ehdr, phdr int) {
	if c == elf.ELFCLASS32 {
		return ehdrSize32, phdrSize32
	}
	return ehdrSize64, phdrSize64
}

// AppendBinary appends the header in the layout of crash_prepare_elf64_headers
// (kernel/crash_core.c): the ELF header and right after it, since the capture
// kernel ignores e_phoff, a PT_NOTE per CPU, a PT_NOTE for VMCOREINFO and the
// PT_LOADs in their order. It doesn't pad.
//
// A header without VMCoreInfo is an error, since a capture kernel that finds
// no note at all makes no /proc/vmcore. So is what doesn't fit the class.
func (h *Header) AppendBinary(b []byte) ([]byte, error) {
	if err := h.check(); err != nil {
		return b, fmt.Errorf("elfcorehdr: %w", err)
	}
	ehdr, phdr := headerSizes(h.Class)
	at := len(b)
	b = append(b, make([]byte, h.Size())...)
	h.putEhdr(b[at:])
	at += ehdr
	put := func(p *progHeader) {
		p.encode(b[at:], h.Class, h.Order)
		at += phdr
	}
	for _, n := range h.CPUNotes {
		put(n.prog())
	}
	put(h.VMCoreInfo.prog())
	for i := range h.Loads {
		l := &h.Loads[i]
		put(&progHeader{
			typ: uint32(elf.PT_LOAD), flags: uint32(l.Flags), off: l.Offset, vaddr: l.Virt,
			paddr: uint64(l.Phys), filesz: l.FileSize, memsz: l.MemSize,
		})
	}
	return b, nil
}

func (n NoteRange) prog() *progHeader {
	return &progHeader{
		typ: uint32(elf.PT_NOTE), off: uint64(n.Addr), paddr: uint64(n.Addr),
		filesz: n.Size, memsz: n.Size,
	}
}

// check reports what can't be encoded, or not be read back.
func (h *Header) check() error {
	limit := uint64(math.MaxUint64)
	switch h.Class {
	case elf.ELFCLASS64:
	case elf.ELFCLASS32:
		limit = math.MaxUint32
	default:
		return fmt.Errorf("class %v is neither ELFCLASS32 nor ELFCLASS64", h.Class)
	}
	if h.Order == nil {
		return errors.New("no byte order")
	}
	if n := h.progs(); n > maxHeaderProgs {
		return fmt.Errorf("%d CPUs and %d memory ranges need %d: %w", len(h.CPUNotes), len(h.Loads), n, ErrTooManyRanges)
	}
	if h.VMCoreInfo.Size == 0 {
		return errors.New("no VMCOREINFO note")
	}
	for i, n := range h.CPUNotes {
		if err := checkSpan(uint64(n.Addr), n.Size, limit); err != nil {
			return fmt.Errorf("CPU note %d: %w", i, err)
		}
	}
	if err := checkSpan(uint64(h.VMCoreInfo.Addr), h.VMCoreInfo.Size, limit); err != nil {
		return fmt.Errorf("VMCOREINFO note: %w", err)
	}
	for i := range h.Loads {
		if err := h.Loads[i].check(limit); err != nil {
			return fmt.Errorf("memory range %d: %w", i, err)
		}
	}
	return nil
}

func (l *Load) check(limit uint64) error {
	if l.FileSize != l.MemSize {
		return fmt.Errorf("%v: size in the file, %#x, is not the size in memory, %#x", l.Phys, l.FileSize, l.MemSize)
	}
	if l.Virt > limit {
		return fmt.Errorf("virtual address %#x is beyond 32 bits", l.Virt)
	}
	if err := checkSpan(l.Offset, l.MemSize, limit); err != nil {
		return err
	}
	return checkSpan(uint64(l.Phys), l.MemSize, limit)
}

// checkSpan returns an error if the size bytes at addr don't all have addresses
// of up to limit.
func checkSpan(addr, size, limit uint64) error {
	if addr > limit || size > limit || size > 0 && size-1 > limit-addr {
		return fmt.Errorf("%#x bytes at %#x reach beyond %#x, the last address of the ELF class", size, addr, limit)
	}
	return nil
}

// putEhdr writes the ELF header. Fields it leaves alone are zero.
func (h *Header) putEhdr(b []byte) {
	ehdr, phdr := headerSizes(h.Class)
	copy(b, elf.ELFMAG)
	b[elf.EI_CLASS] = byte(h.Class)
	b[elf.EI_DATA] = byte(DataEncoding(h.Order))
	b[elf.EI_VERSION] = byte(elf.EV_CURRENT)
	o := h.Order
	o.PutUint16(b[16:], uint16(elf.ET_CORE))
	o.PutUint16(b[18:], uint16(h.Machine))
	o.PutUint32(b[20:], uint32(elf.EV_CURRENT))
	tail := b[52:] // from e_ehsize on
	if h.Class == elf.ELFCLASS32 {
		o.PutUint32(b[28:], uint32(ehdr))
		tail = b[40:]
	} else {
		o.PutUint64(b[32:], uint64(ehdr))
	}
	o.PutUint16(tail, uint16(ehdr))
	o.PutUint16(tail[2:], uint16(phdr))
	o.PutUint16(tail[4:], uint16(h.progs()))
}

// DataEncoding returns the ELF name of a byte order. It looks at what the order
// does, since binary.NativeEndian equals neither of the others.
func DataEncoding(o binary.ByteOrder) elf.Data {
	if o.Uint16([]byte{1, 0}) == 1 {
		return elf.ELFDATA2LSB
	}
	return elf.ELFDATA2MSB
}

// encode writes p, whose fields fit the class, to b.
func (p *progHeader) encode(b []byte, c elf.Class, o binary.ByteOrder) {
	o.PutUint32(b, p.typ)
	if c == elf.ELFCLASS32 {
		for i, v := range []uint64{p.off, p.vaddr, p.paddr, p.filesz, p.memsz} {
			o.PutUint32(b[4+4*i:], uint32(v))
		}
		o.PutUint32(b[24:], p.flags)
		return
	}
	o.PutUint32(b[4:], p.flags)
	for i, v := range []uint64{p.off, p.vaddr, p.paddr, p.filesz, p.memsz} {
		o.PutUint64(b[8+8*i:], v)
	}
}

// HotplugSegmentSize returns how many bytes the elfcorehdr's segment must have
// for the kernel to rewrite the header in place: elfcorehdrSize bytes, as
// crash_elfcorehdr_size gives them, and the 64 of the ELF header, which x86
// leaves out (arch/x86/kernel/crash.c, arch_crash_get_elfcorehdr_size), in
// whole pages. The page size, in bytes, is a power of two.
func HotplugSegmentSize(elfcorehdrSize, page uint64) uint64 {
	return (elfcorehdrSize + ehdrSize64 + page - 1) &^ (page - 1)
}
