// Package lzo compresses blocks into LZO1X streams, as makedumpfile -l has its pages, in
// the manner of LZO1X-1: one pass, with a table of where four bytes were seen last.
//
// The format is that of Documentation/staging/lzo.rst in the kernel's sources; every
// LZO1X decoder reads it, such as liblzo2 and the kernel's lzo1x_decompress_safe. What is
// written depends on the input alone. The decoder is github.com/anchore/go-lzo.
package lzo
