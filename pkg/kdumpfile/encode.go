package kdumpfile

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
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

// flags are those of a page's descriptor.
func (c Codec) flags() uint32 {
	return [...]uint32{0, pageZlib, pageLZO, pageSnappy, pageZstd}[c]
}

// encoder packs pages, one at a time.
type encoder struct {
	codec Codec
	zstd  *zstd.Encoder
	zlib  *zlib.Writer
	buf   bytes.Buffer // of zlib
}

func newEncoder(c Codec, page int) (*encoder, error) {
	e := &encoder{codec: c}
	var err error
	switch c {
	case CodecNone, CodecSnappy:
	case CodecZlib:
		e.zlib, err = zlib.NewWriterLevel(&e.buf, zlib.BestSpeed)
	case CodecZstd:
		e.zstd, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest),
			zstd.WithWindowSize(max(page, zstd.MinWindowSize)), zstd.WithEncoderCRC(false), zstd.WithLowerEncoderMem(true))
	default:
		err = fmt.Errorf("compression %v: %w", c, errors.ErrUnsupported)
	}
	return e, err
}

// encode returns the page packed into dst, which is not longer than dst's capacity, or the page itself
// if packing doesn't make it smaller; and the flags of its descriptor.
func (e *encoder) encode(dst, page []byte) ([]byte, uint32, error) {
	var out []byte
	switch e.codec {
	case CodecZlib:
		e.buf.Reset()
		e.zlib.Reset(&e.buf)
		if _, err := e.zlib.Write(page); err != nil {
			return nil, 0, err
		}
		if err := e.zlib.Close(); err != nil {
			return nil, 0, err
		}
		out = append(dst[:0], e.buf.Bytes()...)
	case CodecSnappy:
		out = s2.EncodeSnappy(dst[:cap(dst)], page)
	case CodecZstd:
		out = e.zstd.EncodeAll(page, dst[:0])
	}
	if len(out) == 0 || len(out) >= len(page) {
		return page, 0, nil
	}
	return out, e.codec.flags(), nil
}
