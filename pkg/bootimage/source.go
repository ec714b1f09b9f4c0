package bootimage

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/gokexec/gokexec/internal/decompress"
)

func newBytesReader(b []byte) io.ReaderAt { return bytes.NewReader(b) }

// errClosed is what reading more of an Image.Header gives.
var errClosed = errors.New("only the header of this image is there")

// closed is a source of the same size that can't be read.
func closed(s source) source { return source{r: closedFile{}, size: s.size} }

type closedFile struct{}

func (closedFile) ReadAt([]byte, int64) (int, error) { return 0, errClosed }

// bytes returns all of s, of at most limit bytes.
func (s source) bytes(limit int64) ([]byte, error) {
	if s.data != nil || s.size == 0 {
		return s.data, nil
	}
	if s.size > limit {
		return nil, fmt.Errorf("%w: %d bytes, the limit is %d", ErrTooLarge, s.size, limit)
	}
	// Allocate only for bytes which are really there.
	if _, err := s.at(s.size-1, 1); err != nil {
		return nil, err
	}
	return s.at(0, int(s.size))
}

// at reads n bytes at off. n is a small constant or checked by the caller.
func (s source) at(off int64, n int) ([]byte, error) {
	if off < 0 || off > s.size || int64(n) > s.size-off {
		return nil, fmt.Errorf("%w: %d bytes wanted at offset %#x of %d bytes", ErrTruncated, n, off, s.size)
	}
	if s.data != nil {
		return s.data[off : off+int64(n)], nil
	}
	b := make([]byte, n)
	if k, err := s.r.ReadAt(b, off); k < n {
		if err == nil || errors.Is(err, io.EOF) {
			err = fmt.Errorf("%w: the file ends at offset %#x, before its size of %d bytes", ErrTruncated, off+int64(k), s.size)
		}
		return nil, err
	}
	return b, nil
}

// head reads the first n bytes, or fewer when the source is shorter.
func (s source) head(n int) ([]byte, error) {
	if s.size < int64(n) {
		n = int(s.size)
	}
	return s.at(0, n)
}

// has reports whether s holds magic at off.
func (s source) has(off int64, magic string) (bool, error) {
	if s.size < off+int64(len(magic)) {
		return false, nil
	}
	b, err := s.at(off, len(magic))
	return string(b) == magic, err
}

// sizeTrailer is the little-endian unpacked size that ends a gzip file
// and that the kernel's build puts behind other compressed kernels.
const sizeTrailer = 4

// sizeHint reads the unpacked size at off; 0 when there is none.
func (s source) sizeHint(off int64) int64 {
	b, err := s.at(off, sizeTrailer)
	if err != nil {
		return 0
	}
	return int64(le.Uint32(b))
}

// unpack decompresses s into memory.
func unpack(c *decompress.Codec, s source, hint, limit int64) (source, error) {
	b, err := c.Unpack(s.r, s.size, hint, limit)
	if err != nil {
		return source{}, err
	}
	return memory(b), nil
}
