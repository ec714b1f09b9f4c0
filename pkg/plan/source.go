package plan

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// ErrNotRegular is wrapped when a kernel or initrd is a directory, a FIFO or a
// device: the kernel reads regular files only (fs/kernel_read_file.c).
var ErrNotRegular = errors.New("not a regular file")

// ErrEmpty is wrapped when a kernel or initrd has no bytes.
var ErrEmpty = errors.New("file is empty")

// maxFileSize is the kernel's bound on a kernel or an initrd, in bytes
// (kernel/kexec_file.c, KEXEC_FILE_SIZE_MAX).
const maxFileSize = 4 << 30

// Source is a kernel or initrd to load.
type Source struct {
	Path string
	Size int64 // bytes
	io.ReaderAt
	file *os.File // nil for bytes in memory
	id   FileID   // of file when it was opened
}

// Open opens a regular file. It never blocks on a FIFO.
func Open(path string) (*Source, error) {
	// Stat first: opening a FIFO for reading would wait for a writer.
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "load", Path: path, Err: fmt.Errorf("%w (%s)", ErrNotRegular, describeMode(info.Mode()))}
	}
	if info.Size() == 0 {
		return nil, &fs.PathError{Op: "load", Path: path, Err: ErrEmpty}
	}
	if info.Size() > maxFileSize {
		return nil, &fs.PathError{Op: "load", Path: path, Err: fmt.Errorf("file of %d bytes is over the kernel's limit of %d", info.Size(), int64(maxFileSize))}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	// Of the handle: the path may be another file's by now.
	if info, err = f.Stat(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &Source{Path: path, Size: info.Size(), ReaderAt: f, file: f, id: fileID(path, info)}, nil
}

// FromBytes is a Source that lives in memory; name stands in messages.
func FromBytes(name string, data []byte) *Source {
	return &Source{Path: name, Size: int64(len(data)), ReaderAt: bytesReaderAt(data)}
}

// Close closes the file.
func (s *Source) Close() error {
	if s == nil || s.file == nil {
		return nil
	}
	return s.file.Close()
}

// Bytes reads all of it.
func (s *Source) Bytes() ([]byte, error) {
	if b, ok := s.ReaderAt.(bytesReaderAt); ok {
		return b, nil
	}
	b := make([]byte, s.Size)
	if _, err := io.ReadFull(io.NewSectionReader(s, 0, s.Size), b); err != nil {
		return nil, fmt.Errorf("read %s (%d bytes): %w", s.Path, s.Size, err)
	}
	return b, nil
}

type bytesReaderAt []byte

func (b bytesReaderAt) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off >= int64(len(b)) {
		return 0, io.EOF
	}
	n := copy(p, b[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func describeMode(m fs.FileMode) string {
	switch {
	case m.IsDir():
		return "it is a directory"
	case m&fs.ModeNamedPipe != 0:
		return "it is a FIFO"
	case m&fs.ModeSocket != 0:
		return "it is a socket"
	case m&fs.ModeDevice != 0:
		return "it is a device"
	}
	return m.String()
}
