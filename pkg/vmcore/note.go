package vmcore

import (
	"bufio"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Limits on what is kept of the notes. A device dump (NT_VMCOREDD) may have hundreds of
// MiB, and a capture kernel has little memory, so large notes stay in the file.
const (
	maxNoteName  = 256      // bytes
	maxNoteDesc  = 64 << 10 // bytes, of one descriptor held in memory
	maxNoteBytes = 8 << 20  // bytes, of all descriptors held in memory
	maxNotes     = 1 << 17
)

// Note is one ELF note.
type Note struct {
	Name string // without the terminating NUL: "CORE", "VMCOREINFO", "LINUX"
	Type elf.NType
	Desc []byte // nil when larger than 64 KiB: see Data

	off  int64 // of the descriptor in the file
	size uint32
}

// Size is the length of the descriptor in bytes, also when Desc was not kept.
func (n *Note) Size() int64 { return max(int64(n.size), int64(len(n.Desc))) }

// Data returns a reader of the whole descriptor, out of the file r that the note was read from.
func (n *Note) Data(r io.ReaderAt) *io.SectionReader {
	return io.NewSectionReader(r, n.off, int64(n.size))
}

// errNoteEnd ends a segment: the kernel stops at the first empty name, too
// (fs/proc/vmcore.c, update_note_header_size_elf64), since unused notes are zero.
var errNoteEnd = errors.New("end of notes")

// Extent is a stretch of a file, in bytes.
type Extent struct{ Offset, Size int64 }

// ReadNotes reads the ELF notes in segments of r. A damaged note ends its segment; what is wrong
// with it is in damage, and the notes before it are returned.
func ReadNotes(r io.ReaderAt, order binary.ByteOrder, segments ...Extent) (notes []Note, damage []error) {
	p := noteParser{r: r, order: order}
	for _, s := range segments {
		if p.read(s); len(p.damage) > 100 {
			break
		}
	}
	return p.notes, p.damage
}

// noteParser collects notes.
type noteParser struct {
	r      io.ReaderAt
	order  binary.ByteOrder
	notes  []Note
	damage []error
	kept   int // bytes of descriptors held in memory
	buf    *bufio.Reader
}

func (p *noteParser) read(seg Extent) {
	section := io.NewSectionReader(p.r, seg.Offset, seg.Size)
	if p.buf == nil {
		p.buf = bufio.NewReaderSize(section, 4096)
	}
	br := p.buf
	br.Reset(section)
	for pos := int64(0); pos < seg.Size; {
		n, next, err := p.note(br, seg, pos)
		if err == errNoteEnd {
			return
		}
		if err == nil && len(p.notes) >= maxNotes {
			err = fmt.Errorf("more than %d notes", maxNotes)
		}
		if err != nil {
			p.damage = append(p.damage, fmt.Errorf("note at file offset %#x: %w", seg.Offset+pos, err))
			return
		}
		p.notes = append(p.notes, n)
		pos = next
	}
}

// readNote reads the note at pos within seg, where br stands, and returns where the next one
// begins.
func (p *noteParser) note(br *bufio.Reader, seg Extent, pos int64) (n Note, next int64, err error) {
	if seg.Size-pos < 12 {
		return n, 0, errNoteEnd // padding
	}
	var h [12]byte
	if _, err := io.ReadFull(br, h[:]); err != nil {
		return n, 0, unexpectedEOF(err)
	}
	namesz, descsz := p.order.Uint32(h[0:]), p.order.Uint32(h[4:])
	n.Type = elf.NType(p.order.Uint32(h[8:]))
	if namesz == 0 {
		return n, 0, errNoteEnd
	}
	if namesz > maxNoteName {
		return n, 0, fmt.Errorf("n_namesz is %d, more than %d", namesz, maxNoteName)
	}
	// Also on 64-bit machines the kernel aligns to 4 bytes.
	descPos := pos + 12 + align4(namesz)
	if int64(descsz) > seg.Size-descPos {
		return n, 0, fmt.Errorf("n_namesz %d and n_descsz %d overrun the segment of %d bytes", namesz, descsz, seg.Size)
	}
	var name [maxNoteName]byte
	if _, err := io.ReadFull(br, name[:align4(namesz)]); err != nil {
		return n, 0, unexpectedEOF(err)
	}
	s := name[:namesz]
	for len(s) > 0 && s[len(s)-1] == 0 {
		s = s[:len(s)-1]
	}
	n.Name, n.off, n.size = string(s), seg.Offset+descPos, descsz
	next = min(descPos+align4(descsz), seg.Size)
	skip := next - descPos
	if descsz <= maxNoteDesc && p.kept+int(descsz) <= maxNoteBytes {
		n.Desc = make([]byte, descsz)
		if _, err := io.ReadFull(br, n.Desc); err != nil {
			return n, 0, unexpectedEOF(err)
		}
		p.kept += int(descsz)
		skip -= int64(descsz)
	}
	return n, next, p.skip(br, seg, next, skip)
}

// skip moves br forward by skip bytes to pos next, without reading a large descriptor.
func (p *noteParser) skip(br *bufio.Reader, seg Extent, next, skip int64) error {
	if skip <= int64(br.Buffered()) {
		_, err := br.Discard(int(skip))
		return err
	}
	br.Reset(io.NewSectionReader(p.r, seg.Offset+next, seg.Size-next))
	return nil
}

func align4(n uint32) int64 { return (int64(n) + 3) &^ 3 }

// unexpectedEOF turns the plain end of file, which is never expected here, into io.ErrUnexpectedEOF.
func unexpectedEOF(err error) error {
	if err == nil || err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
