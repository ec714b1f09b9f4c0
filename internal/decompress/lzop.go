package decompress

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/adler32"
	"hash/crc32"
	"io"

	"github.com/anchore/go-lzo"
)

const (
	lzopMagic = "\x89LZO\x00\r\n\x1a\n"
	// lzopMaxBlock is the block size limit of lzop itself. The default is
	// 256 KiB.
	lzopMaxBlock = 64 << 20
	// lzoMaxRatio: a byte of LZO1X stands for at most 255 bytes of a match.
	lzoMaxRatio = 256
)

// Flags of an lzop header (lzop 1.04, src/lzop.h; the kernel's
// lib/decompress_unlzo.c).
const (
	lzopAdler32Data       = 1 << 0
	lzopAdler32Compressed = 1 << 1
	lzopExtraField        = 1 << 6
	lzopCRC32Data         = 1 << 8
	lzopCRC32Compressed   = 1 << 9
	lzopMultipart         = 1 << 10
	lzopFilter            = 1 << 11
	lzopCRC32Header       = 1 << 12
)

// lzopReader reads the container of lzop(1).
type lzopReader struct {
	r     *bufio.Reader
	flags uint32
	in    []byte
	out   []byte // of the current block
	rest  []byte // what is left of out
	block int
	err   error
}

func sniffLzop(h []byte) bool { return bytes.HasPrefix(h, []byte(lzopMagic)) }

func openLzop(r io.Reader, _ int) (io.Reader, error) {
	z := &lzopReader{r: bufio.NewReaderSize(r, readBuffer)}
	if _, err := io.ReadFull(z.r, make([]byte, len(lzopMagic))); err != nil {
		return nil, unexpected(err)
	}
	if err := z.readHeader(); err != nil {
		return nil, unexpected(err)
	}
	return z, nil
}

// readHeader reads what follows the magic number, and checks its checksum.
func (z *lzopReader) readHeader() error {
	var header []byte
	take := func(n int) []byte {
		b := make([]byte, n)
		if _, err := io.ReadFull(z.r, b); err != nil {
			z.err = err
			return make([]byte, n)
		}
		header = append(header, b...)
		return b
	}
	be := binary.BigEndian
	version := be.Uint16(take(2))
	take(2) // version of the library
	if version >= 0x940 {
		if need := be.Uint16(take(2)); z.err == nil && need > 0x1040 {
			return fmt.Errorf("%w: version %#x of lzop is needed to extract", ErrCorrupt, need)
		}
	}
	if m := take(1)[0]; z.err == nil && (m < 1 || m > 3) {
		return fmt.Errorf("%w: compression method %d is not one of LZO1X", ErrCorrupt, m)
	}
	if version >= 0x940 {
		take(1) // level
	}
	z.flags = be.Uint32(take(4))
	if z.flags&(lzopFilter|lzopMultipart) != 0 {
		return fmt.Errorf("%w: flags %#x (filter, or one of several parts) are not supported", ErrCorrupt, z.flags)
	}
	take(4) // mode
	take(4) // mtime
	if version >= 0x940 {
		take(4) // mtime, upper half
	}
	take(int(take(1)[0])) // name
	if z.err != nil {
		return z.err
	}
	sum := adler32.Checksum(header)
	if z.flags&lzopCRC32Header != 0 {
		sum = crc32.ChecksumIEEE(header)
	}
	if got := be.Uint32(take(4)); z.err == nil && got != sum {
		return fmt.Errorf("%w: header checksum is %#08x, want %#08x", ErrCorrupt, sum, got)
	}
	if z.err == nil && z.flags&lzopExtraField != 0 {
		n := be.Uint32(take(4))
		_, z.err = io.CopyN(io.Discard, z.r, int64(n)+4) // and its checksum
	}
	return z.err
}

func (z *lzopReader) Read(p []byte) (int, error) {
	for len(z.rest) == 0 && z.err == nil {
		z.err = z.next()
		z.block++
	}
	if len(z.rest) == 0 {
		return 0, z.err
	}
	n := copy(p, z.rest)
	z.rest = z.rest[n:]
	return n, nil
}

// next reads a block. It returns io.EOF at the end mark only.
func (z *lzopReader) next() error {
	size, err := z.u32()
	if err != nil {
		return err
	}
	if size == 0 {
		return io.EOF
	}
	packed, err := z.u32()
	if err != nil {
		return err
	}
	if size > lzopMaxBlock || packed > size || uint64(size) > (uint64(packed)+1)*lzoMaxRatio {
		return fmt.Errorf("%w: block %d has %d bytes, %d compressed; at most %d are possible", ErrCorrupt, z.block, size, packed, lzopMaxBlock)
	}
	plain := packed == size
	var sums [4]uint32 // Adler-32 and CRC-32 of the data, and of the compressed data
	for i, f := range []uint32{lzopAdler32Data, lzopCRC32Data, lzopAdler32Compressed, lzopCRC32Compressed} {
		if z.flags&f == 0 || plain && i >= 2 {
			continue
		}
		if sums[i], err = z.u32(); err != nil {
			return err
		}
	}
	// The compressed bytes first: they must really be there.
	if z.in, err = readExactly(z.r, z.in, int(packed)); err != nil {
		return err
	}
	if !plain {
		if err := z.verify(z.in, sums[2:], lzopAdler32Compressed, lzopCRC32Compressed); err != nil {
			return err
		}
	}
	if z.out, err = z.decompress(int(size), plain); err != nil {
		return err
	}
	if err := z.verify(z.out, sums[:2], lzopAdler32Data, lzopCRC32Data); err != nil {
		return err
	}
	z.rest = z.out
	return nil
}

func (z *lzopReader) decompress(size int, plain bool) ([]byte, error) {
	if plain {
		return append(z.out[:0], z.in...), nil
	}
	if cap(z.out) < size {
		z.out = make([]byte, size)
	}
	out := z.out[:size]
	n, err := lzo.Decompress(z.in, out)
	if err != nil {
		return nil, fmt.Errorf("%w: block %d: %w", ErrCorrupt, z.block, err)
	}
	if n != size {
		return nil, fmt.Errorf("%w: block %d unpacks to %d bytes, want %d", ErrCorrupt, z.block, n, size)
	}
	return out, nil
}

func (z *lzopReader) verify(b []byte, sums []uint32, adlerFlag, crcFlag uint32) error {
	if z.flags&adlerFlag != 0 {
		if got := adler32.Checksum(b); got != sums[0] {
			return fmt.Errorf("%w: block %d: Adler-32 is %#08x, want %#08x", ErrCorrupt, z.block, got, sums[0])
		}
	}
	if z.flags&crcFlag != 0 {
		if got := crc32.ChecksumIEEE(b); got != sums[1] {
			return fmt.Errorf("%w: block %d: CRC-32 is %#08x, want %#08x", ErrCorrupt, z.block, got, sums[1])
		}
	}
	return nil
}

func (z *lzopReader) u32() (uint32, error) {
	var b [4]byte
	_, err := io.ReadFull(z.r, b[:])
	return binary.BigEndian.Uint32(b[:]), unexpected(err)
}
