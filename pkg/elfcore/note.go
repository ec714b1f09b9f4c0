package elfcore

import (
	"bufio"
	"debug/elf"
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
func (f *File) NoteData(n *Note) *io.SectionReader {
	return io.NewSectionReader(f.r, n.off, int64(n.size))
}

// errNoteEnd ends a segment: the kernel stops at the first empty name, too
// (fs/proc/vmcore.c, update_note_header_size_elf64), since unused notes are zero.
var errNoteEnd = errors.New("end of notes")

// readNotes collects the notes of all segments. Damaged ones are recorded in f.Damage.
func (f *File) readNotes(segs []noteSegment) {
	kept := 0
	for _, seg := range segs {
		br := bufio.NewReaderSize(io.NewSectionReader(f.r, seg.off, seg.size), 4096)
		pos := int64(0)
		for pos < seg.size {
			n, next, err := f.readNote(br, seg, pos, &kept)
			if err == errNoteEnd {
				break
			}
			if err == nil && len(f.Notes) >= maxNotes {
				err = fmt.Errorf("more than %d notes", maxNotes)
			}
			if err != nil {
				f.Damage = append(f.Damage, fmt.Errorf("note at file offset %#x: %w", seg.off+pos, err))
				break
			}
			f.Notes = append(f.Notes, n)
			pos = next
		}
		if len(f.Damage) > 100 {
			return
		}
	}
}

// readNote reads the note at pos within seg, where br stands, and returns where the next one
// begins. kept counts the bytes of descriptors held in memory.
func (f *File) readNote(br *bufio.Reader, seg noteSegment, pos int64, kept *int) (n Note, next int64, err error) {
	if seg.size-pos < 12 {
		return n, 0, errNoteEnd // padding
	}
	var h [12]byte
	if _, err := io.ReadFull(br, h[:]); err != nil {
		return n, 0, noEOF(err)
	}
	namesz, descsz := f.Order.Uint32(h[0:]), f.Order.Uint32(h[4:])
	n.Type = elf.NType(f.Order.Uint32(h[8:]))
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
	if descsz <= maxNoteDesc && *kept+int(descsz) <= maxNoteBytes {
		n.Desc = make([]byte, descsz)
		if _, err := io.ReadFull(br, n.Desc); err != nil {
			return n, 0, noEOF(err)
		}
		*kept += int(descsz)
		skip -= int64(descsz)
	}
	return n, next, f.skipNote(br, seg, next, skip)
}

// skipNote moves br forward by skip bytes to pos next, without reading a large descriptor.
func (f *File) skipNote(br *bufio.Reader, seg noteSegment, next, skip int64) error {
	if skip <= int64(br.Buffered()) {
		_, err := br.Discard(int(skip))
		return err
	}
	br.Reset(io.NewSectionReader(f.r, seg.off+next, seg.size-next))
	return nil
}

func align4(n uint32) int64 { return (int64(n) + 3) &^ 3 }
