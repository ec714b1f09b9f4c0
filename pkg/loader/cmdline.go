package loader

import (
	"errors"
	"fmt"
	"strings"
)

// ErrCmdline is wrapped by every complaint about the text of a command line.
var ErrCmdline = errors.New("bad kernel command line")

// Arg is one word of a kernel command line.
type Arg struct {
	Text  string // verbatim, with its quotes
	Name  string // up to the first '=', without quotes
	Value string // after the first '=', without the outer quotes
	Set   bool   // there was a '='
}

// Cmdline is a kernel command line, split as the kernel splits it
// (lib/cmdline.c, next_arg): by white space outside of double quotes. What
// follows a lone "--" belongs to init and is kept apart.
type Cmdline struct {
	Args []Arg
	Init []Arg
}

// ParseCmdline splits s. A quote that is never closed is an error: the kernel
// would swallow whatever gets appended.
func ParseCmdline(s string) (Cmdline, error) {
	var c Cmdline
	if i := strings.IndexByte(s, 0); i >= 0 {
		return c, fmt.Errorf("%w: NUL byte at offset %d", ErrCmdline, i)
	}
	into := &c.Args
	for i := 0; i < len(s); {
		if isSpace(s[i]) {
			i++
			continue
		}
		start, quoted := i, false
		for ; i < len(s) && (quoted || !isSpace(s[i])); i++ {
			if s[i] == '"' {
				quoted = !quoted
			}
		}
		if quoted {
			return Cmdline{}, fmt.Errorf("%w: the quote in %.200q at offset %d is not closed", ErrCmdline, s[start:], start)
		}
		text := s[start:i]
		if text == "--" && into == &c.Args {
			into = &c.Init
			continue
		}
		*into = append(*into, parseArg(text))
	}
	return c, nil
}

func parseArg(text string) Arg {
	a := Arg{Text: text}
	body := text
	if strings.HasPrefix(body, `"`) {
		body = strings.TrimSuffix(body[1:], `"`)
	}
	a.Name, a.Value, a.Set = strings.Cut(body, "=")
	if strings.HasPrefix(a.Value, `"`) {
		a.Value = strings.TrimSuffix(a.Value[1:], `"`)
	}
	return a
}

// isSpace is the kernel's isspace for the ASCII range (include/linux/ctype.h).
func isSpace(b byte) bool {
	return b == ' ' || b >= '\t' && b <= '\r'
}

// String joins the words with single spaces.
func (c Cmdline) String() string {
	words := make([]string, 0, len(c.Args)+len(c.Init)+1)
	for _, a := range c.Args {
		words = append(words, a.Text)
	}
	if len(c.Init) > 0 {
		words = append(words, "--")
		for _, a := range c.Init {
			words = append(words, a.Text)
		}
	}
	return strings.Join(words, " ")
}

// Has reports whether a parameter of one of these names is there; '-' and '_'
// are the same, as for the kernel (kernel/params.c, parameq).
func (c Cmdline) Has(names ...string) bool {
	for _, a := range c.Args {
		for _, n := range names {
			if sameParam(a.Name, n) {
				return true
			}
		}
	}
	return false
}

// Lookup gives the value of the last parameter of that name.
func (c Cmdline) Lookup(name string) (value string, ok bool) {
	for _, a := range c.Args {
		if sameParam(a.Name, name) {
			value, ok = a.Value, true
		}
	}
	return value, ok
}

// Without returns c less the words for which drop is true, and those words.
func (c Cmdline) Without(drop func(Arg) bool) (Cmdline, []Arg) {
	kept := Cmdline{Init: c.Init}
	var dropped []Arg
	for _, a := range c.Args {
		if drop(a) {
			dropped = append(dropped, a)
			continue
		}
		kept.Args = append(kept.Args, a)
	}
	return kept, dropped
}

// Append returns c with more's words behind its own, kernel's to kernel's and
// init's to init's.
func (c Cmdline) Append(more Cmdline) Cmdline {
	return Cmdline{
		Args: append(append([]Arg(nil), c.Args...), more.Args...),
		Init: append(append([]Arg(nil), c.Init...), more.Init...),
	}
}

func sameParam(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if dash(a[i]) != dash(b[i]) {
			return false
		}
	}
	return true
}

func dash(b byte) byte {
	if b == '-' {
		return '_'
	}
	return b
}
