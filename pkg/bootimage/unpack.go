package bootimage

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
)

const (
	// sizeTrailer is the little-endian unpacked size that ends a gzip file
	// and that the kernel's build puts behind other compressed kernels.
	sizeTrailer = 4
	// maxHintRatio bounds how much is allocated because of such a size:
	// kernels compress to a third, rarely to a tenth.
	maxHintRatio = 8
	// maxDictionary is the largest window or dictionary, in bytes, that a
	// decoder allocates because a header says so. It is what the kernel's
	// build uses (zstd --ultra -22, scripts/xz_wrap.sh), however small the
	// kernel.
	maxDictionary = 128 << 20
	readBuffer    = 64 << 10
)

// codec is a compression format.
type codec struct {
	name  string
	sniff func(head []byte) bool
	open  func(r io.Reader) (io.Reader, error)
}

// codecs has lzma last: its header has no magic number.
var codecs = []codec{
	{"gzip", magic("\x1f\x8b\x08"), openGzip},
	{"xz", magic(xzMagic), openXZ},
	{"zstd", sniffZstd, openZstd},
	{"lz4", sniffLZ4, openLZ4},
	{"lzo", magic(lzopMagic), openLzop},
	{"bzip2", sniffBzip2, openBzip2},
	{"lzma", sniffLZMA, openLZMA},
}

func magic(m string) func([]byte) bool {
	return func(h []byte) bool { return bytes.HasPrefix(h, []byte(m)) }
}

// codecOf returns the codec of data that begins with h, nil for none.
func codecOf(h []byte) *codec {
	for i := range codecs {
		if codecs[i].sniff(h) {
			return &codecs[i]
		}
	}
	return nil
}

// sizeHint reads the unpacked size at off; 0 when there is none.
func (s source) sizeHint(off int64) int64 {
	b, err := s.at(off, sizeTrailer)
	if err != nil {
		return 0
	}
	return int64(le.Uint32(b))
}

// unpack decompresses src into memory, up to limit bytes. hint is what the
// unpacked size should be; it may be wrong. Then src is gone through twice, to
// learn the size first: nothing is copied, and no more is allocated than there is.
func (c *codec) unpack(src source, hint, limit int64) (source, error) {
	size := max(min(hint, limit, src.size*maxHintRatio), min(readBuffer, limit))
	b, total, err := c.read(src, size, limit)
	if err == nil && total > size {
		b, total, err = c.read(src, total, limit)
	}
	if err == nil && total > int64(len(b)) {
		err = fmt.Errorf("%w: the file changes", ErrCorrupt)
	}
	if err != nil {
		return source{}, err
	}
	return memory(b), nil
}

// read decompresses the first size bytes into memory, and counts the rest.
func (c *codec) read(src source, size, limit int64) (b []byte, total int64, err error) {
	in := &inputReader{r: io.NewSectionReader(src.r, 0, src.size)}
	r, err := c.open(in)
	if err == nil {
		b, total, err = readCounted(r, size, limit)
		if c, ok := r.(io.Closer); ok {
			err = errors.Join(err, c.Close())
		}
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
