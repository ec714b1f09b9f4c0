package decompress

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/therootcompany/xz"
	"github.com/ulikunitz/xz/lzma"
)

// ErrXZCheck means that an xz stream has an integrity check that the kernel's decoder refuses.
var ErrXZCheck = errors.New("the kernel knows no other check than CRC32 (xz --check=crc32)")

// streams are what the kernel unpacks an initramfs with, by the two bytes that it looks at
// (lib/decompress.c, compressed_formats).
var streams = []struct {
	magic, name string
	open        func(*bufio.Reader) (io.Reader, error)
}{
	{"\x1f\x8b", "gzip", streamGzip},
	{"BZ", "bzip2", streamBzip2},
	{"\x5d\x00", "lzma", func(br *bufio.Reader) (io.Reader, error) {
		return lzma.ReaderConfig{DictCap: MaxWindow}.NewReader(br)
	}},
	{"\xfd7", "xz", streamXZ},
	{"\x89L", "lzo", func(br *bufio.Reader) (io.Reader, error) { return openLzop(br, MaxWindow) }},
	{"\x02\x21", "lz4", streamLZ4},
	{"\x28\xb5", "zstd", streamZstd},
}

// NewReader gives a reader that is fit for Stream.
func NewReader(r io.Reader) *bufio.Reader { return bufio.NewReaderSize(r, readBuffer) }

// Stream recognises the compression of br as the kernel's decompress_method does
// (lib/decompress.c), and returns a reader of one stream and the codec's name: "gzip", "bzip2", "lzma",
// "xz", "lzo", "lz4" (legacy frames) or "zstd"; "" and no reader for none of these. When that reader
// has given io.EOF, br stands where the kernel goes on: right behind the stream.
// br must be a NewReader. No decoder allocates more than its window, of 128 MiB at most.
func Stream(br *bufio.Reader) (io.Reader, string, error) {
	head, err := br.Peek(2)
	if err != nil && err != io.EOF {
		return nil, "", err
	}
	for _, s := range streams {
		if !bytes.Equal(head, []byte(s.magic)) {
			continue
		}
		r, err := s.open(br)
		if err != nil {
			return nil, s.name, fmt.Errorf("%s: %w", s.name, unexpected(err))
		}
		return &namedStream{r: r, name: s.name}, s.name, nil
	}
	return nil, "", nil
}

// namedStream puts the codec's name before errors, and gives the first one ever after: not all
// decoders do.
type namedStream struct {
	r    io.Reader
	name string
	err  error
}

func (s *namedStream) Read(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		err = fmt.Errorf("%s: %w", s.name, err)
	}
	s.err = err
	return n, err
}

func streamGzip(br *bufio.Reader) (io.Reader, error) {
	z, err := gzip.NewReader(br)
	if err != nil {
		return nil, err
	}
	z.Multistream(false)
	return z, nil
}

func streamXZ(br *bufio.Reader) (io.Reader, error) {
	head, err := br.Peek(xzHeaderSize)
	if err != nil {
		return nil, err
	}
	if head[7] > 1 { // 0: none, 1: CRC32 (lib/xz/xz_dec_stream.c, dec_stream_header)
		return nil, ErrXZCheck
	}
	in := &xzInput{br: br}
	z, err := xz.NewReader(in, MaxWindow)
	if err != nil {
		return nil, xzError(err)
	}
	z.Multistream(false)
	return &xzStream{in, z}, nil
}

// xzStream ends at the stream's end. The decoder goes on over zeros up to the first other byte, and
// takes zeros that are no multiple of 4 for damage, which the kernel doesn't.
type xzStream struct {
	in *xzInput
	z  *xz.Reader
}

func (x *xzStream) Read(p []byte) (int, error) {
	n, err := x.z.Read(p)
	if errors.Is(err, xz.ErrData) && x.in.behindFooter() {
		err = io.EOF
	}
	return n, xzError(err)
}

// xzInput gives one byte at a time and takes it out of br only when the next is asked for.
type xzInput struct {
	br    *bufio.Reader
	held  bool // the first byte of br was given
	tail  [xzHeaderSize]byte
	zeros int // given behind tail
}

func (x *xzInput) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if x.held {
		if err := x.take(); err != nil {
			return 0, err
		}
	}
	b, err := x.br.Peek(1)
	if err != nil {
		return 0, err
	}
	p[0], x.held = b[0], true
	return 1, nil
}

func (x *xzInput) take() error {
	x.held = false
	b, err := x.br.ReadByte()
	if err != nil {
		return err
	}
	if b == 0 {
		x.zeros++
		return nil
	}
	for range min(x.zeros, len(x.tail)) {
		x.push(0)
	}
	x.zeros = 0
	x.push(b)
	return nil
}

func (x *xzInput) push(b byte) {
	copy(x.tail[:], x.tail[1:])
	x.tail[len(x.tail)-1] = b
}

// behindFooter tells whether only zeros lie between a stream's footer and the byte that was given last
// (The .xz File Format 1.2.1, section 2.1.2).
func (x *xzInput) behindFooter() bool {
	return string(x.tail[10:]) == "YZ" && crc32.ChecksumIEEE(x.tail[4:10]) == le.Uint32(x.tail[:])
}

