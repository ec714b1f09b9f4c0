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

// Address is an address of the crashed kernel. In JSON it is "0xffffffff81234567": a number would lose its last digits in
// every reader that keeps numbers as floating point (RFC 8259, section 6).
type Address uint64

// MarshalText gives it in hexadecimal.
func (a Address) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%#x", uint64(a)), nil }

// UnmarshalText reads what MarshalText gives.
func (a *Address) UnmarshalText(text []byte) error {
	n, err := strconv.ParseUint(string(text), 0, 64)
	*a = Address(n)
	return err
}
