package capture

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path"
	"strings"
	"time"
)

// ErrNoDump means that no dump is in a tar stream.
var ErrNoDump = errors.New("no dump found")

// Dump is a dump inside a device, an image or a tar file. Its offsets are those
// of the dump itself.
type Dump struct {
	*io.SectionReader
	// Name is the entry's name, "" for a bare ELF file.
	Name string
	// Offset is where the dump begins, in bytes; it can be read in place there.
	Offset int64
	// Time is when the kernel crashed that it is of, by the entry's modification
	// time; zero for a bare ELF file.
	Time time.Time
	// Incomplete is set for an entry vmcore.incomplete and for one that the
	// device or file is too short for.
	Incomplete bool

	closer io.Closer
}

// Close closes what [OpenRaw] opened.
func (d *Dump) Close() error {
	if d.closer == nil {
		return nil
	}
	return d.closer.Close()
}

// FindInTar finds the dump in a tar stream of at most size bytes: the first
// entry whose last name is vmcore, else the first vmcore.incomplete.
func FindInTar(r io.ReaderAt, size int64) (*Dump, error) {
	section := io.NewSectionReader(r, 0, max(size, 0))
	stream := tar.NewReader(section)
	var incomplete *Dump
	for {
		h, err := stream.Next()
		if err != nil {
			switch {
			case incomplete != nil:
				return incomplete, nil
			case err == io.EOF:
				return nil, ErrNoDump
			}
			return nil, fmt.Errorf("%w: %w", ErrNoDump, err)
		}
		name := path.Base(h.Name)
		if h.Typeflag != tar.TypeReg || name != VMCoreName && name != IncompleteName {
			continue
		}
		if isSparse(h) {
			return nil, fmt.Errorf("%w: %s is stored sparsely and can't be read in place; unpack it", ErrNoDump, h.Name)
		}
		// A tar.Reader reads no further than the header.
		offset, err := section.Seek(0, io.SeekCurrent)
		if err != nil {
			return nil, err
		}
		length := min(h.Size, section.Size()-offset)
		d := &Dump{SectionReader: io.NewSectionReader(r, offset, length), Name: h.Name, Offset: offset, Time: h.ModTime,
			Incomplete: name != VMCoreName || length < h.Size}
		if !d.Incomplete {
			return d, nil
		}
		if incomplete == nil {
			incomplete = d
		}
	}
}

func isSparse(h *tar.Header) bool {
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return true
		}
	}
	return false
}

// OpenRaw opens the dump on a raw device, in an image of one or in a tar file.
// A file or device that begins with an ELF header is the dump itself.
func OpenRaw(name string) (*Dump, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	d, err := openRaw(f)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", name, err), f.Close())
	}
	d.closer = f
	return d, nil
}

func openRaw(f *os.File) (*Dump, error) {
	// The end of a block device is its size, which stat doesn't know.
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	if size == 0 {
		// Files in /proc may not know their size.
		size = math.MaxInt64
	}
	var magic [4]byte
	if _, err := f.ReadAt(magic[:], 0); err == nil && string(magic[:]) == "\x7fELF" {
		return &Dump{SectionReader: io.NewSectionReader(f, 0, size)}, nil
	}
	return FindInTar(f, size)
}
