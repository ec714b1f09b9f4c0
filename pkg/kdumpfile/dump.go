package kdumpfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/gokexec/gokexec/pkg/elfcore"
	"github.com/gokexec/gokexec/pkg/memmap"
	"github.com/gokexec/gokexec/pkg/vmcore"
)

// Errors that callers tell apart.
var (
	// ErrFormat means that a file is no dump of a known form.
	ErrFormat = errors.New("not a dump of a known format")
	// ErrSplit means that a file is one part of a dump that makedumpfile --split made, and others
	// are missing.
	ErrSplit = errors.New("part of a split dump")
	// ErrExcluded means that a page was memory of the machine and a filter left it out. It is an
	// vmcore.ErrNotInDump.
	ErrExcluded error = &excludedError{}
)

type excludedError struct{}

func (*excludedError) Error() string {
	return "page left out by the dump's filter: " + vmcore.ErrNotInDump.Error()
}

func (*excludedError) Unwrap() error { return vmcore.ErrNotInDump }

// Dump is the memory of a crashed machine. Its methods may be called concurrently if the files
// may be read so.
type Dump interface {
	// Platform returns machine, word size and byte order.
	Platform() vmcore.Platform
	// VMCoreInfo returns what the kernel says about itself, or vmcore.ErrNoVMCoreInfo.
	VMCoreInfo() (*vmcore.VMCoreInfo, error)
	// Notes returns the ELF notes: the registers of each CPU, VMCOREINFO.
	Notes() []vmcore.Note
	// NoteData returns a reader of the whole descriptor of one of Notes.
	NoteData(n *vmcore.Note) *io.SectionReader
	// ReadPhysAt fills b with the memory at a physical address, ReadVirtAt with that at a virtual
	// address of the crashed kernel. They return the number of bytes read; when that is less
	// than len(b), the error says why: vmcore.ErrNotInDump (ErrExcluded where that is known),
	// io.ErrUnexpectedEOF where the file ends, or the file's own error.
	ReadPhysAt(b []byte, addr memmap.PhysAddr) (int, error)
	ReadVirtAt(b []byte, addr uint64) (int, error)
	// NextMemory returns the first stretch at or after addr of memory that the crashed machine had,
	// as far as the dump tells, NextHeld of memory whose contents the dump holds. Stretches are
	// whole pages if addr is the begin of one; they ascend without overlap, may touch, and io.EOF comes after
	// the last. (A real /proc/vmcore has the kernel's text in two PT_LOADs.)
	NextMemory(addr memmap.PhysAddr) (memmap.Range, error)
	NextHeld(addr memmap.PhysAddr) (memmap.Range, error)
	// Incomplete reports that memory that the dump should contain is missing, as far as
	// that can be detected without reading all of it.
	Incomplete() bool
	// Damage lists what is wrong with the file although the rest can be read.
	Damage() []error
}

// File is an open file; *io.SectionReader and *bytes.Reader are.
type File interface {
	io.ReaderAt
	Size() int64 // bytes
}

// Mapped is a File that can be mapped into memory, so that it can be written from without a copy.
type Mapped interface {
	File
	// InPlace calls use with n bytes at an offset where they are mapped, which are valid until it returns. They may
	// change meanwhile. false means that they aren't mapped, or that a page of them couldn't be read, so that what
	// use has done is worth nothing: ReadAt tells then what is there.
	InPlace(offset int64, n int, use func(b []byte) error) (ok bool, err error)
}

