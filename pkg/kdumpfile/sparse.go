package kdumpfile

import (
	"errors"
	"io"
	"math"
	"os"

	"golang.org/x/sys/unix"
)

// Sparse is a File that knows its holes, which read as zeroes. Reading a bitmap then costs only as much as
// the file really stores, however large it claims to be.
type Sparse interface {
	File
	// NextData returns the first stretch of bytes at or after off that are held, or io.EOF.
	// A file that can't tell says that everything is.
	NextData(off int64) (start, end int64, err error)
}

// NewFile returns size bytes of f from off on as a File that knows its holes, where the filesystem does
// (lseek(2), SEEK_DATA). Its methods move the file's offset.
func NewFile(f *os.File, off, size int64) Sparse {
	return &sparseFile{SectionReader: io.NewSectionReader(f, off, size), f: f, off: off}
}

type sparseFile struct {
	*io.SectionReader
	f   *os.File
	off int64 // where it begins in f
}

func (s *sparseFile) NextData(off int64) (start, end int64, err error) {
	if off < 0 || off >= s.Size() {
		return 0, 0, io.EOF
	}
	start, err = s.f.Seek(s.off+off, unix.SEEK_DATA)
	switch {
	case errors.Is(err, unix.ENXIO):
		return 0, 0, io.EOF
	case err != nil: // a device, or a filesystem that can't tell
		return off, s.Size(), nil
	}
	if end, err = s.f.Seek(start, unix.SEEK_HOLE); err != nil {
		end = math.MaxInt64
	}
	if start -= s.off; start >= s.Size() {
		return 0, 0, io.EOF
	}
	return start, min(end-s.off, s.Size()), nil
}

// nextData is NextData of any file.
func nextData(r io.ReaderAt, off int64) (start, end int64, err error) {
	if s, ok := r.(Sparse); ok {
		return s.NextData(off)
	}
	return off, math.MaxInt64, nil
}
