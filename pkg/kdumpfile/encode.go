package kdumpfile

import (
	"fmt"
	"slices"

	"github.com/klauspost/compress/s2"

	"github.com/gokexec/gokexec/internal/lzo"
	"github.com/gokexec/gokexec/internal/pagepack"
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

// Codecs lists all codecs, those that make the smallest dumps first.
func Codecs() []Codec { return []Codec{CodecZstd, CodecZlib, CodecLZO, CodecSnappy, CodecNone} }

// flags are those of a page's descriptor, and of the header's status.
func (c Codec) flags() uint32 {
	return [...]uint32{0, pageZlib, pageLZO, pageSnappy, pageZstd}[c]
}

// encoder packs pages, one at a time.
type encoder struct {
	codec Codec
	zstd  *pagepack.Zstd
	zlib  *pagepack.Zlib
	lzo   *lzo.Work
}

func newEncoder(c Codec) (*encoder, error) {
	e := &encoder{codec: c}
	var err error
	switch c {
	case CodecNone, CodecSnappy:
	case CodecZlib:
		e.zlib = new(pagepack.Zlib)
	case CodecZstd:
		e.zstd = new(pagepack.Zstd)
	case CodecLZO:
		e.lzo = new(lzo.Work)
	default:
		err = fmt.Errorf("%v is not known", c)
	}
	return e, err
}

// appendPage appends the page to dst, packed, or as it is if packing doesn't make it smaller, and
// returns the flags of its descriptor.
func (e *encoder) appendPage(dst, page []byte) ([]byte, uint32) {
	start := len(dst)
	switch e.codec {
	case CodecZlib:
		dst = e.zlib.Append(dst, page)
	case CodecLZO:
		dst = lzo.Compress(slices.Grow(dst, lzo.MaxSize(len(page))), page, e.lzo)
	case CodecSnappy:
		dst = slices.Grow(dst, s2.MaxEncodedLen(len(page)))
		dst = dst[:start+len(s2.EncodeSnappy(dst[start:cap(dst)], page))]
	case CodecZstd:
		dst = e.zstd.Append(dst, page)
	}
	if n := len(dst) - start; n == 0 || n >= len(page) {
		return append(dst[:start], page...), 0
	}
	return dst, e.codec.flags()
}