// streamZstd hands the decoder one frame: it would look for another.
func streamZstd(br *bufio.Reader) (io.Reader, error) {
	head, err := br.Peek(zstd.HeaderMaxSize)
	if err != nil && err != io.EOF {
		return nil, err
	}
	var h zstd.Header
	if err := h.Decode(head); err != nil {
		return nil, err
	}
	return openZstd(&zstdFrame{br: br, left: h.HeaderSize, sum: h.HasCheckSum}, MaxWindow)
}

// zstdFrame gives the bytes of one frame (RFC 8878, section 3.1.1).
type zstdFrame struct {
	br   *bufio.Reader
	left int  // bytes of the header or block that is being read
	last bool // no block follows
	sum  bool // a checksum of 4 bytes follows the last block
}

func (f *zstdFrame) Read(p []byte) (int, error) {
	if f.left == 0 {
		if err := f.next(); err != nil {
			return 0, err
		}
	}
	n, err := f.br.Read(p[:min(len(p), f.left)])
	f.left -= n
	return n, err
}

func (f *zstdFrame) next() error {
	switch {
	case f.last && !f.sum:
		return io.EOF
	case f.last:
		f.sum, f.left = false, 4
		return nil
	}
	h, err := f.br.Peek(3)
	if err != nil {
		return unexpected(err)
	}
	v := int(h[0]) | int(h[1])<<8 | int(h[2])<<16
	f.last, f.left = v&1 != 0, 3+v>>3
	if v>>1&3 == 1 { // a repeated byte
		f.left = 3 + 1
	}
	return nil
}

// lz4Chunk is what the kernel unpacks a chunk to, in bytes (lib/decompress_unlz4.c).
const lz4Chunk = 8 << 20

// lz4Stream reads legacy frames by the kernel's rules: zeros where a chunk's size would be, or less
// than a size, end the stream.
type lz4Stream struct {
	br   *bufio.Reader
	in   []byte
	out  []byte
	rest []byte // what is left of out
}

func streamLZ4(br *bufio.Reader) (io.Reader, error) {
	head, err := br.Peek(4)
	if err != nil {
		return nil, err
	}
	if le.Uint32(head) != lz4LegacyMagic {
		return nil, fmt.Errorf("%w: it begins with % x", ErrCorrupt, head)
	}
	return &lz4Stream{br: br}, nil
}

func (z *lz4Stream) Read(p []byte) (int, error) {
	for len(z.rest) == 0 {
		if err := z.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, z.rest)
	z.rest = z.rest[n:]
	return n, nil
}

func (z *lz4Stream) next() error {
	head, err := z.br.Peek(4)
	if err == io.EOF {
		return io.EOF
	}
	if err != nil {
		return err
	}
	size := le.Uint32(head)
	if size == 0 {
		return io.EOF
	}
	if _, err := z.br.Discard(4); err != nil {
		return err
	}
	if size == lz4LegacyMagic {
		return nil
	}
	if int64(size) > int64(lz4.CompressBlockBound(lz4Chunk)) {
		return fmt.Errorf("%w: a chunk of %d bytes", ErrCorrupt, size)
	}
	if z.in, err = readExactly(z.br, z.in, int(size)); err != nil {
		return err
	}
	// A byte of a chunk stands for at most 255 (lz4_Block_format.md).
	if need := int(min(int64(size)*255+64, lz4Chunk)); cap(z.out) < need {
		z.out = make([]byte, need)
	}
	n, err := lz4.UncompressBlock(z.in, z.out[:cap(z.out)])
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	z.rest = z.out[:n]
	return nil
}

// bzip2Stream ends where compress/bzip2 looks for a further stream and finds something else.
type bzip2Stream struct {
	in *heldBack
	z  io.Reader
}

// bzip2Other is how compress/bzip2 tells that the two bytes behind a stream are not "BZ".
const bzip2Other = bzip2.StructuralError("bad magic value in continuation file")

func streamBzip2(br *bufio.Reader) (io.Reader, error) {
	in := &heldBack{br: br}
	return &bzip2Stream{in, bzip2.NewReader(in)}, nil
}

func (b *bzip2Stream) Read(p []byte) (int, error) {
	n, err := b.z.Read(p)
	if errors.Is(err, bzip2Other) {
		return n, io.EOF
	}
	return n, err
}

// heldBack gives bytes, but takes the last two out of br only when more are asked for. The end of
// br looks like two zeros.
type heldBack struct {
	br   *bufio.Reader
	held int // bytes given but not taken, zeros at the end included
}

func (h *heldBack) ReadByte() (byte, error) {
	if h.held == 2 {
		if _, err := h.br.Discard(1); err != nil {
			return 0, unexpected(err)
		}
		h.held--
	}
	b, err := h.br.Peek(h.held + 1)
	if err != nil && err != io.EOF {
		return 0, err
	}
	h.held++
	if len(b) < h.held {
		return 0, nil
	}
	return b[h.held-1], nil
}

func (h *heldBack) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	c, err := h.ReadByte()
	if err != nil {
		return 0, err
	}
	p[0] = c
	return 1, nil
}
