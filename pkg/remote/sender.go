package remote

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/gokexec/gokexec/pkg/advice"
)

// A Sender hands objects to a [Receiver] in another process, one at a time. Its pipes bound it: a Receiver that takes
// nothing holds up a Write, so the caller has to watch its progress.
type Sender struct {
	to      io.Writer
	replies chan reply // closed when the other process has no more to say

	mu    sync.Mutex
	early *reply // the answer to an object that has not ended yet
	after error  // why there are no more replies
}

// NewSender sends to the standard input of the other process, and gets the answers from its standard output. It reads
// those until they end.
func NewSender(to io.Writer, from io.Reader) *Sender {
	s := &Sender{to: to, replies: make(chan reply, 1)}
	go s.listen(from)
	return s
}

// maxReply bounds an answer, in bytes.
const maxReply = 64 << 10

func (s *Sender) listen(from io.Reader) {
	defer close(s.replies)
	lines := bufio.NewReaderSize(from, maxReply)
	for {
		line, err := lines.ReadSlice('\n')
		if err == nil {
			var a reply
			if err = json.Unmarshal(line, &a); err == nil {
				if a.Error != "" {
					s.mu.Lock()
					s.early = &a
					s.mu.Unlock()
				}
				s.replies <- a
				continue
			}
		}
		s.mu.Lock()
		s.after = err
		s.mu.Unlock()
		_, _ = io.Copy(io.Discard, lines)
		return
	}
}

// error makes an error of an answer.
func (a reply) err() error {
	if a.Error == "" {
		return nil
	}
	if a.Hint == "" {
		return errors.New(a.Error)
	}
	return &advice.Problem{What: a.Error, Hint: a.Hint}
}

// wait waits for the next answer.
func (s *Sender) wait() (reply, error) {
	a, ok := <-s.replies
	if !ok {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.after == io.EOF {
			return reply{}, errors.New("gokexec-remote has ended")
		}
		return reply{}, fmt.Errorf("the answer of gokexec-remote: %w", s.after)
	}
	if err := a.err(); err != nil {
		s.mu.Lock()
		s.early = nil
		s.mu.Unlock()
		return reply{}, err
	}
	return a, nil
}

// Ready waits until the store can be used, and says why it can't.
func (s *Sender) Ready() error {
	a, err := s.wait()
	if err == nil && !a.Ready {
		err = errors.New("gokexec-remote gave an unexpected answer")
	}
	return err
}

// Create begins an object.
func (s *Sender) Create(o Object) (*Sending, error) {
	if err := validName(o.Name); err != nil {
		return nil, err
	}
	w := &Sending{s: s, name: o.Name}
	return w, w.said(writeJSONFrame(s.to, frameBegin, o))
}

// Put stores a small object.
func (s *Sender) Put(o Object, data []byte) (Stored, error) {
	o.Estimate = int64(len(data))
	w, err := s.Create(o)
	if err != nil {
		return Stored{}, err
	}
	if _, err := w.Write(data); err != nil {
		return Stored{}, err
	}
	return w.Commit()
}

// Sending is an object on its way. It ends with Commit or Abandon; after an error of Write, Abandon is all that is left.
type Sending struct {
	s    *Sender
	name string
	size int64
	over bool // it was answered
}

// Size is how many bytes were handed over.
func (w *Sending) Size() int64 { return w.size }

// said is why the other process does not want more; or else err, of a write to it.
func (w *Sending) said(err error) error {
	w.s.mu.Lock()
	early := w.s.early
	w.s.mu.Unlock()
	if early != nil || err != nil && !w.over {
		w.over = true
		_, why := w.s.wait()
		if why != nil {
			return fmt.Errorf("%s: %w", w.name, why)
		}
	}
	if err != nil {
		return fmt.Errorf("%s: hand it to gokexec-remote: %w", w.name, err)
	}
	return nil
}

func (w *Sending) Write(p []byte) (int, error) {
	written := 0
	for len(p) > 0 {
		part := p[:min(len(p), dataFrame)]
		if err := w.said(writeFrame(w.s.to, frameData, part)); err != nil {
			return written, err
		}
		written, w.size, p = written+len(part), w.size+int64(len(part)), p[len(part):]
	}
	return written, nil
}

// Commit says that the object is whole, and waits until it is stored.
func (w *Sending) Commit() (Stored, error) { return w.end(frameEnd, nil) }

// Abandon says that there will be no more of the object, and waits until what the store keeps of it, under its
// name and ".incomplete", is stored. A store that keeps nothing of it returns an error.
func (w *Sending) Abandon(cause error) (Stored, error) {
	why := "unknown"
	if cause != nil {
		why = cause.Error()
	}
	return w.end(frameAbandon, []byte(why[:min(len(why), maxReply/2)]))
}

func (w *Sending) end(kind byte, payload []byte) (Stored, error) {
	over := w.over
	if err := w.said(writeFrame(w.s.to, kind, payload)); err != nil {
		return Stored{}, err
	}
	if over {
		return Stored{}, fmt.Errorf("%s: it is not stored", w.name)
	}
	w.over = true
	a, err := w.s.wait()
	if err == nil && a.Stored == nil {
		err = errors.New("gokexec-remote gave an unexpected answer")
	}
	if err != nil {
		return Stored{}, fmt.Errorf("%s: %w", w.name, err)
	}
	return *a.Stored, nil
}
