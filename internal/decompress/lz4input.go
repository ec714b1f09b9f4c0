package decompress

import (
	"bufio"
	"io"
	"math"
)

// fdtMagic begins a flattened device tree, as it is read here: it is big-endian
// (Devicetree Specification, 5.2).
const fdtMagic = 0xedfe0dd0

// lz4Input ends before a device tree that is put behind the last block
// (Image.lz4-dtb): the kernel's own form has no mark of its end, and its reader would
// take the tree for a block. What is no LZ4 is left to the decoder to complain of
// (lz4_Frame_format.md; lib/decompress_unlz4.c).
type lz4Input struct {
	r      *bufio.Reader
	left   int64 // bytes up to the next place where a block or frame begins
	block  bool  // that is a block
	legacy bool

	blockSum, contentSum int64 // sizes of the checksums, in bytes
}

func (z *lz4Input) Read(p []byte) (int, error) {
	for z.left == 0 {
		if err := z.next(); err != nil {
			return 0, err
		}
	}
	n, err := z.r.Read(p[:min(int64(len(p)), z.left)])
	z.left -= int64(n)
	return n, err
}

// next looks at what begins here.
func (z *lz4Input) next() error {
	h, _ := z.r.Peek(8)
	if len(h) == 0 || len(h) >= 4 && le.Uint32(h) == fdtMagic && (z.legacy || !z.block) {
		return io.EOF
	}
	if len(h) < 8 {
		z.left = math.MaxInt64 // the end of all, a trailer perhaps
		return nil
	}
	word := le.Uint32(h)
	switch {
	case z.block && !z.legacy:
		z.nextBlock(word)
	case word == lz4LegacyMagic:
		z.left, z.block, z.legacy = 4, true, true
	case word == lz4Magic:
		z.left, z.block, z.legacy = 4+2+1, true, false
		flags := int64(h[4])
		z.left += (flags>>3&1)*8 + (flags&1)*4
		z.blockSum, z.contentSum = (flags>>4&1)*4, (flags>>2&1)*4
	case word&^0xf == 0x184d2a50: // to be skipped
		z.left, z.block = 8+int64(le.Uint32(h[4:])), false
	case z.block:
		z.left = 4 + int64(word)
	default:
		z.left = math.MaxInt64
	}
	return nil
}

func (z *lz4Input) nextBlock(word uint32) {
	if word == 0 { // the end of the frame
		z.left, z.block = 4+z.contentSum, false
		return
	}
	const stored = 1 << 31
	z.left = 4 + int64(word&^stored) + z.blockSum
}
