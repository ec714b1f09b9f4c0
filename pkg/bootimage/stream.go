package bootimage

import (
	"bufio"
	"fmt"
	"io"
)

// sniffBytes is more than any codec wants to see.
const sniffBytes = 64

// Decompress recognises the compression of r by its first bytes and returns a reader of what is
// in it, and the codec's name: "gzip", "xz", "zstd", "lz4", "lzo", "bzip2" or "lzma". Without any of
// these it returns r's own bytes and "". It allocates no more than a decoder's window, of 128 MiB at
// most; how much is read is up to the caller.
func Decompress(r io.Reader) (io.Reader, string, error) {
	br := bufio.NewReaderSize(r, readBuffer)
	head, err := br.Peek(sniffBytes)
	if err != nil && err != io.EOF {
		return nil, "", err
	}
	c := codecOf(head)
	if c == nil {
		return br, "", nil
	}
	out, err := c.open(br)
	if err != nil {
		return nil, c.name, fmt.Errorf("%s: %w", c.name, unexpected(err))
	}
	return out, c.name, nil
}
