package decompress

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"encoding/binary"
	"errors"
	"io"
	"math/bits"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/ulikunitz/xz/lzma"
)

var le = binary.LittleEndian

// gzipReader reads all members of a gzip file and stops, unlike
// compress/gzip, before what else follows: a device tree (Image.gz-dtb) or
// padding.
type gzipReader struct {
	src *bufio.Reader
	z   *gzip.Reader
}

func sniffGzip(h []byte) bool { return bytes.HasPrefix(h, []byte("\x1f\x8b\x08")) }

func openGzip(r io.Reader, _ int) (io.Reader, error) {
	g := &gzipReader{src: bufio.NewReaderSize(r, readBuffer)}
	var err error
	if g.z, err = gzip.NewReader(g.src); err != nil {
		return nil, err
	}
	g.z.Multistream(false)
	return g, nil
}

func (g *gzipReader) Read(p []byte) (int, error) {
	n, err := g.z.Read(p)
	if err != io.EOF {
		return n, err
	}
	if next, _ := g.src.Peek(3); string(next) != "\x1f\x8b\x08" {
		return n, io.EOF
	}
	if err := g.z.Reset(g.src); err != nil {
		return n, err
	}
	g.z.Multistream(false)
	return n, nil
}

func sniffBzip2(h []byte) bool {
	return len(h) >= 10 && string(h[:3]) == "BZh" && h[3] >= '1' && h[3] <= '9' && string(h[4:10]) == "1AY&SY"
}

func openBzip2(r io.Reader, _ int) (io.Reader, error) {
	return bzip2.NewReader(bufio.NewReaderSize(r, readBuffer)), nil
}

const (
	zstdMagic          = 0xfd2fb528
	zstdSkippableMagic = 0x184d2a50 // low four bits are free
)

func sniffZstd(h []byte) bool {
	if len(h) < 4 {
		return false
	}
	m := le.Uint32(h)
	return m == zstdMagic || m&^0xf == zstdSkippableMagic
}

// zstdReader ends quietly where, between frames, something else follows.
type zstdReader struct {
	z    *zstd.Decoder
	some bool // a frame has been read
}

func openZstd(r io.Reader, window int) (io.Reader, error) {
	z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(uint64(window)))
	if err != nil {
		return nil, err
	}
	return &zstdReader{z: z}, nil
}

func (z *zstdReader) Read(p []byte) (int, error) {
	n, err := z.z.Read(p)
	z.some = z.some || n > 0
	if z.some && errors.Is(err, zstd.ErrMagicMismatch) {
		err = io.EOF
	}
	return n, err
}

func (z *zstdReader) Close() error { z.z.Close(); return nil }

const (
	lz4Magic       = 0x184d2204
	lz4LegacyMagic = 0x184c2102 // what the kernel's build uses (lz4 -l)
)

func sniffLZ4(h []byte) bool {
	return len(h) >= 4 && (le.Uint32(h) == lz4Magic || le.Uint32(h) == lz4LegacyMagic)
}

func openLZ4(r io.Reader, _ int) (io.Reader, error) {
	return lz4.NewReader(&lz4Input{r: bufio.NewReaderSize(r, readBuffer)}), nil
}

// sniffLZMA tells an lzma (lzma_alone) header by its plausibility, as file(1)
// and xz do: lc, lp and pb at their defaults, a dictionary of 2^n or
// 2^n+2^(n-1) bytes, and a size that is unknown or sensible.
func sniffLZMA(h []byte) bool {
	if len(h) < lzma.HeaderLen || h[0] != 0x5d {
		return false
	}
	dict, size := le.Uint32(h[1:]), le.Uint64(h[5:])
	low := bits.TrailingZeros32(dict)
	if dict < lzma.MinDictCap || dict>>low != 1 && dict>>low != 3 {
		return false
	}
	return size == 1<<64-1 || size > 0 && size < 1<<38
}

func openLZMA(r io.Reader, window int) (io.Reader, error) {
	return lzma.ReaderConfig{DictCap: window}.NewReader(bufio.NewReaderSize(r, readBuffer))
}
