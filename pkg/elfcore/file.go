package elfcore

import (
	"bufio"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/gokexec/gokexec/pkg/vmcore"
)

// ErrNotCore reports a file that is not an ELF core file at all.
var ErrNotCore = errors.New("not an ELF core file")

// maxProgs bounds the program headers. A vmcore has one PT_LOAD per RAM range; the kernel's
// own builder can't exceed 65535 (kernel/crash_core.c, crash_prepare_elf64_headers).
const maxProgs = 1 << 20

// Sizes of the ELF structures, in bytes (System V gABI).
const (
	ehdrSize32, ehdrSize64 = 52, 64
	phdrSize32, phdrSize64 = 32, 56
	shdrSize32, shdrSize64 = 40, 64

	pnXnum = 0xffff // e_phnum is in sh_info of section header 0
)

// File is an ELF core file with the memory of a whole machine: /proc/vmcore, a saved copy
// of it, or a filtered dump in ELF form (makedumpfile -E, QEMU's dump-guest-memory).
// A File is not changed after New, so its methods may be called concurrently when the
// underlying ReaderAt allows it.
type File struct {
	Class   elf.Class
	Order   binary.ByteOrder
	Machine elf.Machine
	Flags   uint32        // e_flags
	Notes   []vmcore.Note // of all PT_NOTE segments, in file order
	Loads   []Load        // the PT_LOAD segments, in file order

	// Damage lists what is wrong with the file although the rest can be read: missing
	// data at its end (wraps io.ErrUnexpectedEOF), notes that overrun their segment, a
	// VMCOREINFO that can't be parsed. It is nil for a whole dump.
	Damage []error

	r    io.ReaderAt
	size int64

	phys, virt []span               // sorted, disjoint
	space      *vmcore.AddressSpace // for what no PT_LOAD has; nil without VMCOREINFO

	info    *vmcore.VMCoreInfo
	infoErr error
}

// New reads the headers and notes of the core file r, which is size bytes long. It doesn't
// read any memory contents. Both ELF classes and both byte orders are accepted, e_phoff is
// honoured, and more than 65534 program headers (PN_XNUM) are understood.
//
// A file that ends before its last segment is no error: see Damage and ReadPhysAt. The error
// is ErrNotCore for something else than an ELF core file, io.ErrUnexpectedEOF when the
// headers themselves are cut off.
func New(r io.ReaderAt, size int64) (*File, error) {
	f := &File{r: r, size: size}
	phoff, phnum, err := f.readHeader()
	if err != nil {
		return nil, fmt.Errorf("elfcore: %w", err)
	}
	noteSegs, err := f.readProgs(phoff, phnum)
	if err != nil {
		return nil, fmt.Errorf("elfcore: %w", err)
	}
	notes, damage := vmcore.ReadNotes(r, f.Order, noteSegs...)
	f.Notes, f.Damage = notes, append(f.Damage, damage...)
	f.phys, f.virt = f.buildSpans()
	f.info, f.infoErr = vmcore.FindVMCoreInfo(f.Notes, f.r)
	if f.infoErr != nil && !errors.Is(f.infoErr, vmcore.ErrNoVMCoreInfo) {
		f.Damage = append(f.Damage, f.infoErr)
	}
	if f.info != nil {
		f.space = vmcore.NewAddressSpace(f.Platform(), f.info, f, vmcore.Hints{Segment: f.segmentPhys})
	}
	return f, nil
}

