package decompress

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"io"
	"slices"

	"github.com/ulikunitz/xz/lzma"
)

// xzBlock is what a block header says.
type xzBlock struct {
	filter  uint64 // xzFilterARM64, xzFilterRISCV or 0
	start   uint32 // offset that the filter counts from
	dictCap int64  // bytes
	size    int    // bytes of the header
}

// errXZOther is a block header that the other decoder is to judge.
var errXZOther = errors.New("filters are not supported")

// parseXZBlock reads a block header of the only kinds that the kernel's
// build makes: LZMA2, or one branch filter before it.
func parseXZBlock(b []byte) (h xzBlock, err error) {
	if len(b) < 8 || b[0] == 0 || len(b) < (int(b[0])+1)*4 {
		return h, errXZOther
	}
	h.size = (int(b[0]) + 1) * 4
	b = b[:h.size]
	if crc32.ChecksumIEEE(b[:h.size-4]) != le.Uint32(b[h.size-4:]) {
		return h, errors.New("block header checksum is wrong")
	}
	flags, r := b[1], bytes.NewReader(b[2:h.size-4])
	for _, bit := range []byte{0x40, 0x80} { // compressed and uncompressed size
		if flags&bit != 0 {
			if _, err := xzVarint(r); err != nil {
				return h, err
			}
		}
	}
	for i := range int(flags&3) + 1 {
		id, err := xzVarint(r)
		if err != nil {
			return h, err
		}
		n, err := xzVarint(r)
		if err != nil {
			return h, err
		}
		if n > uint64(r.Len()) {
			return h, errXZOther
		}
		props := make([]byte, n)
		r.Read(props)
		last := i == int(flags&3)
		switch {
		case last && id == xzFilterLZMA2 && n == 1:
			if h.dictCap, err = lzma.DecodeDictCap(props[0]); err != nil {
				return h, err
			}
		case i == 0 && !last && (id == xzFilterARM64 || id == xzFilterRISCV) && (n == 0 || n == 4):
			h.filter = id
			if n == 4 {
				h.start = le.Uint32(props)
			}
		default:
			return h, errXZOther
		}
	}
	return h, nil
}

// xzVarint reads a multibyte integer (section 1.2).
func xzVarint(r io.ByteReader) (v uint64, err error) {
	for shift := 0; shift < 63; shift += 7 {
		c, err := r.ReadByte()
		if err != nil {
			return 0, errXZOther
		}
		v |= uint64(c&0x7f) << shift
		if c&0x80 == 0 {
			return v, nil
		}
	}
	return 0, errXZOther
}

// xzFiltered reads one xz stream with an ARM64 or RISCV filter.
type xzFiltered struct {
	src    *xzCounter
	window int       // the largest dictionary, in bytes
	check  hash.Hash // of what is unpacked; nil for none

	block  xzBlock
	lzma2  *lzma.Reader2 // nil between blocks
	pos    uint32        // what the filter counts, at buf[0]
	buf    []byte        // unpacked; up to done it is unfiltered and checked
	done   int           // bytes of buf that are ready
	given  int           // bytes of buf that were handed out
	ending error         // what Read returns when buf is handed out
}

// xzCounter counts what is read through it, for the padding of a block.
type xzCounter struct {
	*bufio.Reader
	n int64
}

func (c *xzCounter) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += int64(n)
	return n, err
}

func (c *xzCounter) ReadByte() (byte, error) {
	b, err := c.Reader.ReadByte()
	if err == nil {
		c.n++
	}
	return b, err
}

func newXZFiltered(src *bufio.Reader, window int) (io.Reader, error) {
	h := make([]byte, xzHeaderSize)
	if _, err := io.ReadFull(src, h); err != nil {
		return nil, unexpected(err)
	}
	if crc32.ChecksumIEEE(h[6:8]) != le.Uint32(h[8:]) {
		return nil, errors.New("stream header checksum is wrong")
	}
	x := &xzFiltered{src: &xzCounter{Reader: src}, window: window, buf: make([]byte, 0, readBuffer)}
	switch h[7] {
	case 0:
	case 1:
		x.check = crc32.NewIEEE()
	case 4:
		x.check = crc64.New(crc64.MakeTable(crc64.ECMA))
	case 10:
		x.check = sha256.New()
	default:
		return nil, fmt.Errorf("check type %d is not known", h[7])
	}
	return x, nil
}

func (x *xzFiltered) Read(p []byte) (int, error) {
	for x.given == x.done && x.ending == nil {
		x.ending = unexpectedButEnd(x.fill())
	}
	n := copy(p, x.buf[x.given:x.done])
	x.given += n
	if n == 0 && len(p) > 0 {
		return 0, x.ending
	}
	return n, nil
}

// errXZEnd is the end of the stream, where io.EOF is the end of the file.
var errXZEnd = errors.New("end of the stream")

func unexpectedButEnd(err error) error {
	if err == errXZEnd {
		return io.EOF
	}
	return unexpected(err)
}

// fill makes more of buf ready.
func (x *xzFiltered) fill() error {
	if x.lzma2 == nil {
		return x.startBlock()
	}
	// Keep what the filter could not judge yet.
	x.pos += uint32(x.done)
	x.buf = x.buf[:copy(x.buf, x.buf[x.done:])]
	x.done, x.given = 0, 0
	n, err := x.lzma2.Read(x.buf[len(x.buf):cap(x.buf)])
	x.buf = x.buf[:len(x.buf)+n]
	x.done = x.block.unfilter(x.buf, x.pos)
	if err == io.EOF {
		x.done = len(x.buf) // the last few bytes are never filtered
	} else if err != nil {
		return err
	}
	if x.check != nil {
		x.check.Write(x.buf[:x.done])
	}
	if err == io.EOF {
		return x.endBlock()
	}
	return nil
}

// startBlock reads a block header, or the index, which ends the stream: every
// block has had its check by then.
func (x *xzFiltered) startBlock() error {
	size, err := x.src.Peek(1)
	if err != nil {
		return err
	}
	if size[0] == 0 {
		return errXZEnd
	}
	h := make([]byte, (int(size[0])+1)*4)
	if _, err := io.ReadFull(x.src, h); err != nil {
		return err
	}
	if x.block, err = parseXZBlock(h); err != nil {
		return err
	}
	x.pos, x.src.n = x.block.start, 0
	x.buf, x.done, x.given = x.buf[:0], 0, 0
	if x.block.dictCap > int64(x.window) {
		return fmt.Errorf("LZMA2 dictionary of %d bytes, at most %d are allowed", x.block.dictCap, x.window)
	}
	x.lzma2, err = lzma.Reader2Config{DictCap: max(int(x.block.dictCap), lzma.MinDictCap)}.NewReader2(x.src)
	return err
}

// endBlock reads padding and check.
func (x *xzFiltered) endBlock() error {
	x.lzma2 = nil
	for x.src.n%4 != 0 {
		if c, err := x.src.ReadByte(); err != nil {
			return err
		} else if c != 0 {
			return errors.New("block padding is not zero")
		}
	}
	if x.check == nil {
		return nil
	}
	want := make([]byte, x.check.Size())
	if _, err := io.ReadFull(x.src, want); err != nil {
		return err
	}
	got := x.check.Sum(nil)
	if len(got) < sha256.Size { // the CRCs are stored little endian
		slices.Reverse(got)
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("block check is %x, want %x", got, want)
	}
	x.check.Reset()
	return nil
}
