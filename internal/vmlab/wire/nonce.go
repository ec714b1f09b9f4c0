package wire

import (
	"crypto/sha256"
	"encoding/binary"
)

// NonceSize is the length of a nonce in bytes.
const NonceSize = sha256.Size

// FillNoncePage writes what planted page number index holds, a multiple of 32
// bytes: the nonce, the index (8 bytes, little endian) and zeros to the end of
// the second 32 bytes, then SHA-256(nonce, index, i) for each further 32-byte
// block i. So a page can be found by its beginning, and no byte of it can be
// right by chance. It is written in place, since a copy left in a heap would be
// found in a dump as well.
func FillNoncePage(page, nonce []byte, index uint64) {
	var seed [NonceSize + 16]byte
	copy(seed[:], nonce)
	binary.LittleEndian.PutUint64(seed[NonceSize:], index)
	copy(page, seed[:NonceSize+8])
	clear(page[NonceSize+8 : 2*NonceSize])
	for block := 2; block*NonceSize < len(page); block++ {
		binary.LittleEndian.PutUint64(seed[NonceSize+8:], uint64(block))
		sum := sha256.Sum256(seed[:])
		copy(page[block*NonceSize:], sum[:])
	}
}
