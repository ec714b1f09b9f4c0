package getopt

import (
	"fmt"
	"strings"
)

// Arg says whether an option has an argument.
type Arg int

// The kinds, with getopt_long's numbers.
const (
	No Arg = iota
	Required
	Optional // only in the same word: --color=auto
)

// Long is a long option. Two with the same Val and Arg are names of one option:
// a prefix of both is not ambiguous.
type Long struct {
	Name string // without the dashes
	Arg  Arg
	Val  int
}

// Unknown is the Val of an Item that is a mistake, and of the short option '?'.
const Unknown = '?'

// Item is what getopt_long returns for an option.
type Item struct {
	Val   int    // the option; Unknown with Err set for a mistake
	Arg   string // its argument
	Given bool   // there is one
	Err   string // the line that glibc prints on stderr, without the newline
}

// Set is what a program takes.
type Set struct {
	Short string // as for getopt(3): letters, each followed by ':' if it has an argument
	Long  []Long
	// POSIX ends the options at the first operand, as POSIXLY_CORRECT in the
	// environment does; else operands may stand anywhere before "--".
	POSIX bool
}

// Parse reads argv, whose first word is the program's name and stands in messages.
// Mistakes don't end it: like glibc it continues after them. Operands keep their
// order.
func (s *Set) Parse(argv []string) (items []Item, operands []string) {
	if len(argv) == 0 {
		return nil, nil
	}
	p := parser{set: s, name: argv[0], rest: argv[1:]}
	for len(p.rest) > 0 {
		word := p.rest[0]
		p.rest = p.rest[1:]
		switch {
		case word == "--":
			return p.items, append(p.operands, p.rest...)
		case strings.HasPrefix(word, "--"):
			p.long(word[2:])
		case len(word) > 1 && word[0] == '-':
			p.short(word[1:])
		case s.POSIX:
			return p.items, append(append(p.operands, word), p.rest...)
		default:
			p.operands = append(p.operands, word)
		}
	}
	return p.items, p.operands
}

type parser struct {
	set      *Set
	name     string
	rest     []string // words not read yet
	items    []Item
	operands []string
}

func (p *parser) mistake(format string, args ...any) {
	p.items = append(p.items, Item{Val: Unknown, Err: p.name + ": " + fmt.Sprintf(format, args...)})
}

// next takes the next word as an argument, whatever it looks like.
func (p *parser) next() (string, bool) {
	if len(p.rest) == 0 {
		return "", false
	}
	word := p.rest[0]
	p.rest = p.rest[1:]
	return word, true
}

// long reads the word after "--".
func (p *parser) long(word string) {
	name, value, given := strings.Cut(word, "=")
	option, candidates := p.set.find(name)
	switch {
	case len(candidates) > 0:
		var list strings.Builder
		for _, c := range candidates {
			list.WriteString(" '--" + c + "'")
		}
		p.mistake("option '--%s' is ambiguous; possibilities:%s", word, list.String())
		return
	case option == nil:
		p.mistake("unrecognized option '--%s'", word)
		return
	case given && option.Arg == No:
		p.mistake("option '--%s' doesn't allow an argument", option.Name)
		return
	case !given && option.Arg == Required:
		if value, given = p.next(); !given {
			p.mistake("option '--%s' requires an argument", option.Name)
			return
		}
	}
	p.items = append(p.items, Item{Val: option.Val, Arg: value, Given: given})
}

// find looks a long option up by its name or a prefix. If the prefix fits several,
// those are the candidates; all with the meaning of the first stand for it.
func (s *Set) find(name string) (found *Long, candidates []string) {
	for i := range s.Long {
		if s.Long[i].Name == name {
			return &s.Long[i], nil
		}
	}
	for i := range s.Long {
		o := &s.Long[i]
		switch {
		case !strings.HasPrefix(o.Name, name):
		case found == nil:
			found = o
		case o.Arg != found.Arg || o.Val != found.Val:
			if candidates == nil {
				candidates = []string{found.Name}
			}
			candidates = append(candidates, o.Name)
		}
	}
	return found, candidates
}

// short reads the letters of a word.
func (p *parser) short(letters string) {
	for i := 0; i < len(letters); i++ {
		c := letters[i]
		at := strings.IndexByte(p.set.Short, c)
		if c == ':' || c == ';' || at < 0 {
			p.mistake("invalid option -- '%s'", letters[i:i+1])
			continue
		}
		item := Item{Val: int(c)}
		arg := No
		if colons := p.set.Short[at+1:]; strings.HasPrefix(colons, "::") {
			arg = Optional
		} else if strings.HasPrefix(colons, ":") {
			arg = Required
		}
		if arg != No && i+1 < len(letters) {
			item.Arg, item.Given = letters[i+1:], true
			p.items = append(p.items, item)
			return
		}
		if arg == Required {
			if item.Arg, item.Given = p.next(); !item.Given {
				p.mistake("option requires an argument -- '%c'", c)
				return
			}
		}
		p.items = append(p.items, item)
	}
}
