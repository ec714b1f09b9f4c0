package decompress

import (
	"errors"
	"fmt"
	"io"
	"slices"
)

// Errors of this package, in addition to those of the reader.
var (
	// ErrTruncated means that the data ends early.
	ErrTruncated = errors.New("truncated")
	// ErrTooLarge means that it unpacks to more than the limit.
	ErrTooLarge = errors.New("too large")
	// ErrCorrupt means that it does not decompress, or has a wrong checksum.
	ErrCorrupt = errors.New("corrupt")
)

const (
	// maxHintRatio bounds how much is allocated because of a hint:
	// kernels compress to a third, rarely to a tenth.
	maxHintRatio = 8
	// MaxWindow is the largest window or dictionary, in bytes, that a
	// decoder should allocate because a header says so. It is what the kernel's
	// build uses (zstd --ultra -22, scripts/xz_wrap.sh), however small the
	// kernel.
	MaxWindow  = 128 << 20
	readBuffer = 64 << 10
)

// Codec is a compression format.
type Codec struct {
	// Name is "gzip", "xz", "zstd", "lz4", "lzo", "bzip2" or "lzma".
	Name  string
	sniff func(head []byte) bool
	open  func(r io.Reader, window int) (io.Reader, error)
}

// codecs has lzma last: its header has no magic number.
var codecs = [...]Codec{
	{"gzip", sniffGzip, openGzip},
	{"xz", sniffXZ, openXZ},
	{"zstd", sniffZstd, openZstd},
	{"lz4", sniffLZ4, openLZ4},
	{"lzo", sniffLzop, openLzop},
	{"bzip2", sniffBzip2, openBzip2},
	{"lzma", sniffLZMA, openLZMA},
}

// Of returns the codec of data that begins with head, nil for none. 16 bytes are enough.
func Of(head []byte) *Codec {
	for i := range codecs {
		if codecs[i].sniff(head) {
			return &codecs[i]
		}
	}
	return nil
}

// Named returns the codec of that name, nil for none.
func Named(name string) *Codec {
	for i := range codecs {
		if codecs[i].Name == name {
			return &codecs[i]
		}
	}
	return nil
}

// Open returns a reader of what r holds. All streams in r are read, and what follows them
// is ignored where the format ends by itself. A window or dictionary over window bytes is an error.
func (c *Codec) Open(r io.Reader, window int) (io.ReadCloser, error) {
	z, err := c.open(r, window)
	if err != nil {
		return nil, unexpected(err)
	}
	if z, ok := z.(io.ReadCloser); ok {
		return z, nil
	}
	return io.NopCloser(z), nil
}

// Unpack decompresses size bytes of r into memory, up to limit bytes. hint is what the
// unpacked size should be; it may be wrong. Then r is gone through twice, to
// learn the size first: nothing is copied, and no more is allocated than there is.
// The error wraps one of this package, or is that of r.
func (c *Codec) Unpack(r io.ReaderAt, size, hint, limit int64) ([]byte, error) {
	first := max(min(hint, limit, size*maxHintRatio), min(readBuffer, limit))
	b, total, err := c.read(r, size, first, limit)
	if err == nil && total > first {
		b, total, err = c.read(r, size, total, limit)
	}
	if err == nil && total > int64(len(b)) {
		err = fmt.Errorf("%w: the file changes", ErrCorrupt)
	}
	if err != nil {
		return nil, err
	}
	return b, nil
}

// read decompresses the first bytes into memory, and counts the rest.
func (c *Codec) read(r io.ReaderAt, size, first, limit int64) (b []byte, total int64, err error) {
	in := &inputReader{r: io.NewSectionReader(r, 0, size)}
	z, err := c.Open(in, MaxWindow)
	if err == nil {
		b, total, err = readCounted(z, first, limit)
		err = errors.Join(err, z.Close())
	}
	switch {
	case err == nil:
		return b, total, nil
	case in.err != nil:
		return nil, 0, in.err
	case errors.Is(err, ErrTooLarge), errors.Is(err, ErrTruncated), errors.Is(err, ErrCorrupt):
		return nil, 0, err
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return nil, 0, fmt.Errorf("%w: the compressed data ends early", ErrTruncated)
	}
	return nil, 0, fmt.Errorf("%w: %w", ErrCorrupt, err)
}

// inputReader remembers an error of the file, which decoders report as damage.
type inputReader struct {
	r   io.Reader
	err error
}

func (i *inputReader) Read(p []byte) (int, error) {
	n, err := i.r.Read(p)
	if err != nil && err != io.EOF {
		i.err = err
	}
	return n, err
}

// readCounted reads r to its end, and keeps the first size bytes.
func readCounted(r io.Reader, size, limit int64) (b []byte, total int64, err error) {
	b = make([]byte, size)
	n := 0
	for n < len(b) && err == nil { // not io.ReadFull: a decoder's io.ErrUnexpectedEOF is damage
		var m int
		m, err = r.Read(b[n:])
		n += m
	}
	total = int64(n)
	switch err {
	case io.EOF:
		err = nil
	case nil:
		var rest int64
		rest, err = io.Copy(io.Discard, io.LimitReader(r, limit-size+1))
		total += rest
	}
	if err == nil && total > limit {
		err = fmt.Errorf("%w: it unpacks to more than %d bytes", ErrTooLarge, limit)
	}
	return b[:n:n], total, err
}

// unexpected makes the end of the input an error where more must follow.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// readExactly reads n bytes into b, which it grows only as data comes.
func readExactly(r io.Reader, b []byte, n int) ([]byte, error) {
	const step = 1 << 20
	b = b[:0]
	for len(b) < n {
		k := min(n-len(b), step)
		b = slices.Grow(b, k)
		m, err := io.ReadFull(r, b[len(b):len(b)+k])
		b = b[:len(b)+m]
		if err != nil {
			return b, unexpected(err)
		}
	}
	return b, nil
}
