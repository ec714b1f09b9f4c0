package purgatory

import (
	"crypto/sha256"
	"fmt"
	"slices"
)

// Segment is the contents of a region: Data, then zeros up to MemSize bytes, as the
// kernel loads a kexec segment (struct kexec_segment: buf, bufsz, memsz).
type Segment struct {
	Data    []byte
	MemSize uint64
}

// digestPiece is how many bytes are hashed at once: Go's scheduler can't interrupt the
// assembly of SHA-256, and a garbage collection would wait until a kernel is hashed.
const digestPiece = 64 << 10

// Digest computes what the purgatory will: SHA-256 over the segments one after the
// other, each with its zeros.
func Digest(segments []Segment) ([32]byte, error) {
	h := sha256.New()
	zero := make([]byte, digestPiece)
	for i, s := range segments {
		n := uint64(len(s.Data))
		if n > s.MemSize {
			return [32]byte{}, fmt.Errorf("%w: segment %d has %d bytes of data in %d of memory", ErrParams, i, n, s.MemSize)
		}
		for piece := range slices.Chunk(s.Data, digestPiece) {
			h.Write(piece)
		}
		for left := s.MemSize - n; left > 0; {
			n := min(left, uint64(len(zero)))
			h.Write(zero[:n])
			left -= n
		}
	}
	return [32]byte(h.Sum(nil)), nil
}
