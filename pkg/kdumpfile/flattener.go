package kdumpfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Flattener is an io.WriterAt that writes what it is given as a flattened stream, as makedumpfile -F does: for
// a pipe or a network connection. Open reads it, and makedumpfile -R makes the file of it.
type Flattener struct {
	w   io.Writer
	buf []byte // the record that may still grow: room for its head first
	off int64  // of the record
	err error
}

// flatBuffer is how many bytes one record has at most.
const flatBuffer = 512 << 10

// NewFlattener writes the header of the stream.
func NewFlattener(w io.Writer) (*Flattener, error) {
	h := make([]byte, flatHeaderSize)
	copy(h, flatSignature)
	binary.BigEndian.PutUint64(h[16:], flatType)
	binary.BigEndian.PutUint64(h[24:], flatVersion)
	if _, err := w.Write(h); err != nil {
		return nil, fmt.Errorf("write the header of the flattened stream: %w", err)
	}
	return &Flattener{w: w, buf: make([]byte, flatRecordSize, flatRecordSize+flatBuffer)}, nil
}

// WriteAt adds b as the contents of the file at off. It is in the stream after Close at the latest. An
// error is final.
func (f *Flattener) WriteAt(b []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errors.New("negative offset")
	}
	if f.err != nil {
		return 0, f.err
	}
	if len(b) > 0 && off != f.off+int64(len(f.buf)-flatRecordSize) {
		if err := f.flush(); err != nil {
			return 0, err
		}
		f.off = off
	}
	for n := 0; ; {
		m := min(cap(f.buf)-len(f.buf), len(b)-n)
		f.buf = append(f.buf, b[n:n+m]...)
		if n += m; n == len(b) {
			return n, nil
		}
		if err := f.flush(); err != nil {
			return n, err
		}
	}
}

// flush writes the record.
func (f *Flattener) flush() error {
	n := len(f.buf) - flatRecordSize
	if f.err != nil || n == 0 {
		return f.err
	}
	binary.BigEndian.PutUint64(f.buf, uint64(f.off))
	binary.BigEndian.PutUint64(f.buf[8:], uint64(n))
	_, f.err = f.w.Write(f.buf)
	f.buf = f.buf[:flatRecordSize]
	f.off += int64(n)
	return f.err
}

// Close writes the end of the stream; it doesn't close the writer below.
func (f *Flattener) Close() error {
	if err := f.flush(); err != nil {
		return err
	}
	_, err := f.w.Write(bytes.Repeat([]byte{0xff}, flatRecordSize))
	if f.err = err; err == nil {
		f.err = errors.New("the flattened stream has its end already")
	}
	return err
}
