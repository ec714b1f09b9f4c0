package kdumpfile

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
)

// rearrangeBuffer is how many bytes Rearrange copies at once.
const rearrangeBuffer = 256 << 10

// Rearrange reads a flattened stream from r to its end mark and writes the file that it describes to w, as
// makedumpfile -R does. Nothing is read beyond the mark. It returns the size of that file in bytes. The error
// is ErrFormat for something else than a flattened stream, wraps io.ErrUnexpectedEOF for one that is cut off,
// or is w's; what came before it is written.
func Rearrange(w io.WriterAt, r io.Reader) (size int64, err error) {
	buf := make([]byte, rearrangeBuffer)
	head := buf[:flatHeaderSize]
	if n, err := io.ReadFull(r, head); err != nil {
		if n > 0 && (err == io.ErrUnexpectedEOF) && !bytes.HasPrefix(head[:n], []byte(flatSignature)[:min(n, len(flatSignature))]) {
			return 0, fmt.Errorf("%w: no flattened stream, it begins with %.16q", ErrFormat, head[:n])
		}
		return 0, fmt.Errorf("read the header of the flattened stream: %w", noEOF(err))
	}
	if err := checkFlatHeader(head); err != nil {
		return 0, err
	}
	for pos := int64(flatHeaderSize); ; {
		if _, err := io.ReadFull(r, buf[:flatRecordSize]); err != nil {
			return size, fmt.Errorf("read the record at %d of the flattened stream: %w", pos, noEOF(err))
		}
		off, n := int64(binary.BigEndian.Uint64(buf)), int64(binary.BigEndian.Uint64(buf[8:]))
		switch {
		case off == -1 && n == -1:
			return size, nil
		case off < 0, n <= 0, n > math.MaxInt64-off, n > math.MaxInt64-pos-flatRecordSize:
			return size, fmt.Errorf("flattened stream: the record at %d has %d bytes for %d", pos, n, off)
		}
		size, pos = max(size, off+n), pos+flatRecordSize+n
		for end := off + n; off < end; {
			b := buf[:min(end-off, rearrangeBuffer)]
			m, err := io.ReadFull(r, b)
			if _, werr := w.WriteAt(b[:m], off); werr != nil {
				return size, werr
			}
			if err != nil {
				return size, fmt.Errorf("read %d bytes before %d of the flattened stream: %w", end-off, pos, noEOF(err))
			}
			off += int64(m)
		}
	}
}

// checkFlatHeader checks the header of a flattened file, of which at least 32 bytes are given.
func checkFlatHeader(h []byte) error {
	if !bytes.HasPrefix(h, []byte(flatSignature)) {
		return fmt.Errorf("%w: no flattened file, it begins with %.16q", ErrFormat, h)
	}
	if typ, version := binary.BigEndian.Uint64(h[16:]), binary.BigEndian.Uint64(h[24:]); typ != flatType || version != flatVersion {
		return fmt.Errorf("%w: flattened file of type %d, version %d; 1 and 1 are known", ErrFormat, typ, version)
	}
	return nil
}
