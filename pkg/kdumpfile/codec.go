package kdumpfile

import (
	"bytes"
	"fmt"
	"io"
	"sync"

	"github.com/anchore/go-lzo"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
)

// Codecs of a page, in the flags of its descriptor; 0 is a page as it is.
const (
	pageZlib   = 0x1
	pageLZO    = 0x2
	pageSnappy = 0x4
	pageZstd   = 0x20
)

// codec unpacks pages.
type codec struct {
	size int // bytes of a page

	zlib sync.Pool // of *zlibReader
	once sync.Once
	zstd *zstd.Decoder
	err  error // of making zstd
}

// zlibReader is used for one page after the other.
type zlibReader struct {
	src bytes.Reader
	r   io.ReadCloser
}

// decode unpacks src into dst, which has the size of a page.
func (c *codec) decode(dst, src []byte, flags uint32) error {
	var n int
	var err error
	switch flags {
	case 0:
		n = len(src)
		copy(dst, src)
	case pageZlib:
		n, err = c.inflate(dst, src)
	case pageLZO:
		n, err = lzo.Decompress(src, dst)
	case pageSnappy:
		if n, err = snappy.DecodedLen(src); err == nil && n == len(dst) {
			_, err = snappy.Decode(dst, src)
		}
	case pageZstd:
		n, err = c.unzstd(dst, src)
	default:
		return fmt.Errorf("unknown flags %#x", flags)
	}
	if err != nil {
		return fmt.Errorf("unpack %d bytes (%s): %w", len(src), codecName(flags), err)
	}
	if n != len(dst) {
		return fmt.Errorf("unpacks to %d bytes (%s); a page has %d", n, codecName(flags), len(dst))
	}
	return nil
}

func codecName(flags uint32) string {
	switch flags {
	case pageZlib:
		return "zlib"
	case pageLZO:
		return "lzo"
	case pageSnappy:
		return "snappy"
	case pageZstd:
		return "zstd"
	}
	return "not compressed"
}

// inflate unpacks with zlib. A page that goes on beyond dst has one byte more.
func (c *codec) inflate(dst, src []byte) (int, error) {
	z, _ := c.zlib.Get().(*zlibReader)
	if z == nil {
		z = new(zlibReader)
	}
	defer c.zlib.Put(z)
	z.src.Reset(src)
	var err error
	if z.r == nil {
		z.r, err = zlib.NewReader(&z.src)
	} else {
		err = z.r.(zlib.Resetter).Reset(&z.src, nil)
	}
	if err != nil {
		return 0, noEOF(err)
	}
	n, err := io.ReadFull(z.r, dst)
	if err == io.ErrUnexpectedEOF || err == io.EOF {
		return n, nil // too short, or cut off
	}
	if err != nil {
		return n, err
	}
	// The end of the stream has its checksum.
	var more [1]byte
	m, err := z.r.Read(more[:])
	if err == io.EOF {
		err = nil
	}
	return n + m, err
}

// maxZstdMemory bounds what a page may claim for itself: libzstd's window at level 19.
const maxZstdMemory = 8 << 20 // bytes

func (c *codec) unzstd(dst, src []byte) (int, error) {
	c.once.Do(func() {
		c.zstd, c.err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxZstdMemory), zstd.WithDecoderLowmem(true))
	})
	if c.err != nil {
		return 0, c.err
	}
	out, err := c.zstd.DecodeAll(src, dst[:0:len(dst)])
	if err == nil && len(out) == len(dst) && &out[0] != &dst[0] {
		copy(dst, out) // it needed room for a while
	}
	return len(out), err
}
