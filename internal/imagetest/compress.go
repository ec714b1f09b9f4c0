package imagetest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/adler32"
	"io"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/ulikunitz/xz"
	"github.com/ulikunitz/xz/lzma"
)

// Codecs are the names that Compress knows, and "xz-crc32", which is xz with the only
// check that the kernel's decoder takes. There is no bzip2 writer in Go.
var Codecs = []string{"gzip", "xz", "zstd", "lz4", "lz4-legacy", "lzma", "lzo"}

// Compress compresses b, with a checksum where the format has one.
func Compress(t testing.TB, codec string, b []byte) []byte {
	t.Helper()
	packed, err := compress(codec, b)
	if err != nil {
		t.Fatalf("imagetest: %s: %v", codec, err)
	}
	return packed
}

func compress(codec string, b []byte) ([]byte, error) {
	var out bytes.Buffer
	var w io.WriteCloser
	var err error
	switch codec {
	case "gzip":
		w = gzip.NewWriter(&out)
	case "xz":
		w, err = xz.NewWriter(&out)
	case "xz-crc32":
		w, err = xz.WriterConfig{CheckSum: xz.CRC32}.NewWriter(&out)
	case "zstd":
		w, err = zstd.NewWriter(&out, zstd.WithEncoderConcurrency(1))
	case "lz4", "lz4-legacy":
		z := lz4.NewWriter(&out)
		err = z.Apply(lz4.ChecksumOption(true))
		if codec == "lz4-legacy" {
			err = z.Apply(lz4.LegacyOption(true))
		}
		w = z
	case "lzma":
		w, err = lzma.WriterConfig{SizeInHeader: true, Size: int64(len(b))}.NewWriter(&out)
	case "lzo":
		return Lzop(b), nil
	default:
		return nil, errors.New("unknown codec")
	}
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(b); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// Lzop returns b in the container of lzop(1), in blocks of 256 KiB. Only runs of one byte
// are compressed.
func Lzop(b []byte) []byte {
	out := LzopHeader()
	for len(b) > 0 {
		block := b[:min(len(b), 256<<10)]
		b = b[len(block):]
		out = AppendLzopBlock(out, block, LZO1X(block))
	}
	return append(out, 0, 0, 0, 0)
}

// LzopHeader is how a file of lzop begins. Blocks follow, and four zero bytes.
func LzopHeader() []byte {
	be := binary.BigEndian
	head := []byte{0x10, 0x40, 0x20, 0xa0, 0x09, 0x40, 1, 5}
	head = be.AppendUint32(head, 1)          // flags: Adler-32 of the data
	head = append(head, make([]byte, 12)...) // mode, mtime
	head = append(head, 5, 'I', 'm', 'a', 'g', 'e')
	return be.AppendUint32(append([]byte("\x89LZO\x00\r\n\x1a\n"), head...), adler32.Checksum(head))
}

// AppendLzopBlock appends a block with its Adler-32, as it is if packed is not shorter.
func AppendLzopBlock(out, block, packed []byte) []byte {
	be := binary.BigEndian
	if len(packed) >= len(block) {
		packed = block
	}
	out = be.AppendUint32(out, uint32(len(block)))
	out = be.AppendUint32(out, uint32(len(packed)))
	out = be.AppendUint32(out, adler32.Checksum(block))
	return append(out, packed...)
}

// LZO1X compresses b: literals, and runs of one byte as matches at distance 1
// (Documentation/staging/lzo.rst).
func LZO1X(b []byte) []byte {
	const end = "\x11\x00\x00"
	if len(b) < 4 { // too few for a run of literals: the short form of the first byte
		return append(append([]byte{byte(17 + len(b))}, b...), end...)
	}
	var out []byte
	for len(b) > 0 {
		// Literals up to and with the first byte of a run, at least four.
		n := 4
		for n < len(b) && runLength(b[n-1:], minRun) < minRun {
			n++
		}
		out = appendCount(out, 0x00, n-3, 15)
		out = append(out, b[:n]...)
		b = b[n:]
		if len(b) == 0 {
			break
		}
		match := 0
		for last := out[len(out)-1]; match < len(b) && b[match] == last; {
			match++
		}
		if rest := len(b) - match; rest > 0 && rest < 4 {
			match -= 4 - rest
		}
		out = appendCount(out, 0x20, match-2, 31)
		out = append(out, 0, 0) // distance 1, no literals after it
		b = b[match:]
	}
	return append(out, end...)
}

// minRun is the shortest run that LZO1X makes a match of.
const minRun = 32

// runLength returns how often b's first byte is repeated at its beginning,
// but not more than limit.
func runLength(b []byte, limit int) int {
	n := 0
	for n < min(len(b), limit) && b[n] == b[0] {
		n++
	}
	return n
}

// appendCount appends an instruction whose low bits hold a count up to limit;
// a larger one follows in unary steps of 255.
func appendCount(out []byte, instruction byte, n, limit int) []byte {
	if n <= limit {
		return append(out, instruction|byte(n))
	}
	out = append(out, instruction)
	for n -= limit; n > 255; n -= 255 {
		out = append(out, 0)
	}
	return append(out, byte(n))
}
