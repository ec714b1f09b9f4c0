package kdumpfile

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zlib"

	"github.com/gokexec/gokexec/internal/lzo"
	"github.com/gokexec/gokexec/internal/zstdpage"
)

// Codec is how the pages of a compressed dump are packed.
type Codec uint8

// The codecs of the format. Which of them a reader knows is up to how it was built; zlib all do.
const (
	CodecNone Codec = iota
	CodecZlib
	CodecLZO
	CodecSnappy
	CodecZstd
)

// zlibLevel is the fastest that makes dumps no larger than makedumpfile's, which are of zlib's level 1.
const zlibLevel = 6

var codecNames = [...]string{"none", "zlib", "lzo", "snappy", "zstd"}

// String returns the codec's name: none, zlib, lzo, snappy or zstd.
func (c Codec) String() string {
	if int(c) >= len(codecNames) {
		return fmt.Sprintf("Codec(%d)", uint8(c))
	}
	return codecNames[c]
}

// ParseCodec is the codec of a name.
func ParseCodec(name string) (Codec, error) {
	for i, n := range codecNames {
		if n == name {
			return Codec(i), nil
		}
	}
	return 0, fmt.Errorf("compression %q is not known: none, zlib, lzo, snappy and zstd are", name)
}

// Codecs lists all codecs, those that make the smallest dumps first.
func Codecs() []Codec { return []Codec{CodecZstd, CodecZlib, CodecLZO, CodecSnappy, CodecNone} }

// flags are those of a page's descriptor, and of the header's status.
func (c Codec) flags() uint32 {
	return [...]uint32{0, pageZlib, pageLZO, pageSnappy, pageZstd}[c]
}

// encoder packs pages, one at a time.
type encoder struct {
	codec Codec
	zstd  *zstdpage.Work
	zlib  *zlib.Writer
	lzo   *lzo.Work
	buf   bytes.Buffer // of zlib
}

func newEncoder(c Codec) (*encoder, error) {
	e := &encoder{codec: c}
	var err error
	switch c {
	case CodecNone, CodecSnappy:
	case CodecZlib:
		e.zlib, err = zlib.NewWriterLevel(&e.buf, zlibLevel)
	case CodecZstd:
		e.zstd = new(zstdpage.Work)
	case CodecLZO:
		e.lzo = new(lzo.Work)
	default:
		err = fmt.Errorf("%v is not known", c)
	}
	return e, err
}

// appendPage appends the page to dst, packed, or as it is if packing doesn't make it smaller, and
// returns the flags of its descriptor.
func (e *encoder) appendPage(dst, page []byte) ([]byte, uint32, error) {
	start := len(dst)
	switch e.codec {
	case CodecZlib:
		e.buf.Reset()
		e.zlib.Reset(&e.buf)
		if _, err := e.zlib.Write(page); err != nil {
			return dst, 0, err
		}
		if err := e.zlib.Close(); err != nil {
			return dst, 0, err
		}
		if e.buf.Len() < len(page) {
			dst = append(dst, e.buf.Bytes()...)
		}
	case CodecLZO:
		dst = lzo.Compress(slices.Grow(dst, lzo.MaxSize(len(page))), page, e.lzo)
	case CodecSnappy:
		dst = slices.Grow(dst, s2.MaxEncodedLen(len(page)))
		dst = dst[:start+len(s2.EncodeSnappy(dst[start:cap(dst)], page))]
	case CodecZstd:
		dst = zstdpage.Append(dst, page, e.zstd)
	}
	if n := len(dst) - start; n == 0 || n >= len(page) {
		return append(dst[:start], page...), 0, nil
	}
	return dst, e.codec.flags(), nil
}
