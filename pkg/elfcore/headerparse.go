package elfcore

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/gokexec/gokexec/pkg/memmap"
)

// ParseHeader reads an elfcorehdr from the start of b, as the kernel, gokexec
// and kexec-tools make them. It checks all that the capture kernel checks
// (fs/proc/vmcore.c, parse_crash_elf64_headers) and that the program headers
// follow at once, notes first. The last PT_NOTE counts as VMCOREINFO. What
// follows the program headers in b is ignored.
//
// The error wraps ErrNotCore if b doesn't begin with the ELF header of a core
// file, and io.ErrUnexpectedEOF if b is too short.
func ParseHeader(b []byte) (*Header, error) {
	h, phnum, err := parseEhdr(b)
	if err != nil {
		return nil, fmt.Errorf("elfcorehdr: %w", err)
	}
	switch {
	case phnum == 0:
		return nil, errors.New("elfcorehdr: no program headers")
	case phnum > maxHeaderProgs:
		return nil, fmt.Errorf("elfcorehdr: e_phnum is %d: %w", phnum, ErrTooManyRanges)
	}
	ehdr, phdr := headerSizes(h.Class)
	if need := ehdr + phnum*phdr; len(b) < need {
		return nil, fmt.Errorf("elfcorehdr: %d bytes, but %d program headers end at %d: %w", len(b), phnum, need, io.ErrUnexpectedEOF)
	}
	for i := range phnum {
		p := decodeProg(b[ehdr+i*phdr:], h.Class, h.Order)
		if err := h.add(&p); err != nil {
			return nil, fmt.Errorf("elfcorehdr: program header %d: %w", i, err)
		}
	}
	n := len(h.CPUNotes) - 1
	if n < 0 {
		return nil, fmt.Errorf("elfcorehdr: none of %d program headers is a PT_NOTE", phnum)
	}
	h.VMCoreInfo, h.CPUNotes = h.CPUNotes[n], h.CPUNotes[:n:n]
	if err := h.check(); err != nil {
		return nil, fmt.Errorf("elfcorehdr: %w", err)
	}
	return h, nil
}

// parseEhdr reads the ELF header, and returns e_phnum.
func parseEhdr(b []byte) (h *Header, phnum int, err error) {
	if len(b) < ehdrSize32 {
		return nil, 0, fmt.Errorf("%d bytes are shorter than an ELF header: %w", len(b), io.ErrUnexpectedEOF)
	}
	if !bytes.HasPrefix(b, []byte(elf.ELFMAG)) {
		return nil, 0, fmt.Errorf("%w: begins with % x", ErrNotCore, b[:4])
	}
	h = &Header{Class: elf.Class(b[elf.EI_CLASS])}
	if h.Class != elf.ELFCLASS32 && h.Class != elf.ELFCLASS64 {
		return nil, 0, fmt.Errorf("%w: unknown class %d", ErrNotCore, b[elf.EI_CLASS])
	}
	switch elf.Data(b[elf.EI_DATA]) {
	case elf.ELFDATA2LSB:
		h.Order = binary.LittleEndian
	case elf.ELFDATA2MSB:
		h.Order = binary.BigEndian
	default:
		return nil, 0, fmt.Errorf("%w: unknown byte order %d", ErrNotCore, b[elf.EI_DATA])
	}
	ehdr, phdr := headerSizes(h.Class)
	if len(b) < ehdr {
		return nil, 0, fmt.Errorf("%d bytes are shorter than an ELF header: %w", len(b), io.ErrUnexpectedEOF)
	}
	o := h.Order
	if t := elf.Type(o.Uint16(b[16:])); t != elf.ET_CORE {
		return nil, 0, fmt.Errorf("%w: type is %v", ErrNotCore, t)
	}
	h.Machine = elf.Machine(o.Uint16(b[18:]))
	if v := o.Uint32(b[20:]); v != uint32(elf.EV_CURRENT) || b[elf.EI_VERSION] != byte(elf.EV_CURRENT) {
		return nil, 0, fmt.Errorf("version is %d and %d, not 1", b[elf.EI_VERSION], v)
	}
	phoff, tail := o.Uint64(b[32:]), b[52:]
	if h.Class == elf.ELFCLASS32 {
		phoff, tail = uint64(o.Uint32(b[28:])), b[40:]
	}
	if phoff != uint64(ehdr) {
		return nil, 0, fmt.Errorf("e_phoff is %#x, but the capture kernel looks at %#x", phoff, ehdr)
	}
	if n := o.Uint16(tail); int(n) != ehdr {
		return nil, 0, fmt.Errorf("e_ehsize is %d, not %d", n, ehdr)
	}
	if n := o.Uint16(tail[2:]); int(n) != phdr {
		return nil, 0, fmt.Errorf("e_phentsize is %d, not %d", n, phdr)
	}
	return h, int(o.Uint16(tail[4:])), nil
}

// HeaderSize returns how many bytes the elfcorehdr that begins with b has, ELF header and
// program headers. A few dozen bytes are enough to tell; the error is as of ParseHeader.
func HeaderSize(b []byte) (int, error) {
	h, phnum, err := parseEhdr(b)
	if err != nil {
		return 0, fmt.Errorf("elfcorehdr: %w", err)
	}
	ehdr, phdr := headerSizes(h.Class)
	return ehdr + phnum*phdr, nil
}

// decodeProg reads a program header from b, which is long enough.
func decodeProg(b []byte, c elf.Class, o binary.ByteOrder) progHeader {
	f := File{Class: c, Order: o}
	return f.decodeProg(b)
}

// add takes the next program header into h; every note as one of a CPU.
func (h *Header) add(p *progHeader) error {
	switch t := elf.ProgType(p.typ); t {
	case elf.PT_NOTE:
		switch {
		case len(h.Loads) > 0:
			return errors.New("a PT_NOTE after a PT_LOAD")
		case p.off != p.paddr:
			return fmt.Errorf("offset of the notes, %#x, is not their physical address, %#x", p.off, p.paddr)
		case p.filesz != p.memsz:
			return fmt.Errorf("notes have %#x bytes in the file but %#x in memory", p.filesz, p.memsz)
		}
		h.CPUNotes = append(h.CPUNotes, NoteRange{memmap.PhysAddr(p.off), p.memsz})
	case elf.PT_LOAD:
		h.Loads = append(h.Loads, newLoad(*p))
	default:
		return fmt.Errorf("type is %v, neither PT_NOTE nor PT_LOAD", t)
	}
	return nil
}

// Coverage returns the physical memory that the header has a PT_LOAD for, by
// p_paddr. The kernel text mapping lies in RAM, so it adds nothing to it.
func (h *Header) Coverage() memmap.Set {
	rs := make([]memmap.Range, 0, len(h.Loads))
	for i := range h.Loads {
		rs = append(rs, h.Loads[i].PhysRange())
	}
	return memmap.NewSet(rs...)
}

// PhysRange returns the physical memory of l; what passes the end of the 64-bit
// space is cut off.
func (l *Load) PhysRange() memmap.Range {
	r, ok := memmap.RangeOf(l.Phys, l.MemSize)
	if !ok {
		r = memmap.Range{Start: l.Phys, End: math.MaxUint64}
	}
	return r
}
