package remote

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// The stream from a Sender to a Receiver is frames: a byte that says what it is, the length of what follows (4 bytes,
// the first is the most significant), and that. An object is begin, any number of data, and end or abandon. A stream
// that ends within an object has abandoned it: the end of a pipe is never the end of an object.
const (
	frameBegin   = 'B' // JSON: Object
	frameData    = 'D' // bytes of it
	frameEnd     = 'E' // it is whole
	frameAbandon = 'A' // it broke off: why
)

// maxFrame bounds the contents of a frame, in bytes.
const maxFrame = 1 << 20

// dataFrame is how much a Sender puts into one, in bytes: what fits into a pipe (pipe(7)).
const dataFrame = 60 << 10

// ErrAbandoned is what reading an object gives that its sender has abandoned: it broke off, and will not be whole.
var ErrAbandoned = errors.New("the sender broke off")

// Object is what a Receiver is told of an object before its bytes.
type Object struct {
	// Name is below the location of the store.
	Name string `json:"name"`
	// Estimate is about how many bytes it has, at most; 0 is not known.
	Estimate int64 `json:"estimate,omitempty"`
	// Plain is stored as it is, even if the settings say that objects are encrypted: a manifest.
	Plain bool `json:"plain,omitempty"`
}

// Stored is what a store has of an object.
type Stored struct {
	Name string `json:"name"`
	// Bytes and SHA256 (in hexadecimal) are those of what is stored: of the encrypted object, if it is encrypted.
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
	// Confirmed: the store has confirmed a digest of all that is stored. Else it has taken it without a complaint.
	Confirmed bool `json:"confirmed"`
	// Reused is how many of the bytes were there before, from an attempt that broke off.
	Reused int64 `json:"reused,omitempty"`
	// Pieces is how many objects it consists of, if it is not one: NAME.0001 and so on.
	Pieces int `json:"pieces,omitempty"`
}

// reply is a line that a Receiver prints.
type reply struct {
	Ready  bool    `json:"ready,omitempty"`
	Stored *Stored `json:"stored,omitempty"`
	Error  string  `json:"error,omitempty"`
	Hint   string  `json:"hint,omitempty"`
}

func writeFrame(w io.Writer, kind byte, payload []byte) error {
	var head [5]byte
	head[0] = kind
	binary.BigEndian.PutUint32(head[1:], uint32(len(payload)))
	if _, err := w.Write(head[:]); err != nil {
		return err
	}
	if len(payload) == 0 {
		return nil
	}
	_, err := w.Write(payload)
	return err
}

func writeJSONFrame(w io.Writer, kind byte, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return writeFrame(w, kind, b)
}

// readHead reads the head of a frame. At the end of the stream it is io.EOF.
func readHead(r io.Reader) (kind byte, size int, err error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, 0, err
	}
	n := binary.BigEndian.Uint32(head[1:])
	if n > maxFrame {
		return 0, 0, fmt.Errorf("a frame of %d bytes in the stream of objects; want %d at most", n, maxFrame)
	}
	switch head[0] {
	case frameBegin, frameData, frameEnd, frameAbandon:
		return head[0], int(n), nil
	}
	return 0, 0, fmt.Errorf("a frame of an unknown kind, %#x, in the stream of objects", head[0])
}

// readSmall reads the contents of a frame.
func readSmall(r io.Reader, size int) ([]byte, error) {
	b := make([]byte, size)
	_, err := io.ReadFull(r, b)
	return b, err
}
