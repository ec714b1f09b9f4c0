package oops

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
)

const (
	maxLine      = 8 << 10 // bytes of a line that are looked at
	maxFrames    = 1024    // of one crash
	maxModules   = 1024
	maxCrashes   = 16 // that are kept while a log is read
	maxName      = 512
	mergedWithin = 40 // lines between the first line about a crash and the one that says it again
)

// Read finds the crash in a log. It returns [ErrNone] if there is none; other errors are those of r.
func Read(r io.Reader) (*Oops, error) {
	b := bufio.NewReaderSize(r, maxLine)
	var s scan
	for !s.done {
		text, err := b.ReadSlice('\n')
		if len(text) > 0 {
			s.line(cleanLine(string(text)))
		}
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = b.ReadSlice('\n')
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read the kernel log, line %d: %w", s.number, err)
		}
	}
	c := s.choose()
	if c == nil {
		return nil, ErrNone
	}
	return c.finish(), nil
}

// crash is what one message and what follows it say.
type crash struct {
	Oops
	class  class
	caller string
	traces int  // how many stacks were begun
	open   bool // lines may be frames
	other  bool // the next stack is that of a thread that only waits
	ended  bool // the kernel said that it is through with it
	user   bool // the registers are those of a program

	interrupted bool // the next frame is the first of what was interrupted
	modules     bool // the next line may go on with modules
}

// scan is the state of a reading.
type scan struct {
	number  int // of the line
	crashes []*crash
	current *crash
	release string // of the kernel that booted
	ended   bool   // by a panic
	done    bool
}

func (s *scan) line(l line) {
	defer func() { s.number++ }()
	if l.text == "" {
		return
	}
	if rest, ok := strings.CutPrefix(l.text, "Linux version "); ok {
		s.boot(rest)
		return
	}
	if h, text, ok := announce(l.text); ok {
		s.announce(h, text, l)
		return
	}
	if c := s.of(l.caller); c != nil {
		c.detail(l.text)
	}
}

// of returns the crash that a line belongs to: the last one, or, where the log has callers, the last one of the same
// caller. What is stuck is described by others too.
func (s *scan) of(caller string) *crash {
	if s.current == nil || s.current.caller == caller || caller == "" {
		return s.current
	}
	for i := len(s.crashes) - 1; i >= 0 && s.number-s.crashes[i].Line < 1000; i-- {
		if s.crashes[i].caller == caller {
			return s.crashes[i]
		}
	}
	if s.current.class == hang {
		return s.current
	}
	return nil
}

// boot is the beginning of a kernel's log. After a crash it is that of the next kernel.
func (s *scan) boot(version string) {
	for _, c := range s.crashes {
		if c.class != notice && c.class != hang {
			s.done = true
			return
		}
	}
	s.crashes, s.current = nil, nil
	s.release, _, _ = strings.Cut(version, " ")
}

// announce takes the first line about something, or one that says again what is known.
func (s *scan) announce(h head, text string, l line) {
	if c := s.of(l.caller); c != nil && h.class != final && c.merges(h, s.number) {
		c.merge(h, text)
		c.detail(text)
		return
	}
	c := &crash{Oops: Oops{Kind: h.kind, Message: bounded(text), CPU: -1, PID: -1, Line: s.number, Time: l.stamp, Release: s.release}, class: h.class, caller: l.caller}
	if h.class == dying {
		c.class = fault
	}
	s.current = c
	s.keep(c)
	if h.class == final {
		c.Panic, s.ended = bounded(panicReason(text)), true
	}
	c.detail(text)
	c.named(text)
}

// keep adds a crash. Where there are too many, those go that are the least likely to be the one: not the first, no oops,
// long ago; after a panic the new one.
func (s *scan) keep(c *crash) {
	if len(s.crashes) == maxCrashes {
		if s.ended {
			return
		}
		gone := 1
		for i := 1; i < len(s.crashes)-4; i++ {
			if s.crashes[i].class <= hang {
				gone = i
				break
			}
		}
		s.crashes = append(s.crashes[:gone], s.crashes[gone+1:]...)
	}
	s.crashes = append(s.crashes, c)
}

// merges reports whether a line is about the same crash as the last one.
func (c *crash) merges(h head, number int) bool {
	if c.class == final || number-c.Line > mergedWithin {
		return false
	}
	switch {
	case h.class == dying:
		return c.class == fault && !c.ended || c.class == trigger && c.traces == 0
	case c.traces > 0 || c.PC != nil && c.Kind != ListCorruption:
		return false
	case c.class == trigger: // it was a NULL dereference, before Linux 4.19
		return h.class == fault
	case c.class == fault:
		return h.class == fault && c.Kind != h.kind || c.Kind == StackOverflow
	case c.Kind == ListCorruption, c.Kind == Refcount, c.Kind == UserCopy, c.Kind == BadObject, c.Kind == OtherBug:
		return h.kind == c.Kind || h.kind == Bug || h.kind == Warning || h.kind == InvalidOpcode
	case c.Kind == KASAN || c.Kind == MachineCheck || c.Kind == NMI:
		return h.kind == c.Kind
	}
	return false
}

// merge adds what the line says.
func (c *crash) merge(h head, text string) {
	if h.class == fault && c.class < fault {
		c.class = fault // BUG() after its reason
	}
	switch {
	case c.Kind == DoubleFault && h.kind == StackOverflow, c.Kind == PageFault && h.kind == StackOverflow,
		c.Kind == PageFault && h.kind == NullDereference, c.Kind == Bug && h.kind == ListCorruption, c.Kind == OtherBug:
		c.Kind = h.kind
	}
	c.named(text)
}

// finish makes the result.
func (c *crash) finish() *Oops {
	o := &c.Oops
	if o.PC != nil && !c.user {
		if len(o.Frames) > 0 && o.Frames[0].Symbol == o.PC.Symbol && o.Frames[0].Offset == o.PC.Offset && o.Frames[0].Symbol != "" && !o.Frames[0].Uncertain {
			o.Frames = o.Frames[1:] // arm64 and riscv begin a trace with it
		}
		o.Frames = append([]Frame{*o.PC}, o.Frames...)
	}
	if len(o.Frames) == 0 {
		if f, ok := mentioned(o.Message); ok {
			o.Frames = []Frame{f}
		}
	}
	return o
}

// mentioned is the function in a message: "... in name+0x7ea/0x7f0", "... at name+0x2d/0x40 [module]".
func mentioned(message string) (f Frame, ok bool) {
	for _, before := range [...]string{" in: ", " in ", " at "} {
		for _, rest, found := strings.Cut(message, before); found; _, rest, found = strings.Cut(rest, before) {
			word, after, _ := strings.Cut(rest, " ")
			if !f.symbol(strings.TrimRight(word, ",")) {
				continue
			}
			if inner, bracket := strings.CutPrefix(after, "["); bracket {
				if name, _, closed := strings.Cut(inner, "]"); closed {
					f.Module = name
				}
			}
			return f, true
		}
	}
	return Frame{}, false
}

// bounded is a message of which nothing else of the log is kept.
func bounded(s string) string { return strings.Clone(s[:min(len(s), maxName)]) }