// readHeader decodes the ELF header and returns where the program headers are.
func (f *File) readHeader() (phoff int64, phnum uint64, err error) {
	var h [ehdrSize64]byte
	if f.size < ehdrSize32 {
		return 0, 0, fmt.Errorf("%w: %d bytes long", ErrNotCore, f.size)
	}
	if err := f.readFull(h[:ehdrSize32], 0, "ELF header"); err != nil {
		return 0, 0, err
	}
	if string(h[:4]) != elf.ELFMAG {
		return 0, 0, fmt.Errorf("%w: begins with % x", ErrNotCore, h[:4])
	}
	f.Class = elf.Class(h[elf.EI_CLASS])
	switch f.Class {
	case elf.ELFCLASS32:
	case elf.ELFCLASS64:
		if err := f.readFull(h[:], 0, "ELF header"); err != nil {
			return 0, 0, err
		}
	default:
		return 0, 0, fmt.Errorf("%w: unknown ELF class %d", ErrNotCore, h[elf.EI_CLASS])
	}
	switch elf.Data(h[elf.EI_DATA]) {
	case elf.ELFDATA2LSB:
		f.Order = binary.LittleEndian
	case elf.ELFDATA2MSB:
		f.Order = binary.BigEndian
	default:
		return 0, 0, fmt.Errorf("%w: unknown data encoding %d", ErrNotCore, h[elf.EI_DATA])
	}
	o := f.Order
	if typ := elf.Type(o.Uint16(h[16:])); typ != elf.ET_CORE {
		return 0, 0, fmt.Errorf("%w: ELF type is %v, want ET_CORE", ErrNotCore, typ)
	}
	if v := o.Uint32(h[20:]); h[elf.EI_VERSION] != byte(elf.EV_CURRENT) || v != uint32(elf.EV_CURRENT) {
		return 0, 0, fmt.Errorf("%w: ELF version is %d/%d, want 1", ErrNotCore, h[elf.EI_VERSION], v)
	}
	f.Machine = elf.Machine(o.Uint16(h[18:]))

	var phoffU, shoff uint64
	var phentsize, num, shentsize uint16
	wantPh, wantSh := uint16(phdrSize64), uint16(shdrSize64)
	if f.Class == elf.ELFCLASS32 {
		wantPh, wantSh = phdrSize32, shdrSize32
		phoffU, shoff = uint64(o.Uint32(h[28:])), uint64(o.Uint32(h[32:]))
		f.Flags = o.Uint32(h[36:])
		phentsize, num, shentsize = o.Uint16(h[42:]), o.Uint16(h[44:]), o.Uint16(h[46:])
	} else {
		phoffU, shoff = o.Uint64(h[32:]), o.Uint64(h[40:])
		f.Flags = o.Uint32(h[48:])
		phentsize, num, shentsize = o.Uint16(h[54:]), o.Uint16(h[56:]), o.Uint16(h[58:])
	}
	if phentsize != wantPh {
		return 0, 0, fmt.Errorf("e_phentsize is %d, want %d", phentsize, wantPh)
	}
	phnum = uint64(num)
	if num == pnXnum && shoff != 0 {
		if shentsize != wantSh {
			return 0, 0, fmt.Errorf("e_shentsize is %d, want %d", shentsize, wantSh)
		}
		if phnum, err = f.extendedPhnum(shoff, wantSh); err != nil {
			return 0, 0, err
		}
	}
	if phnum == 0 {
		return 0, 0, fmt.Errorf("%w: no program headers", ErrNotCore)
	}
	if phnum > maxProgs {
		return 0, 0, fmt.Errorf("%d program headers; at most %d are supported", phnum, maxProgs)
	}
	tableSize := phnum * uint64(wantPh)
	if phoffU > uint64(f.size) || tableSize > uint64(f.size)-phoffU {
		return 0, 0, fmt.Errorf("%d program headers at %#x end beyond the file (%d bytes): %w",
			phnum, phoffU, f.size, io.ErrUnexpectedEOF)
	}
	return int64(phoffU), phnum, nil
}

// extendedPhnum reads the number of program headers from section header 0.
func (f *File) extendedPhnum(shoff uint64, shentsize uint16) (uint64, error) {
	if shoff > uint64(f.size) || uint64(shentsize) > uint64(f.size)-shoff {
		return 0, fmt.Errorf("section header 0 at %#x is beyond the file (%d bytes): %w",
			shoff, f.size, io.ErrUnexpectedEOF)
	}
	var s [shdrSize64]byte
	if err := f.readFull(s[:shentsize], int64(shoff), "section header 0"); err != nil {
		return 0, err
	}
	if f.Class == elf.ELFCLASS32 {
		return uint64(f.Order.Uint32(s[28:])), nil
	}
	return uint64(f.Order.Uint32(s[44:])), nil
}

// progHeader is a program header of either class.
type progHeader struct {
	typ, flags                       uint32
	off, vaddr, paddr, filesz, memsz uint64
}

func (f *File) decodeProg(b []byte) progHeader {
	o := f.Order
	if f.Class == elf.ELFCLASS32 {
		return progHeader{
			typ: o.Uint32(b), off: uint64(o.Uint32(b[4:])), vaddr: uint64(o.Uint32(b[8:])),
			paddr: uint64(o.Uint32(b[12:])), filesz: uint64(o.Uint32(b[16:])),
			memsz: uint64(o.Uint32(b[20:])), flags: o.Uint32(b[24:]),
		}
	}
	return progHeader{
		typ: o.Uint32(b), flags: o.Uint32(b[4:]), off: o.Uint64(b[8:]), vaddr: o.Uint64(b[16:]),
		paddr: o.Uint64(b[24:]), filesz: o.Uint64(b[32:]), memsz: o.Uint64(b[40:]),
	}
}

