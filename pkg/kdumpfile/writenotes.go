package kdumpfile

import (
	"debug/elf"
	"encoding/binary"
	"fmt"
	"io"
)

// writtenNote is a note to copy.
type writtenNote struct {
	name string
	typ  elf.NType
	data *io.SectionReader
}

// notesOf lists the notes of a dump. Compressed ones have none before version 4, but VMCOREINFO since 3.
func notesOf(d Dump) []writtenNote {
	notes := d.Notes()
	out := make([]writtenNote, len(notes))
	for i := range notes {
		n := &notes[i]
		out[i] = writtenNote{n.Name, n.Type, d.NoteData(n)}
	}
	if c, ok := undescribed(d).(*Compressed); ok && len(out) == 0 && c.info != nil {
		p := c.parts[0]
		out = append(out, writtenNote{"VMCOREINFO", 0, io.NewSectionReader(p.file, int64(p.infoOffset), int64(p.infoSize))})
	}
	return out
}

// pad4 rounds up to the 4 bytes that names and descriptors are aligned to, of 64-bit machines, too.
func pad4(n int64) int64 { return (n + 3) &^ 3 }

// noteSizes returns how many bytes copyNotes writes, and where among them the VMCOREINFO text is.
func noteSizes(notes []writtenNote) (size, info, infoSize uint64) {
	for _, n := range notes {
		size += uint64(12 + pad4(int64(len(n.name))+1))
		if n.name == "VMCOREINFO" && infoSize == 0 {
			info, infoSize = size, uint64(n.data.Size())
		}
		size += uint64(pad4(n.data.Size()))
	}
	return size, info, infoSize
}

// copyNotes writes the notes one after the other as they stand in a PT_NOTE, piece by piece. What can't be read of them is zero.
func copyNotes(w *sink, order binary.ByteOrder, notes []writtenNote) error {
	o := order.(binary.AppendByteOrder)
	for _, n := range notes {
		b := o.AppendUint32(nil, uint32(len(n.name)+1))
		b = o.AppendUint32(b, uint32(n.data.Size()))
		b = o.AppendUint32(b, uint32(n.typ))
		b = append(append(b, n.name...), make([]byte, pad4(int64(len(n.name))+1)-int64(len(n.name)))...)
		if _, err := w.Write(b); err != nil {
			return err
		}
		end := w.pos() + pad4(n.data.Size())
		buf := make([]byte, min(n.data.Size(), 32<<10))
		for off := int64(0); off < n.data.Size(); off += int64(len(buf)) {
			m, err := n.data.ReadAt(buf, off)
			if _, werr := w.Write(buf[:m]); werr != nil {
				return werr
			}
			if m < len(buf) && err != nil {
				break
			}
		}
		if err := w.zeroes(uint64(end - w.pos())); err != nil {
			return fmt.Errorf("write the notes: %w", err)
		}
	}
	return nil
}
