package purgatory

import (
	"crypto/sha256"
	"fmt"
)

// Segment is the contents of a region: Data, then zeros up to MemSize bytes, as the
// kernel loads a kexec segment (struct kexec_segment: buf, bufsz, memsz).
type Segment struct {
	Data    []byte
	MemSize uint64
}

// Digest computes what the purgatory will: SHA-256 over the segments one after the
// other, each with its zeros.
func Digest(segments []Segment) ([32]byte, error) {
	h := sha256.New()
	zero := make([]byte, 64<<10)
	for i, s := range segments {
		n := uint64(len(s.Data))
		if n > s.MemSize {
			return [32]byte{}, fmt.Errorf("%w: segment %d has %d bytes of data in %d of memory", ErrParams, i, n, s.MemSize)
		}
		h.Write(s.Data)
		for left := s.MemSize - n; left > 0; {
			n := min(left, uint64(len(zero)))
			h.Write(zero[:n])
			left -= n
		}
	}
	return [32]byte(h.Sum(nil)), nil
}