// readProgs reads the program headers: PT_LOAD into f.Loads, PT_NOTE into the result.
func (f *File) readProgs(phoff int64, phnum uint64) ([]vmcore.Extent, error) {
	entsize := phdrSize64
	if f.Class == elf.ELFCLASS32 {
		entsize = phdrSize32
	}
	br := bufio.NewReaderSize(io.NewSectionReader(f.r, phoff, int64(phnum)*int64(entsize)), 1<<16)
	var notes []vmcore.Extent
	var end uint64 // of the data the program headers promise
	var b [phdrSize64]byte
	for i := range phnum {
		if _, err := io.ReadFull(br, b[:entsize]); err != nil {
			return nil, fmt.Errorf("read program header %d of %d: %w", i, phnum, noEOF(err))
		}
		p := f.decodeProg(b[:entsize])
		if elf.ProgType(p.typ) != elf.PT_LOAD && elf.ProgType(p.typ) != elf.PT_NOTE {
			continue
		}
		if p.off > 1<<63-1 || p.filesz > 1<<63-1-p.off {
			return nil, fmt.Errorf("program header %d: %#x bytes at file offset %#x don't fit a file",
				i, p.filesz, p.off)
		}
		if p.filesz != 0 {
			end = max(end, p.off+p.filesz)
		}
		if elf.ProgType(p.typ) == elf.PT_NOTE {
			notes = append(notes, vmcore.Extent{Offset: int64(p.off), Size: int64(p.filesz)})
			continue
		}
		if p.memsz < p.filesz {
			return nil, fmt.Errorf("program header %d: p_memsz %#x is less than p_filesz %#x",
				i, p.memsz, p.filesz)
		}
		f.Loads = append(f.Loads, newLoad(p))
	}
	if end > uint64(f.size) {
		f.Damage = append(f.Damage, fmt.Errorf("file is %d bytes long, its segments end at %d: %w",
			f.size, end, io.ErrUnexpectedEOF))
	}
	return notes, nil
}

// dumpElfIncomplete is the bit makedumpfile sets in e_flags when it ran out of space.
const dumpElfIncomplete = 1

// Incomplete reports whether memory that the headers promise is missing: the file is cut off,
// or makedumpfile marked it (e_flags bit 0; only on machines where that bit has no other meaning).
func (f *File) Incomplete() bool {
	if traitsOf(f.Machine).incompleteFlag && f.Flags&dumpElfIncomplete != 0 {
		return true
	}
	for _, err := range f.Damage {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return true
		}
	}
	return false
}

// VMCoreInfo returns the dump's parsed VMCOREINFO note. The error is vmcore.ErrNoVMCoreInfo when
// there is none (perhaps because the notes are damaged: see Damage), or says what is wrong with it.
func (f *File) VMCoreInfo() (*vmcore.VMCoreInfo, error) { return f.info, f.infoErr }

// NoteData returns a reader of the whole descriptor of one of f.Notes.
func (f *File) NoteData(n *vmcore.Note) *io.SectionReader { return n.Data(f.r) }

// Platform returns how the machine of the dump lays out its data. The ELF class alone
// doesn't tell: the dump of a 32-bit machine with more than 4 GiB (PAE, LPAE) is ELF64.
func (f *File) Platform() vmcore.Platform {
	p := vmcore.Platform{Machine: f.Machine, Order: f.Order, Word: 8}
	if w := traitsOf(f.Machine).word; w != 0 {
		p.Word = w
	}
	if f.Class == elf.ELFCLASS32 {
		p.Word = 4
	}
	return p
}

// readFull fills b from file offset off; what names the thing for the error.
func (f *File) readFull(b []byte, off int64, what string) error {
	if n, err := f.r.ReadAt(b, off); n < len(b) {
		return fmt.Errorf("read %s at %#x: %w", what, off, noEOF(err))
	}
	return nil
}

// noEOF turns the plain end of file, which is never expected here, into io.ErrUnexpectedEOF.
func noEOF(err error) error {
	if err == nil || err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
