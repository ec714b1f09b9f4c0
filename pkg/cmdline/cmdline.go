package cmdline

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrBad is wrapped by every complaint about the text of a command line.
var ErrBad = errors.New("bad kernel command line")

// Arg is one word of a kernel command line.
type Arg struct {
	Text  string // verbatim, with its quotes
	Name  string // up to the first '=' that is not its first byte, without quotes
	Value string // after that '=', without the outer quotes
	Set   bool   // there was such a '='
	Open  bool   // a quote in it is not closed, so that it reaches to the end of the line
}

// Cmdline is a kernel command line, split as the kernel splits it
// (lib/cmdline.c, next_arg): by white space outside of double quotes. What
// follows a lone "--" belongs to init and is kept apart (kernel/params.c,
// parse_args).
type Cmdline struct {
	Args []Arg
	Init []Arg
}

// Parse splits s. A quote that is never closed takes in the rest of s, as
// in the kernel: see Arg.Open. The error is ErrBad for a NUL byte.
func Parse(s string) (Cmdline, error) {
	var c Cmdline
	if i := strings.IndexByte(s, 0); i >= 0 {
		return c, fmt.Errorf("%w: NUL byte at offset %d", ErrBad, i)
	}
	into := &c.Args
	for _, w := range Words(s) {
		a := parseArg(w.Text)
		if a.Name == "--" && !a.Set && into == &c.Args {
			into = &c.Init
			continue
		}
		*into = append(*into, a)
	}
	return c, nil
}

// Word is a word of a command line, and where it begins.
type Word struct {
	Text  string // verbatim, with its quotes
	Start int    // offset in bytes
}

// End is the offset behind the word, in bytes.
func (w Word) End() int { return w.Start + len(w.Text) }

// Open reports whether a quote in the word is not closed, so that it reaches to the end of the line.
func (w Word) Open() bool { return strings.Count(w.Text, `"`)%2 != 0 }

// Words splits s as the kernel does (lib/cmdline.c, next_arg): by white space outside of double quotes.
func Words(s string) []Word {
	var words []Word
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
		words = append(words, Word{Text: s[start:i], Start: start})
	}
	return words
}

// parseArg takes a word apart. Of two quotes at its end only one goes, whether the
// word or its value began with one.
func parseArg(text string) Arg {
	a := Arg{Text: text, Open: Word{Text: text}.Open()}
	body, quoted := strings.CutPrefix(text, `"`)
	a.Name = body
	if len(body) > 1 {
		if i := strings.IndexByte(body[1:], '='); i >= 0 {
			a.Name, a.Value, a.Set = body[:i+1], body[i+2:], true
		}
	}
	last := &a.Name
	if a.Set {
		last = &a.Value
	}
	valueQuoted := a.Set && strings.HasPrefix(a.Value, `"`)
	if valueQuoted {
		a.Value = a.Value[1:]
	}
	if quoted || valueQuoted {
		*last = strings.TrimSuffix(*last, `"`)
	}
	return a
}

// isSpace is the kernel's isspace (include/linux/ctype.h and lib/ctype.c): ASCII's,
// and the no-break space of Latin-1, also as a byte of a character in UTF-8.
func isSpace(b byte) bool {
	return b == ' ' || b >= '\t' && b <= '\r' || b == 0xa0
}

// String joins the words with single spaces. A word whose quote is not closed comes
// last, so that it takes no others in; before another, and before the words of init, it is
// closed.
func (c Cmdline) String() string {
	words := joinable(c.Args, len(c.Init) > 0)
	if len(c.Init) > 0 {
		words = append(append(words, "--"), joinable(c.Init, false)...)
	}
	return strings.Join(words, " ")
}

func joinable(args []Arg, more bool) []string {
	words := make([]string, 0, len(args)+1)
	open := ""
	for _, a := range args {
		switch {
		case !a.Open:
			words = append(words, a.Text)
		case open != "":
			words = append(words, a.Text+`"`)
		default:
			open = a.Text
		}
	}
	if open != "" && more {
		open += `"`
	}
	if open != "" {
		words = append(words, open)
	}
	return words
}

// Open finds a word whose quote is not closed: what is put behind the line belongs
// to it.
func (c Cmdline) Open() (Arg, bool) {
	for _, a := range append(slices.Clone(c.Args), c.Init...) {
		if a.Open {
			return a, true
		}
	}
	return Arg{}, false
}

// ParseClosed is Parse for text that others are put behind: an open quote is
// an error.
func ParseClosed(s string) (Cmdline, error) {
	c, err := Parse(s)
	if err != nil {
		return c, err
	}
	if a, open := c.Open(); open {
		return c, fmt.Errorf("%w: the quote in %q is not closed, and would take in what comes behind it", ErrBad, a.Text)
	}
	return c, nil
}

// Has reports whether a parameter of one of these names is there; '-' and '_'
// are the same, as for the kernel (kernel/params.c, parameq).
func (c Cmdline) Has(names ...string) bool {
	for _, a := range c.Args {
		for _, n := range names {
			if Same(a.Name, n) {
				return true
			}
		}
	}
	return false
}

// Lookup gives the value of the last parameter of that name.
func (c Cmdline) Lookup(name string) (value string, ok bool) {
	for _, a := range c.Args {
		if Same(a.Name, name) {
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

// Same compares the names of two parameters as the kernel does: '-' and '_' are the
// same (kernel/params.c, parameq).
func Same(a, b string) bool {
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
