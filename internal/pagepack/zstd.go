package pagepack

import "encoding/binary"

// MinZstdPage is the smallest page that Zstd packs, in bytes: the field of the frame's size begins with it.
const MinZstdPage = 256

// zstdEffort is that with which a dump is no larger than one of libzstd's level 1.
var zstdEffort = effort{hashed: 5, least: 4, patience: 6}

// Zstd packs pages as Zstandard frames. It has the memory to do so; the zero value is ready. It is for one goroutine at a time.
type Zstd struct {
	search  search
	huffman huffman
	coder   sequenceCoder
}

// Append appends the page to dst as one frame. What of a page doesn't get smaller by that is in it as it is.
// A page has at least MinZstdPage bytes.
func (z *Zstd) Append(dst, page []byte) []byte {
	// Magic number; one segment, its size in two bytes less 256, or in four; no checksum.
	dst = append(dst, 0x28, 0xb5, 0x2f, 0xfd)
	if n := len(page) - MinZstdPage; n < 1<<16 {
		dst = append(dst, 0x60, byte(n), byte(n>>8))
	} else {
		dst = binary.LittleEndian.AppendUint32(append(dst, 0xa0), uint32(len(page)))
	}
	z.search.last = [3]int{1, 4, 8}
	for len(page) > maxBlock {
		dst = z.appendBlock(dst, page[:maxBlock], 0)
		page = page[maxBlock:]
	}
	return z.appendBlock(dst, page, 1)
}

// appendBlock appends a block, RFC 8878 section 3.1.1.2; end is 1 for the last one.
func (z *Zstd) appendBlock(dst, b []byte, end int) []byte {
	start, last := len(dst), z.search.last
	dst = append(dst, 0, 0, 0)
	z.search.run(b, zstdEffort)
	dst = z.huffman.appendLiterals(dst, z.search.lits[:z.search.nlits])
	dst = z.coder.append(dst, z.search.seqs)
	size, kind := len(dst)-start-3, 2
	if size >= len(b) {
		dst = append(dst[:start+3], b...)
		size, kind, z.search.last = len(b), 0, last
	}
	head := size<<3 | kind<<1 | end
	dst[start], dst[start+1], dst[start+2] = byte(head), byte(head>>8), byte(head>>16)
	return dst
}