// Open reads the headers of a dump: one file, or all the parts of a split one in any order.
// No memory contents are read. The error is ErrFormat for something else, ErrSplit when parts
// are missing, or says what is wrong with the headers.
func Open(files ...File) (Dump, error) {
	if len(files) == 0 {
		return nil, fmt.Errorf("kdumpfile: %w: no file", ErrFormat)
	}
	var parts []*part
	for i, f := range files {
		d, p, err := open(f)
		if err != nil {
			if len(files) > 1 {
				return nil, fmt.Errorf("kdumpfile: file %d of %d: %w", i+1, len(files), err)
			}
			return nil, fmt.Errorf("kdumpfile: %w", err)
		}
		if d != nil {
			if len(files) > 1 {
				return nil, fmt.Errorf("kdumpfile: file %d of %d is a whole dump; several files can only be parts of a split one", i+1, len(files))
			}
			return d, nil
		}
		parts = append(parts, p)
	}
	c, err := join(parts)
	if err != nil {
		return nil, fmt.Errorf("kdumpfile: %w", err)
	}
	return c, nil
}

// open recognises one file: an ELF dump, or a file of a compressed one.
func open(f File) (Dump, *part, error) {
	var damage []error
	head, err := readHead(f)
	if err != nil {
		return nil, nil, err
	}
	if bytes.HasPrefix(head, []byte(flatSignature)) {
		flat, err := NewFlattened(f, f.Size())
		if err != nil {
			return nil, nil, err
		}
		damage = flat.Damage
		f = flat
		if head, err = readHead(f); err != nil {
			return nil, nil, fmt.Errorf("flattened: %w", err)
		}
	}
	switch {
	case bytes.HasPrefix(head, []byte("\x7fELF")):
		core, err := elfcore.New(f, f.Size())
		if err != nil {
			return nil, nil, err
		}
		return newELF(core, f, damage), nil, nil
	case bytes.HasPrefix(head, []byte(kdumpSignature)):
		p, err := openPart(f)
		if err != nil {
			return nil, nil, err
		}
		p.damage = append(p.damage, damage...)
		return nil, p, nil
	case bytes.HasPrefix(head, []byte("DISKDUMP")):
		return nil, nil, fmt.Errorf("%w: a diskdump of Linux 2.4", ErrFormat)
	}
	return nil, nil, fmt.Errorf("%w: it begins with %.16q", ErrFormat, head)
}

// readHead returns the first 16 bytes, fewer if the file is shorter.
func readHead(f File) ([]byte, error) {
	head := make([]byte, min(16, max(f.Size(), 0)))
	if n, err := f.ReadAt(head, 0); n < len(head) {
		return nil, fmt.Errorf("read the first bytes: %w", noEOF(err))
	}
	return head, nil
}

// Recognised reports whether a file that begins with head, at least 16 bytes of it, may be a dump.
func Recognised(head []byte) bool {
	for _, magic := range []string{"\x7fELF", kdumpSignature, flatSignature} {
		if bytes.HasPrefix(head, []byte(magic)) {
			return true
		}
	}
	return false
}

// ELF is a dump in the form of an ELF core. Memory that a filter left out (p_memsz beyond
// p_filesz) reads as zeroes: see elfcore.File.
type ELF struct {
	*elfcore.File
	file   File
	damage []error // of the stream it came in

	exact        memmap.Set // the memory, to the byte
	memory, held memmap.Set // in whole pages
}

func newELF(core *elfcore.File, f File, damage []error) *ELF {
	e := &ELF{File: core, file: f, damage: damage}
	page := PageSize(e)
	e.exact = core.Memory()
	e.memory, e.held = wholePages(e.exact, page), wholePages(core.Held(), page)
	return e
}

// Notes returns the ELF notes.
func (e *ELF) Notes() []vmcore.Note { return e.File.Notes }

// Damage lists what is wrong with the file and with the stream it came in.
func (e *ELF) Damage() []error {
	return append(e.damage[:len(e.damage):len(e.damage)], e.File.Damage...)
}

// Incomplete reports that the file or its stream is cut off, or that makedumpfile marked it.
func (e *ELF) Incomplete() bool { return len(e.damage) > 0 || e.File.Incomplete() }

// noEOF turns the plain end of file, which is never expected here, into io.ErrUnexpectedEOF.
func noEOF(err error) error {
	if err == nil || err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
