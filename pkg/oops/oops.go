package oops

import (
	"errors"
	"time"
)

// ErrNone is the error of [Read] when a log has no crash.
var ErrNone = errors.New("the log has no crash: no panic, oops, lockup, stall or warning")

// Oops is a crash as a kernel log tells it. What the log does not say is empty, or -1 where a number is wanted.
type Oops struct {
	Kind Kind
	// Message is the kernel's line about it, without time stamp, level and subsystem.
	Message string
	// Panic is the reason that panic() was given, what follows "Kernel panic - not syncing: "; empty if the log has none.
	Panic string

	// Fatal is whether the kernel ended by it, as far as the log tells: by a panic, or in the middle of an oops.
	Fatal bool

	// PC is where it happened: of the registers that the log has, or nil.
	PC *Frame
	// Frames are the stack, the innermost first, with PC as the first if there is one. They are those of [Kind.Where].
	Frames []Frame

	CPU  int // -1: not told
	PID  int // -1: not told
	Comm string

	Release  string   // uname -r
	Taint    string   // the letters in the kernel's order, such as "OE"; G, that all modules are free, is none
	Hardware string   // the machine's name
	Modules  []string // the loaded ones, without their flags

	// Line is the number of the line in the log, from 0, where it begins, and Time that line's stamp, the time since
	// boot: -1 if it has none.
	Line int
	Time time.Duration
}
