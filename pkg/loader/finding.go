package loader

import (
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/pkg/memmap"
)

// Level says how bad a Finding is.
type Level int

// The levels of a Finding.
const (
	OK      Level = iota
	Unknown       // could not be looked at
	Warning       // loading works, but something is not as it should be
	Failure       // the kernel would refuse, or the capture kernel could not run
)

// String gives the word used in reports.
func (l Level) String() string {
	return [...]string{"ok", "unknown", "warning", "failure"}[l]
}

// MarshalText gives the same word to JSON.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// Finding is the outcome of one check.
type Finding struct {
	Check  string `json:"check"`
	Level  Level  `json:"level"`
	Detail string `json:"detail"`
	Remedy string `json:"remedy,omitempty"`

	errno []unix.Errno // what a system call would answer because of it
	err   error        // the cause, where there is one
}

// Problem is a Finding of level Failure, as an error.
func (f Finding) Problem() *Problem {
	return &Problem{What: f.Detail, Hint: f.Remedy, Err: f.err}
}

// FirstFailure returns the first failure as an error, or nil.
func FirstFailure(findings []Finding) error {
	for _, f := range findings {
		if f.Level == Failure {
			return f.Problem()
		}
	}
	return nil
}

// Problem is an error with the way out of it.
type Problem struct {
	What string // one line, lower case
	Hint string // what to do about it; may be empty
	Err  error  // the cause; may be nil
}

// Error gives What, and the cause unless What tells it already.
func (p *Problem) Error() string { return p.What }

// Unwrap gives the cause.
func (p *Problem) Unwrap() error { return p.Err }

func ok(check, format string, args ...any) Finding {
	return Finding{Check: check, Level: OK, Detail: fmt.Sprintf(format, args...)}
}

func unknown(check, format string, args ...any) Finding {
	return Finding{Check: check, Level: Unknown, Detail: fmt.Sprintf(format, args...)}
}

// readHint is what to do about a file of the machine that could not be read: only
// where the reader lacks a permission, to be root.
func readHint(err error, otherwise string) string {
	switch {
	case errors.Is(err, memmap.ErrAddressesHidden), errors.Is(err, fs.ErrPermission):
		return "run as root"
	case errors.Is(err, memmap.ErrChanging):
		return "memory is being added or removed; try again when that is over"
	}
	return otherwise
}
