package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// MaxSize bounds a report in JSON form, in bytes.
const MaxSize = 16 << 20

// ErrVersion means that a report is of a version that this program does not know.
var ErrVersion = errors.New("a report of another version")

// WriteJSON writes the report as JSON, indented. docs/formats.md describes it.
func (r *Report) WriteJSON(w io.Writer) error {
	c := *r
	c.Version = Version
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(&c); err != nil {
		return fmt.Errorf("encode the report: %w", err)
	}
	_, err := w.Write(b.Bytes())
	return err
}

// ReadJSON reads what WriteJSON has written, at most [MaxSize] bytes. Keys that it does not know are ignored: later
// versions of gokexec may add some. Where the meaning has changed the error wraps [ErrVersion].
func ReadJSON(r io.Reader) (*Report, error) {
	data, err := io.ReadAll(io.LimitReader(r, MaxSize+1))
	if err != nil {
		return nil, err
	}
	if len(data) > MaxSize {
		return nil, fmt.Errorf("a report of more than %d bytes", MaxSize)
	}
	var c Report
	if err := json.Unmarshal(data, &c); err != nil {
		return nil, fmt.Errorf("the report is no JSON of gokexec report: %w", err)
	}
	if c.Version != Version {
		return nil, fmt.Errorf("%w: it has version %d; want %d", ErrVersion, c.Version, Version)
	}
	return &c, nil
}

// address is an address of the crashed kernel in JSON: "0xffffffff81234567". A number would lose its last digits in
// every reader that keeps numbers as floating point (RFC 8259, section 6).
type address uint64

func (a address) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%#x", uint64(a)), nil }

func (a *address) UnmarshalText(text []byte) error {
	n, err := strconv.ParseUint(string(text), 0, 64)
	*a = address(n)
	return err
}

// These replace the address of a type by one that is written as text; the other fields are those of the type.

type (
	plainFrame  Frame
	plainTask   Task
	plainLock   Lock
	plainModule Module
)

type frameJSON struct {
	Address address `json:"address"`
	*plainFrame
}

type taskJSON struct {
	*plainTask
	Address address `json:"address,omitzero"`
}

type lockJSON struct {
	*plainLock
	Address address `json:"address"`
}

type moduleJSON struct {
	*plainModule
	Address address `json:"address"`
}

// MarshalJSON implements json.Marshaler.
func (f Frame) MarshalJSON() ([]byte, error) {
	return marshal(frameJSON{address(f.Address), (*plainFrame)(&f)})
}

// UnmarshalJSON implements json.Unmarshaler.
func (f *Frame) UnmarshalJSON(b []byte) error {
	j := frameJSON{plainFrame: (*plainFrame)(f)}
	err := json.Unmarshal(b, &j)
	f.Address = uint64(j.Address)
	return err
}

// MarshalJSON implements json.Marshaler.
func (t Task) MarshalJSON() ([]byte, error) {
	return marshal(taskJSON{(*plainTask)(&t), address(t.Address)})
}

// UnmarshalJSON implements json.Unmarshaler.
func (t *Task) UnmarshalJSON(b []byte) error {
	j := taskJSON{plainTask: (*plainTask)(t)}
	err := json.Unmarshal(b, &j)
	t.Address = uint64(j.Address)
	return err
}

// MarshalJSON implements json.Marshaler.
func (l Lock) MarshalJSON() ([]byte, error) {
	return marshal(lockJSON{(*plainLock)(&l), address(l.Address)})
}

// UnmarshalJSON implements json.Unmarshaler.
func (l *Lock) UnmarshalJSON(b []byte) error {
	j := lockJSON{plainLock: (*plainLock)(l)}
	err := json.Unmarshal(b, &j)
	l.Address = uint64(j.Address)
	return err
}

// MarshalJSON implements json.Marshaler.
func (m Module) MarshalJSON() ([]byte, error) {
	return marshal(moduleJSON{(*plainModule)(&m), address(m.Address)})
}

// UnmarshalJSON implements json.Unmarshaler.
func (m *Module) UnmarshalJSON(b []byte) error {
	j := moduleJSON{plainModule: (*plainModule)(m)}
	err := json.Unmarshal(b, &j)
	m.Address = uint64(j.Address)
	return err
}

// marshal is json.Marshal without the escapes that HTML would need in a script.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimRight(b.Bytes(), "\n"), err
}
