package kdumpconf

import (
	"fmt"
	"strings"
)

// assignment is a line NAME=VALUE, or a directive and the rest of its line.
type assignment struct {
	name, value string
	line        int    // from 1, the first one
	bad         string // why the value can't be told; "" if it can
}

// readShell reads a file of assignments that a shell would source, without being one: blank lines, comments, and
// NAME=VALUE with quotes and backslashes (POSIX, Shell Command Language, 2.2). What only a shell could tell is bad: an
// expansion ($, `), a command, a condition.
func readShell(text string) []assignment {
	s := &scanner{text: text, line: 1}
	var list []assignment
	for s.skip() {
		list = append(list, s.statement())
	}
	return list
}

type scanner struct {
	text string
	at   int
	line int
}

func (s *scanner) next() byte {
	c := s.text[s.at]
	s.at++
	if c == '\n' {
		s.line++
	}
	return c
}

func (s *scanner) more() bool { return s.at < len(s.text) }

// skip goes over blanks, comments and empty statements. It tells whether anything follows.
func (s *scanner) skip() bool {
	for s.more() {
		switch c := s.text[s.at]; {
		case strings.IndexByte(" \t\r\n;", c) >= 0:
			s.next()
		case c == '#':
			s.endLine()
		default:
			return true
		}
	}
	return false
}

func (s *scanner) endLine() string {
	start := s.at
	for s.more() && s.text[s.at] != '\n' {
		s.at++
	}
	return s.text[start:s.at]
}

// statement reads an assignment and what follows it in its line.
func (s *scanner) statement() assignment {
	a := assignment{line: s.line}
	start := s.at
	s.keyword("export")
	a.name = s.name()
	if a.name == "" || !s.more() || s.text[s.at] != '=' {
		s.at = start
		text := strings.TrimRight(s.endLine(), " \t\r")
		a.name, _, _ = strings.Cut(text, " ")
		a.value, a.bad = text, "no assignment of a value: only a shell knows what it does"
		return a
	}
	s.next()
	begin := s.at
	a.value, a.bad = s.word()
	if a.bad != "" {
		a.value = strings.TrimSpace(s.text[begin:s.at])
	}
	rest := strings.TrimSpace(s.endOfStatement())
	if rest != "" && a.bad == "" {
		a.bad = fmt.Sprintf("%q follows the value", short(rest))
	}
	return a
}

// keyword goes over a word and the blanks behind it.
func (s *scanner) keyword(word string) {
	rest, found := strings.CutPrefix(s.text[s.at:], word)
	if trimmed := strings.TrimLeft(rest, " \t"); found && len(trimmed) < len(rest) {
		s.at = len(s.text) - len(trimmed)
	}
}

func (s *scanner) name() string {
	start := s.at
	for s.more() && isNameByte(s.text[s.at], s.at > start) {
		s.at++
	}
	return s.text[start:s.at]
}

func isNameByte(c byte, digits bool) bool {
	return c == '_' || 'a' <= c|0x20 && c|0x20 <= 'z' || digits && '0' <= c && c <= '9'
}

// endOfStatement reads up to the end of the line, a semicolon or a comment.
func (s *scanner) endOfStatement() string {
	start := s.at
	for s.more() {
		c := s.text[s.at]
		if c == '\n' || c == ';' {
			break
		}
		if c == '#' && strings.IndexByte(" \t\r", s.text[s.at-1]) >= 0 {
			end := s.at
			s.endLine()
			return s.text[start:end]
		}
		s.at++
	}
	return s.text[start:s.at]
}

const expansion = "an expansion, which only a shell can do"

// word reads a value up to an unquoted blank or the end of the statement.
func (s *scanner) word() (value, bad string) {
	var b strings.Builder
	for s.more() {
		c := s.text[s.at]
		switch {
		case strings.IndexByte(" \t\r\n;", c) >= 0:
			return b.String(), bad
		case strings.IndexByte("&|<>()", c) >= 0:
			return b.String(), fmt.Sprintf("%q, which only a shell understands", c)
		case c == '$' || c == '`' || c == '~' && b.Len() == 0:
			s.next()
			bad = expansion
		case c == '\'':
			s.next()
			part, rest, closed := strings.Cut(s.text[s.at:], "'")
			if !closed {
				s.at = len(s.text)
				return b.String(), "a quote that is not closed"
			}
			s.line += strings.Count(part, "\n")
			s.at = len(s.text) - len(rest)
			b.WriteString(part)
		case c == '"':
			s.next()
			if why := s.quoted(&b); why != "" {
				bad = why
			}
		case c == '\\':
			s.next()
			if s.more() {
				if c := s.next(); c != '\n' {
					b.WriteByte(c)
				}
			}
		default:
			b.WriteByte(s.next())
		}
	}
	return b.String(), bad
}

// quoted reads the inside of double quotes.
func (s *scanner) quoted(b *strings.Builder) (bad string) {
	for s.more() {
		c := s.next()
		switch c {
		case '"':
			return bad
		case '$', '`':
			bad = expansion
		case '\\':
			if !s.more() {
				return "a quote that is not closed"
			}
			switch c := s.next(); c {
			case '\n':
			case '"', '\\', '$', '`':
				b.WriteByte(c)
			default:
				b.WriteByte('\\')
				b.WriteByte(c)
			}
		default:
			b.WriteByte(c)
		}
	}
	return "a quote that is not closed"
}

// short cuts a text for a message.
func short(s string) string {
	if len(s) > 60 {
		return s[:60] + "..."
	}
	return s
}
