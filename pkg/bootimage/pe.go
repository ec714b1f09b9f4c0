package bootimage

import "fmt"

const (
	peMaxSections = 96 // what the PE loader of Windows takes; UEFI firmware takes no more
	peHeaderSize  = 24 // "PE\0\0" and IMAGE_FILE_HEADER
	peSectionSize = 40
)

// peFile is as much of a PE/COFF file as is asked for here (Microsoft PE
// Format specification).
type peFile struct {
	machine  uint16
	sections []UKISection
}

func parsePE(src source) (*peFile, error) {
	dos, err := src.at(0, 0x40)
	if err != nil {
		return nil, err
	}
	off := int64(le.Uint32(dos[0x3c:]))
	b, err := src.at(off, peHeaderSize)
	if err != nil {
		return nil, fmt.Errorf("PE header: %w", err)
	}
	if string(b[:4]) != "PE\x00\x00" {
		return nil, fmt.Errorf("no PE header at %#x", off)
	}
	f := &peFile{machine: le.Uint16(b[4:])}
	n := int(le.Uint16(b[6:]))
	if n > peMaxSections {
		return nil, fmt.Errorf("PE header at %#x: %d sections, at most %d are possible", off, n, peMaxSections)
	}
	table := off + peHeaderSize + int64(le.Uint16(b[20:]))
	if b, err = src.at(table, n*peSectionSize); err != nil {
		return nil, fmt.Errorf("PE section table: %w", err)
	}
	for ; len(b) > 0; b = b[peSectionSize:] {
		s := UKISection{
			Name:        cString(b[:8]),
			VirtualSize: le.Uint32(b[8:]),
			Size:        le.Uint32(b[16:]),
			Offset:      le.Uint32(b[20:]),
		}
		f.sections = append(f.sections, s)
	}
	return f, nil
}

// find returns the index of the first section called name, or -1.
func (f *peFile) find(name string) int {
	for i, s := range f.sections {
		if s.Name == name {
			return i
		}
	}
	return -1
}

// checkBounds holds the sections against the size of the file.
func (f *peFile) checkBounds(size int64) error {
	for _, s := range f.sections {
		if s.Size != 0 && int64(s.Offset)+int64(s.Size) > size {
			return fmt.Errorf("%w: %d bytes, PE section %s has %#x bytes at offset %#x", ErrTruncated, size, printable(s.Name), s.Size, s.Offset)
		}
	}
	return nil
}
