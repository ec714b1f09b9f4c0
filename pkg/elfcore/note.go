package elfcore

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
	Desc []byte // nil when larger than 64 KiB: see File.NoteData

	off  int64 // of the descriptor in the file
	size uint32
}

// Size is the length of the descriptor in bytes, also when Desc was not kept.
func (n *Note) Size() int64 { return max(int64(n.size), int64(len(n.Desc))) }

// NoteData returns a reader of the whole descriptor of one of f.Notes.
func (f *File) NoteData(n *Note) *io.SectionReader { return n.Data(f.r) }

// Data returns a reader of the whole descriptor, out of the file r that the note was read from.
func (n *Note) Data(r io.ReaderAt) *io.SectionReader {
	return io.NewSectionReader(r, n.off, int64(n.size))
}

// errNoteEnd ends a segment: the kernel stops at the first empty name, too
// (fs/proc/vmcore.c, update_note_header_size_elf64), since unused notes are zero.
var errNoteEnd = errors.New("end of notes")

// ReadNotes reads the ELF notes in size bytes of r from offset off on. A damaged note ends the
// reading; what is wrong with it is in damage, and the notes before it are returned.
func ReadNotes(r io.ReaderAt, order binary.ByteOrder, off, size int64) (notes []Note, damage []error) {
	p := noteParser{r: r, order: order}
	p.read(noteSegment{off, size})
	return p.notes, p.damage
}

// readNotes collects the notes of all segments. Damaged ones are recorded in f.Damage.
func (f *File) readNotes(segs []noteSegment) {
	p := noteParser{r: f.r, order: f.Order, damage: f.Damage}
	for _, seg := range segs {
		if p.read(seg); len(p.damage) > 100 {
			break
		}
	}
	f.Notes, f.Damage = p.notes, p.damage
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

func (p *noteParser) read(seg noteSegment) {
	section := io.NewSectionReader(p.r, seg.off, seg.size)
	if p.buf == nil {
		p.buf = bufio.NewReaderSize(section, 4096)
	}
	br := p.buf
	br.Reset(section)
	for pos := int64(0); pos < seg.size; {
		n, next, err := p.note(br, seg, pos)
		if err == errNoteEnd {
			return
		}
		if err == nil && len(p.notes) >= maxNotes {
			err = fmt.Errorf("more than %d notes", maxNotes)
		}
		if err != nil {
			p.damage = append(p.damage, fmt.Errorf("note at file offset %#x: %w", seg.off+pos, err))
			return
		}
		p.notes = append(p.notes, n)
		pos = next
	}
}

// readNote reads the note at pos within seg, where br stands, and returns where the next one
// begins.
func (p *noteParser) note(br *bufio.Reader, seg noteSegment, pos int64) (n Note, next int64, err error) {
	if seg.size-pos < 12 {
		return n, 0, errNoteEnd // padding
	}
	var h [12]byte
	if _, err := io.ReadFull(br, h[:]); err != nil {
		return n, 0, noEOF(err)
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
	if int64(descsz) > seg.size-descPos {
		return n, 0, fmt.Errorf("n_namesz %d and n_descsz %d overrun the segment of %d bytes", namesz, descsz, seg.size)
	}
	var name [maxNoteName]byte
	if _, err := io.ReadFull(br, name[:align4(namesz)]); err != nil {
		return n, 0, noEOF(err)
	}
	s := name[:namesz]
	for len(s) > 0 && s[len(s)-1] == 0 {
		s = s[:len(s)-1]
	}
	n.Name, n.off, n.size = string(s), seg.off+descPos, descsz
	next = min(descPos+align4(descsz), seg.size)
	skip := next - descPos
	if descsz <= maxNoteDesc && p.kept+int(descsz) <= maxNoteBytes {
		n.Desc = make([]byte, descsz)
		if _, err := io.ReadFull(br, n.Desc); err != nil {
			return n, 0, noEOF(err)
		}
		p.kept += int(descsz)
		skip -= int64(descsz)
	}
	return n, next, p.skip(br, seg, next, skip)
}

// skip moves br forward by skip bytes to pos next, without reading a large descriptor.
func (p *noteParser) skip(br *bufio.Reader, seg noteSegment, next, skip int64) error {
	if skip <= int64(br.Buffered()) {
		_, err := br.Discard(int(skip))
		return err
	}
	br.Reset(io.NewSectionReader(p.r, seg.off+next, seg.size-next))
	return nil
}

func align4(n uint32) int64 { return (int64(n) + 3) &^ 3 }
