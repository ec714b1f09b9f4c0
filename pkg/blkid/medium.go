package blkid

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// What Probe reads at once, in bytes: the beginning holds nearly every superblock,
// the end those of RAIDs and mirrors. Everything else is read in small pieces.
const (
	headSize = 132 << 10
	tailSize = 132 << 10
	// maxPiece bounds one further read.
	maxPiece = 64 << 10
)

var le, be = binary.LittleEndian, binary.BigEndian

// medium is a device that is being probed. It remembers the first error, so that callers
// need not check after each read.
type medium struct {
	r          io.ReaderAt
	size       int64
	head, tail []byte
	// table is the partition table; nil for none, and until it is read.
	table *Table
	err   error
}

func newMedium(r io.ReaderAt, size int64) (*medium, error) {
	m := &medium{r: r, size: max(size, 0)}
	m.head = m.read(0, min(m.size, headSize))
	m.tail = m.read(max(0, m.size-tailSize), min(m.size, tailSize))
	return m, m.err
}

// at returns length bytes at an offset, which counts from the end if it is
// negative; nil if the device doesn't have them or they can't be read.
func (m *medium) at(offset, length int64) []byte {
	if offset < 0 {
		offset += m.size
	}
	if offset < 0 || length <= 0 || length > maxPiece || length > m.size-offset {
		return nil
	}
	end, tail := offset+length, m.size-int64(len(m.tail))
	switch {
	case end <= int64(len(m.head)):
		return m.head[offset:end]
	case offset >= tail:
		return m.tail[offset-tail : end-tail]
	}
	return m.read(offset, length)
}

func (m *medium) read(offset, length int64) []byte {
	b := make([]byte, length)
	n, err := m.r.ReadAt(b, offset)
	if int64(n) == length {
		return b
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if m.err == nil {
		m.err = fmt.Errorf("read %d bytes at offset %#x: %w", length, offset, err)
	}
	return nil
}

// has reports whether the bytes at an offset are those of magic.
func (m *medium) has(offset int64, magic string) bool {
	return string(m.at(offset, int64(len(magic)))) == magic
}
