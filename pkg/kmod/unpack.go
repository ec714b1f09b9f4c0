package kmod

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/gokexec/gokexec/internal/decompress"
)

const (
	// maxModule bounds one unpacked module in bytes. The largest in use, GPU
	// drivers with debug information, have some 300 MB.
	maxModule = 512 << 20
	// maxIndex bounds the files that depmod and the kernel's build write.
	maxIndex = 64 << 20
	// maxDict bounds the window a compressed module may ask for. Kernels pack
	// with 1 MiB (xz, scripts/Makefile.modinst) and 8 MiB (zstd's default).
	maxDict = 64 << 20
)

// errTooLarge is what reading past a limit gives.
var errTooLarge = errors.New("too large")

// Packing is how a module file is compressed.
type Packing int

// The packings that CONFIG_MODULE_COMPRESS knows.
const (
	Plain Packing = iota
	Gzip
	XZ
	Zstd
)

// Ext returns what the packing adds to a file's name: "", ".gz", ".xz" or
// ".zst".
func (p Packing) Ext() string {
	switch p {
	case Gzip:
		return ".gz"
	case XZ:
		return ".xz"
	case Zstd:
		return ".zst"
	}
	return ""
}

// PackingOf tells a module's packing by its first bytes (6 are enough); a
// file's name is not trusted. Anything unknown is Plain: what it holds is for
// the ELF reader to say.
func PackingOf(head []byte) Packing {
	c := decompress.Of(head)
	if c == nil {
		return Plain
	}
	switch c.Name {
	case "gzip":
		return Gzip
	case "xz":
		return XZ
	case "zstd":
		return Zstd
	}
	return Plain
}

// Unpack returns the ELF image inside a module file, or file itself when it is
// not compressed. The result is at most 512 MiB.
func Unpack(file []byte) ([]byte, error) {
	return unpack(file, maxModule)
}

func unpack(file []byte, limit int64) ([]byte, error) {
	if PackingOf(file) == Plain {
		return file, nil
	}
	c := decompress.Of(file)
	r, err := c.Open(bytes.NewReader(file), maxDict)
	if err != nil {
		return nil, fmt.Errorf("unpack %s: %w", c.Name, err)
	}
	defer r.Close()
	b, err := readAll(r, limit)
	if err != nil {
		return nil, fmt.Errorf("unpack %s: %w", c.Name, err)
	}
	return b, nil
}

// readAll is io.ReadAll with a limit in bytes; more is errTooLarge.
func readAll(r io.Reader, limit int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("%w: more than %d bytes", errTooLarge, limit)
	}
	return b, nil
}
