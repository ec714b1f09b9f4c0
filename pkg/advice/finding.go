package advice

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
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

// CheckID names a check, in words for people too. A check whose name code compares has a
// constant, beside the check.
type CheckID string

// Finding is the outcome of one check.
type Finding struct {
	Check  CheckID `json:"check"`
	Level  Level   `json:"level"`
	Detail string  `json:"detail"`
	Remedy string  `json:"remedy,omitempty"`

	Errno []unix.Errno `json:"-"` // what a system call would answer because of it
	Err   error        `json:"-"` // the cause, where there is one
}

// Problem is a Finding of level Failure, as an error.
func (f Finding) Problem() *Problem {
	return &Problem{What: f.Detail, Hint: f.Remedy, Err: f.Err}
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

// Passed is a Finding of level OK.
func Passed(check CheckID, format string, args ...any) Finding {
	return Finding{Check: check, Level: OK, Detail: fmt.Sprintf(format, args...)}
}

// NotKnown is a Finding of level Unknown.
func NotKnown(check CheckID, format string, args ...any) Finding {
	return Finding{Check: check, Level: Unknown, Detail: fmt.Sprintf(format, args...)}
}

// Hint gives the hint of an error that wraps a Problem, else "".
func Hint(err error) string {
	var p *Problem
	if errors.As(err, &p) {
		return p.Hint
	}
	return ""
}

// MiB gives a number of bytes in MiB, or below one in KiB, rounded down.
func MiB(bytes uint64) string {
	if bytes < 1<<20 {
		return fmt.Sprintf("%d KiB", bytes>>10)
	}
	return fmt.Sprintf("%d MiB", bytes>>20)
}

// Explains tells whether a system call would answer with errno because of f.
func (f Finding) Explains(errno unix.Errno) bool {
	for _, e := range f.Errno {
		if e == errno {
			return true
		}
	}
	return false
}
