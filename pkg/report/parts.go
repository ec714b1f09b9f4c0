package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/gokexec/gokexec/pkg/dumpdir"
)

// Names of a report beside its dump.
const (
	TextName = dumpdir.Report
	JSONName = dumpdir.ReportJSON
)

// MaxParts bounds what [Report.WriteParts] writes, in bytes.
const MaxParts = 1 << 20

// ErrParts means that the parts of a report are not whole: its writer was killed, or failed.
var ErrParts = errors.New("the report broke off")

// Head is what names a crash.
type Head struct {
	Title       string `json:"title,omitempty"`
	Kind        string `json:"kind,omitempty"`
	Fingerprint string `json:"fingerprint,omitempty"`
}

// Parts are a report in the forms in which a capture saves it.
type Parts struct {
	Head
	Text, JSON []byte
}

// Head is that of the report.
func (r *Report) Head() Head {
	return Head{Title: clean(r.Title), Kind: clean(r.Kind), Fingerprint: clean(r.Fingerprint)}
}

// WriteParts writes head, text and JSON, each ended by a NUL, of [MaxParts] bytes at most: it is for a pipe to a process
// that is not to know more of a dump. A report that is too large loses stacks, which r.Missing says then.
func (r *Report) WriteParts(w io.Writer) error {
	// So many frames alone take MaxParts: what would not fit is not made first.
	for r.frames() > MaxParts/256 && r.shrink() {
	}
	var b bytes.Buffer
	for {
		b.Reset()
		head, err := json.Marshal(r.Head())
		if err != nil {
			return fmt.Errorf("encode the head of the report: %w", err)
		}
		b.Write(head)
		b.WriteByte(0)
		err = r.WriteText(&b)
		b.WriteByte(0)
		if err = errors.Join(err, r.WriteJSON(&b)); err != nil {
			return err
		}
		b.WriteByte(0)
		if b.Len() <= MaxParts {
			_, err := w.Write(b.Bytes())
			return err
		}
		if !r.shrink() {
			return fmt.Errorf("the report has %d bytes; want %d at most", b.Len(), MaxParts)
		}
	}
}

// frames counts those of all stacks.
func (r *Report) frames() (n int) {
	for _, c := range r.Others {
		if c.Stack != nil {
			n += len(c.Stack.Frames)
		}
	}
	for _, t := range r.Blocked {
		if t.Stack != nil {
			n += len(t.Stack.Frames)
		}
	}
	return n
}

// shrink leaves out what is worth least; it reports whether there was something.
func (r *Report) shrink() bool {
	left := Missing{Reason: fmt.Sprintf("left out, since a report has at most %d bytes", MaxParts)}
	switch blocked, others := len(r.Blocked), len(r.Others); {
	case blocked > 1 && blocked >= others:
		r.Blocked, left.Part = r.Blocked[:blocked/2], "more blocked tasks"
	case others > 1:
		r.Others, left.Part = r.Others[:others/2], "more CPUs"
	case len(r.LogTail) > 1:
		r.LogTail, left.Part = r.LogTail[len(r.LogTail)/2:], "more of the log"
	case len(r.Modules) > 1:
		r.Modules, left.Part = r.Modules[:len(r.Modules)/2], "more modules"
	case r.Memory != nil:
		r.Memory, left.Part = nil, "memory"
	default:
		return false
	}
	if !slices.Contains(r.Missing, left) {
		r.Missing = append(r.Missing, left)
	}
	return true
}

// ReadParts reads what WriteParts has written. Where it broke off, the parts that are whole are there, and the error
// wraps [ErrParts].
func ReadParts(b []byte) (p Parts, err error) {
	head, rest, whole := bytes.Cut(b, []byte{0})
	if !whole {
		return p, ErrParts
	}
	if err := json.Unmarshal(head, &p.Head); err != nil {
		return Parts{}, fmt.Errorf("%w: its head: %w", ErrParts, err)
	}
	text, rest, whole := bytes.Cut(rest, []byte{0})
	if !whole {
		return p, ErrParts
	}
	p.Text = text
	data, rest, whole := bytes.Cut(rest, []byte{0})
	if !whole || len(rest) > 0 {
		return p, ErrParts
	}
	p.JSON = data
	return p, nil
}
