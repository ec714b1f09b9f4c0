package stack

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// rowReader reads the arguments of a target as the kernel prints them (DM_TABLE_STATUS with DM_STATUS_TABLE_FLAG), word
// by word, and writes those to make it with again. The first thing that is not as it should be remains in why; from
// then on nothing is read. What it says has no words of the row, of which one may be a key.
type rowReader struct {
	in   []string
	out  []string
	at   int // words read
	why  string
	what string // instead
}

// maxArgs is more than the kernel prints of any target in a buffer that it gives out whole.
const maxArgs = 1 << 20

func newRowReader(args string) *rowReader {
	r := &rowReader{}
	if len(args) > maxArgs {
		r.fail("%d bytes of arguments; want at most %d", len(args), maxArgs)
		return r
	}
	for i := range len(args) {
		// dm_split_args takes a backslash away, and splits at what isspace of the kernel calls white.
		if c := args[i]; c < ' ' || c > '~' || c == '\\' {
			r.fail("byte %#02x in the arguments", c)
			return r
		}
	}
	r.in = strings.Fields(args)
	return r
}

// deviceWord tells whether a word is what the recorder takes for a device: MAJOR:MINOR, or @N of a [Stack].
func deviceWord(word string) bool {
	_, ok := Referenced(word)
	return ok || IsNumber(word)
}

func digits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

func (r *rowReader) fail(format string, args ...any) {
	if r.why == "" {
		r.why = "gokexec cannot read its table: " + fmt.Sprintf(format, args...)
		r.in = nil
	}
}

// refuse is for what can be read, but not be made.
func (r *rowReader) refuse(why, instead string) {
	if r.why == "" {
		r.why, r.what, r.in = why, instead, nil
	}
}

func (r *rowReader) emit(words ...string) { r.out = append(r.out, words...) }

// next takes a word of any kind.
func (r *rowReader) next() string {
	if len(r.in) == 0 {
		r.fail("it ends after %d words", r.at)
		return ""
	}
	word := r.in[0]
	r.in = r.in[1:]
	r.at++
	return word
}

// drop takes a word that is no device.
func (r *rowReader) drop() string {
	word := r.next()
	if deviceWord(word) {
		r.fail("word %d looks like a device number, but is none", r.at)
	}
	return word
}

// word copies a word that is no device.
func (r *rowReader) word() string {
	word := r.drop()
	r.emit(word)
	return word
}

// number copies a number.
func (r *rowReader) number() uint64 {
	word := r.word()
	n, err := strconv.ParseUint(word, 10, 64)
	if err != nil || !digits(word) {
		r.fail("word %d is no number", r.at)
	}
	return n
}

// device copies a device.
func (r *rowReader) device() {
	word := r.next()
	if !deviceWord(word) {
		r.fail("word %d is no device number", r.at)
	}
	r.emit(word)
}

// count takes the number of things that follow, each of some words.
func (r *rowReader) count(words int) int {
	word := r.drop()
	n, err := strconv.Atoi(word)
	if err != nil || !digits(word) || n > len(r.in)/words {
		r.fail("word %d is no count of what follows", r.at)
		return 0
	}
	return n
}

// option is an optional argument of a target.
type option struct {
	name string // with a colon at its end: a value follows in the same word
	args string // what the words after it are: d, a device; w, anything else
	act  action
	why  string // for refused
}

type action int

const (
	kept action = iota
	dropped
	refused
)

// options copies a group: the number of its words, and those. One of no words is left out if it is optional.
func (r *rowReader) options(known []option, optional bool, add ...string) {
	if optional && len(r.in) == 0 && r.why == "" {
		return
	}
	words := r.optionWords(r.count(1), known)
	for _, word := range add {
		if !slices.Contains(words, word) {
			words = append(words, word)
		}
	}
	if len(words) > 0 || !optional {
		r.emit(strconv.Itoa(len(words)))
		r.emit(words...)
	}
}

// optionWords reads n words of options and returns those to keep.
func (r *rowReader) optionWords(n int, known []option) []string {
	if r.why != "" {
		return nil
	}
	g := &rowReader{in: r.in[:n], at: r.at}
	for len(g.in) > 0 {
		word := g.drop()
		o := find(known, word)
		if o == nil {
			g.fail("word %d is an option that gokexec does not know", g.at)
			break
		}
		if o.act == refused {
			g.refuse(o.why, "")
			break
		}
		words := []string{word}
		for _, kind := range o.args {
			if kind == 'd' {
				words = append(words, g.next())
				if !deviceWord(words[len(words)-1]) {
					g.fail("word %d is no device number", g.at)
				}
				continue
			}
			words = append(words, g.drop())
		}
		if o.act == kept {
			g.emit(words...)
		}
	}
	if g.why != "" {
		r.why, r.what, r.in = g.why, g.what, nil
		return nil
	}
	r.in, r.at = r.in[n:], r.at+n
	return g.out
}

func find(known []option, word string) *option {
	for i := range known {
		if name := known[i].name; word == name || strings.HasSuffix(name, ":") && strings.HasPrefix(word, name) && len(word) > len(name) {
			return &known[i]
		}
	}
	return nil
}
