// Package wire is the protocol between a VM laboratory's host and its guest.
//
// One frame is one line: a record separator (0x1e), the CRC-32 of the JSON
// text as 8 hex digits, a space, the JSON text, a newline. JSON escapes
// control characters, so neither separator nor newline can occur inside;
// whatever else appears on the line (a stray kernel message, a half-written
// frame of a kernel that has just been replaced) is skipped up to the last
// separator. Bytes travel as base64, as encoding/json does it.
//
// The host asks with Request, the guest answers with Reply. The guest
// acknowledges each request when it has read it, and the host sends the next
// one only then: a 16550 has no flow control in QEMU, and the guest's tty
// layer drops what exceeds its 64 KiB of buffers. A request is therefore never
// larger than [MaxRequest].
package wire

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sync"
)

const (
	separator = 0x1e

	// MaxRequest is the largest frame the host may send, in bytes. The
	// guest's tty buffers hold 64 KiB (drivers/tty/tty_buffer.c,
	// TTYB_DEFAULT_MEM_LIMIT).
	MaxRequest = 48 << 10
	// MaxReply is the largest frame the guest may send, in bytes.
	MaxReply = 1 << 20
	// Chunk is how many payload bytes one frame carries at most: as base64
	// they stay below MaxRequest.
	Chunk = 32 << 10
)

// ErrCorrupt says that a frame arrived damaged.
var ErrCorrupt = errors.New("corrupt frame")

// AppendFrame appends message as one frame to b.
func AppendFrame(b []byte, message any) ([]byte, error) {
	text, err := json.Marshal(message)
	if err != nil {
		return b, err
	}
	b = append(b, separator)
	b = fmt.Appendf(b, "%08x ", crc32.ChecksumIEEE(text))
	b = append(b, text...)
	return append(b, '\n'), nil
}

// Writer writes frames. It is safe for concurrent use.
type Writer struct {
	mu  sync.Mutex
	w   io.Writer
	max int
}

// NewWriter returns a Writer that refuses frames larger than limit bytes.
func NewWriter(w io.Writer, limit int) *Writer {
	return &Writer{w: w, max: limit}
}

// Write sends message in one frame.
func (w *Writer) Write(message any) error {
	frame, err := AppendFrame(nil, message)
	if err != nil {
		return err
	}
	if len(frame) > w.max {
		return fmt.Errorf("frame of %d bytes exceeds the limit of %d", len(frame), w.max)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	_, err = w.w.Write(frame)
	return err
}

// Reader reads frames.
type Reader struct {
	r   *bufio.Reader
	max int
	// Noise, if set, is given the bytes that belonged to no frame.
	Noise func([]byte)
}

// NewReader returns a Reader that takes frames of at most limit bytes.
func NewReader(r io.Reader, limit int) *Reader {
	return &Reader{r: bufio.NewReaderSize(r, 64<<10), max: limit}
}

// Read waits for the next frame and decodes it into message. A damaged frame
// gives an error that is ErrCorrupt; reading may go on after it. Lines without
// a separator are noise and skipped.
func (r *Reader) Read(message any) error {
	for {
		line, err := r.line()
		if err != nil {
			return err
		}
		at := bytes.LastIndexByte(line, separator)
		if at < 0 {
			r.noise(line)
			continue
		}
		if at > 0 {
			r.noise(line[:at])
		}
		return decode(line[at+1:], message)
	}
}

func (r *Reader) noise(b []byte) {
	if r.Noise != nil && len(b) > 0 {
		r.Noise(b)
	}
}

// line returns the next line without its end. Of a line that is too long it
// reads everything, so that the next frame is found, and keeps nothing.
func (r *Reader) line() ([]byte, error) {
	var line []byte
	tooLong := false
	for {
		part, err := r.r.ReadSlice('\n')
		if !tooLong && len(line)+len(part) > r.max {
			tooLong, line = true, nil
		}
		if !tooLong {
			line = append(line, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil:
			return nil, err
		case tooLong:
			return nil, fmt.Errorf("%w: line longer than %d bytes", ErrCorrupt, r.max)
		}
		return bytes.TrimRight(line, "\r\n"), nil
	}
}

func decode(frame []byte, message any) error {
	if len(frame) < 9 || frame[8] != ' ' {
		return fmt.Errorf("%w: no checksum in %.40q", ErrCorrupt, frame)
	}
	var sum [4]byte
	if _, err := hex.Decode(sum[:], frame[:8]); err != nil {
		return fmt.Errorf("%w: checksum %q", ErrCorrupt, frame[:8])
	}
	want := uint32(sum[0])<<24 | uint32(sum[1])<<16 | uint32(sum[2])<<8 | uint32(sum[3])
	text := frame[9:]
	if got := crc32.ChecksumIEEE(text); got != want {
		return fmt.Errorf("%w: checksum %08x, frame says %08x (%d bytes)", ErrCorrupt, got, want, len(text))
	}
	if err := json.Unmarshal(text, message); err != nil {
		return fmt.Errorf("%w: %v", ErrCorrupt, err)
	}
	return nil
}
