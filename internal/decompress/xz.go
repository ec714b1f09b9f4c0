package decompress

import (
	"bufio"
	"bytes"
	"errors"
	"io"

	"github.com/therootcompany/xz"
)

const (
	xzMagic      = "\xfd7zXZ\x00"
	xzHeaderSize = 12
)

// Filter ids (The .xz File Format 1.2.1, section 5.3).
const (
	xzFilterARM64 = 0x0a
	xzFilterRISCV = 0x0b
	xzFilterLZMA2 = 0x21
)

// xzReader reads xz streams. therootcompany/xz knows the filters that the
// kernel's build used until Linux 6.11; those of arm64 and riscv, in use since
// 6.12 (scripts/xz_wrap.sh), are undone by xzFiltered.
type xzReader struct {
	src *bufio.Reader
	z   *xz.Reader
}

func sniffXZ(h []byte) bool { return bytes.HasPrefix(h, []byte(xzMagic)) }

func openXZ(r io.Reader, window int) (io.Reader, error) {
	x := &xzReader{src: bufio.NewReaderSize(r, readBuffer)}
	head, err := x.src.Peek(xzHeaderSize + 1)
	if err != nil {
		return nil, unexpected(err)
	}
	head, err = x.src.Peek(xzHeaderSize + (int(head[xzHeaderSize])+1)*4)
	if err != nil {
		return nil, unexpected(err)
	}
	if h, err := parseXZBlock(head[xzHeaderSize:]); err == nil && h.filter != 0 {
		return newXZFiltered(x.src, window)
	}
	z, err := xz.NewReader(x.src, uint32(window))
	if err != nil {
		return nil, xzError(err)
	}
	z.Multistream(false)
	x.z = z
	return x, nil
}

func (x *xzReader) Read(p []byte) (int, error) {
	n, err := x.z.Read(p)
	if err != io.EOF {
		return n, xzError(err)
	}
	// The file may hold several streams; what else follows is ignored.
	if err := x.z.Reset(nil); err != nil {
		return n, io.EOF
	}
	x.z.Multistream(false)
	if _, err := x.z.Read(nil); err != nil {
		return n, io.EOF
	}
	return n, nil
}

// xzError translates the one error of the decoder that means truncation.
func xzError(err error) error {
	if errors.Is(err, xz.ErrBuf) {
		return io.ErrUnexpectedEOF
	}
	return err
}
