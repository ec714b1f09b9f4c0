package remote

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
)

// A Receiver takes objects from a stream, and answers the sender.
type Receiver struct {
	in  *bufio.Reader
	out io.Writer
}

// NewReceiver is the end that stores: in and out are those of a Sender's pipes.
func NewReceiver(in io.Reader, out io.Writer) *Receiver {
	return &Receiver{in: bufio.NewReaderSize(in, 64<<10), out: out}
}

// Refuse tells the sender that nothing can be stored, instead of Serve.
func (r *Receiver) Refuse(err error, hint string) error {
	return r.answer(reply{Error: err.Error(), Hint: hint})
}

// Serve tells the sender that it may begin, and has put store one object after the other until the stream ends. The
// reader of an object ends with io.EOF if all of it was read, and with ErrAbandoned if there will be no more. An error
// of put goes to the sender; Serve returns those of the stream. hint gives what to do about an error, or "".
func (r *Receiver) Serve(put func(Object, io.Reader) (Stored, error), hint func(error) string) error {
	if err := r.answer(reply{Ready: true}); err != nil {
		return err
	}
	for {
		o, err := r.next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		body := &body{in: r.in}
		stored, err := put(o, body)
		answer := reply{Stored: &stored}
		if err != nil {
			answer = reply{Error: err.Error(), Hint: hint(err)}
		}
		if err := r.answer(answer); err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, body); err != nil && !errors.Is(err, ErrAbandoned) {
			return err
		}
		if body.broken != nil {
			return body.broken
		}
	}
}

// next reads what the next object is.
func (r *Receiver) next() (Object, error) {
	kind, size, err := readHead(r.in)
	if err != nil {
		return Object{}, err
	}
	if kind != frameBegin {
		return Object{}, fmt.Errorf("a frame %q in the stream of objects where one begins", kind)
	}
	b, err := readSmall(r.in, size)
	if err != nil {
		return Object{}, err
	}
	var o Object
	if err := json.Unmarshal(b, &o); err != nil {
		return Object{}, fmt.Errorf("the head of an object: %w", err)
	}
	return o, validName(o.Name)
}

// validName checks that a name stays below the location.
func validName(name string) error {
	if name == "" || path.Clean("/"+name) != "/"+name || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return fmt.Errorf("%q is not the name of an object", name)
	}
	return nil
}

func (r *Receiver) answer(a reply) error {
	b, err := json.Marshal(a)
	if err != nil {
		return err
	}
	_, err = r.out.Write(append(b, '\n'))
	return err
}

// body is the bytes of one object.
type body struct {
	in     *bufio.Reader
	left   int // of a frame
	end    error
	broken error // of the stream
}

func (b *body) Read(p []byte) (int, error) {
	for b.left == 0 && b.end == nil {
		b.end = b.frame()
	}
	if b.end != nil {
		return 0, b.end
	}
	n, err := b.in.Read(p[:min(len(p), b.left)])
	b.left -= n
	if err != nil {
		b.broken = io.ErrUnexpectedEOF
		b.end = fmt.Errorf("%w: the stream ended", ErrAbandoned)
		err = b.end
	}
	return n, err
}

// frame reads the head of the next frame; an error is the end of the object.
func (b *body) frame() error {
	kind, size, err := readHead(b.in)
	switch {
	case err == io.EOF, err == io.ErrUnexpectedEOF:
		b.broken = io.ErrUnexpectedEOF
		return fmt.Errorf("%w: the stream ended", ErrAbandoned)
	case err != nil:
		b.broken = err
		return fmt.Errorf("%w: %w", ErrAbandoned, err)
	}
	switch kind {
	case frameData:
		b.left = size
		return nil
	case frameEnd:
		if size == 0 {
			return io.EOF
		}
	case frameAbandon:
		why, err := readSmall(b.in, size)
		if err != nil {
			b.broken = err
		}
		return fmt.Errorf("%w: %s", ErrAbandoned, why)
	}
	b.broken = fmt.Errorf("a frame %q within an object", kind)
	return fmt.Errorf("%w: %w", ErrAbandoned, b.broken)
}
