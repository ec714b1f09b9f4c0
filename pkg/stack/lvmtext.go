package stack

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Bounds of the text in which LVM describes a volume group. One with 10000 volumes is about as long.
const (
	maxGroupText   = 4 << 20 // bytes
	maxGroupValues = 1 << 18 // names and values
	maxGroupDepth  = 16      // sections within sections
)

// lvmSection is a section of that text, or all of it. Its order means nothing.
type lvmSection struct {
	entries []lvmEntry // sorted by name, each of which is there once
}

// lvmEntry is a section or a value, which is a list or one scalar.
type lvmEntry struct {
	name    string
	section *lvmSection
	list    bool
	values  []lvmValue
}

// lvmValue is a string or a number.
type lvmValue struct {
	text     string
	number   int64
	isNumber bool
}

// entry finds an entry of a section; nil if there is none.
func (s *lvmSection) entry(name string) *lvmEntry {
	i, found := slices.BinarySearchFunc(s.entries, name, func(e lvmEntry, name string) int { return cmp.Compare(e.name, name) })
	if !found {
		return nil
	}
	return &s.entries[i]
}

// section finds a section in a section; an empty one if there is none.
func (s *lvmSection) section(name string) *lvmSection {
	if e := s.entry(name); e != nil && e.section != nil {
		return e.section
	}
	return &lvmSection{}
}

// scalar is the one value of an entry.
func (e *lvmEntry) scalar() (lvmValue, bool) {
	if e == nil || e.section != nil || e.list {
		return lvmValue{}, false
	}
	return e.values[0], true
}

// text is a string of a section; "" if there is none.
func (s *lvmSection) text(name string) string {
	v, _ := s.entry(name).scalar()
	return v.text
}

// number is a number of a section that is not negative.
func (s *lvmSection) number(name string) (int64, error) {
	v, ok := s.entry(name).scalar()
	if !ok || !v.isNumber || v.number < 0 {
		return 0, fmt.Errorf("no %s, or none that is a number", name)
	}
	return v.number, nil
}

// append prints a section, the same for what means the same.
func (s *lvmSection) append(b []byte) []byte {
	for i := range s.entries {
		b = s.entries[i].append(b)
	}
	return b
}

func (e *lvmEntry) append(b []byte) []byte {
	b = append(b, e.name...)
	if e.section != nil {
		b = append(b, "{\n"...)
		b = e.section.append(b)
		return append(b, "}\n"...)
	}
	b = append(b, '=')
	if e.list {
		b = append(b, '[')
	}
	for i, v := range e.values {
		if i > 0 {
			b = append(b, ',')
		}
		b = v.append(b)
	}
	if e.list {
		b = append(b, ']')
	}
	return append(b, '\n')
}

func (v lvmValue) append(b []byte) []byte {
	if v.isNumber {
		return strconv.AppendInt(b, v.number, 10)
	}
	b = append(b, '"')
	for i := range len(v.text) {
		if c := v.text[i]; c == '"' || c == '\\' {
			b = append(b, '\\')
		}
		b = append(b, v.text[i])
	}
	return append(b, '"')
}

// parseLVMText parses the text that LVM writes (lvm2: lib/format_text/export.c; man 5 lvm.conf, SYNTAX): sections NAME { },
// values NAME = VALUE, where a value is a number, a string with \" and \\ or a list [ ] of those, and comments from # to
// the end of a line. What lvm.conf may have in addition, such as floating point numbers, LVM never writes here: it is an error.
func parseLVMText(text string) (*lvmSection, error) {
	if len(text) > maxGroupText {
		return nil, fmt.Errorf("text of %d bytes; want at most %d", len(text), maxGroupText)
	}
	p := &lvmParser{in: text, left: maxGroupValues}
	s, err := p.section(0)
	if err != nil {
		return nil, fmt.Errorf("byte %d: %w", p.at, err)
	}
	return s, nil
}

type lvmParser struct {
	in   string
	at   int
	left int // how many names and values there may be still
}

// peek is the next byte that is neither white space nor in a comment; 0 at the end.
func (p *lvmParser) peek() byte {
	for p.at < len(p.in) {
		switch c := p.in[p.at]; c {
		case ' ', '\t', '\n', '\v', '\f', '\r':
			p.at++
		case '#':
			n := strings.IndexByte(p.in[p.at:], '\n')
			if n < 0 {
				n = len(p.in) - p.at
			}
			p.at += n
		default:
			return c
		}
	}
	return 0
}

// take takes a byte, not 0, if it is the next one.
func (p *lvmParser) take(c byte) bool {
	if p.peek() != c {
		return false
	}
	p.at++
	return true
}

func (p *lvmParser) count() error {
	if p.left--; p.left < 0 {
		return fmt.Errorf("more than %d names and values", maxGroupValues)
	}
	return nil
}

// section parses entries up to the brace that ends it; those of depth 0 up to the end.
func (p *lvmParser) section(depth int) (*lvmSection, error) {
	if depth > maxGroupDepth {
		return nil, fmt.Errorf("sections within sections; want at most %d", maxGroupDepth)
	}
	s := &lvmSection{}
	for {
		p.peek()
		if end := p.at == len(p.in); end && depth == 0 || !end && depth > 0 && p.take('}') {
			break
		} else if end {
			return nil, errors.New("the end within a section")
		}
		e, err := p.entry(depth)
		if err != nil {
			return nil, err
		}
		s.entries = append(s.entries, e)
	}
	slices.SortFunc(s.entries, func(a, b lvmEntry) int { return cmp.Compare(a.name, b.name) })
	for i := 1; i < len(s.entries); i++ {
		if s.entries[i].name == s.entries[i-1].name {
			return nil, fmt.Errorf("%.128q is there twice", s.entries[i].name)
		}
	}
	return s, nil
}

func (p *lvmParser) entry(depth int) (e lvmEntry, err error) {
	if err := p.count(); err != nil {
		return e, err
	}
	if e.name = p.word(lvmNameByte); e.name == "" {
		return e, errors.New("no name")
	}
	switch {
	case p.take('{'):
		e.section, err = p.section(depth + 1)
	case !p.take('='):
		return e, fmt.Errorf("neither { nor = after %.128q", e.name)
	case p.take('['):
		e.list = true
		e.values, err = p.list()
	default:
		var v lvmValue
		v, err = p.value()
		e.values = []lvmValue{v}
	}
	return e, err
}

func (p *lvmParser) list() ([]lvmValue, error) {
	var list []lvmValue
	if p.take(']') {
		return nil, nil
	}
	for {
		v, err := p.value()
		if err != nil {
			return nil, err
		}
		list = append(list, v)
		switch {
		case p.take(']'):
			return list, nil
		case !p.take(','):
			return nil, errors.New("neither , nor ] after a value of a list")
		}
	}
}

func (p *lvmParser) value() (lvmValue, error) {
	if err := p.count(); err != nil {
		return lvmValue{}, err
	}
	if p.take('"') {
		return p.quoted()
	}
	word := p.word(lvmNameByte)
	digits, _ := strings.CutPrefix(word, "-")
	n, err := strconv.ParseInt(word, 10, 64)
	if err != nil || digits == "" || digits[0] < '0' || digits[0] > '9' || digits[0] == '0' && word != "0" {
		return lvmValue{}, fmt.Errorf("%.40q is no value", word)
	}
	return lvmValue{number: n, isNumber: true}, nil
}

// quoted parses a string after its first quotation mark. A backslash that is before neither of the two stands for itself
// (libdm: libdm-string.c, dm_unescape_double_quotes).
func (p *lvmParser) quoted() (lvmValue, error) {
	escaped := false
	for i := p.at; i < len(p.in); i++ {
		switch c := p.in[i]; {
		case c == 0:
			return lvmValue{}, errors.New("a NUL byte in a string")
		case c == '\\' && i+1 < len(p.in) && (p.in[i+1] == '"' || p.in[i+1] == '\\'):
			escaped = true
			i++
		case c == '"':
			text := p.in[p.at:i]
			p.at = i + 1
			if escaped {
				text = unescapeLVM(text)
			}
			return lvmValue{text: text}, nil
		}
	}
	return lvmValue{}, errors.New("a string without an end")
}

func unescapeLVM(text string) string {
	b := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' && i+1 < len(text) && (text[i+1] == '"' || text[i+1] == '\\') {
			i++
		}
		b = append(b, text[i])
	}
	return string(b)
}

// word takes the bytes of a kind that are next.
func (p *lvmParser) word(is func(c byte) bool) string {
	p.peek()
	start := p.at
	for p.at < len(p.in) && is(p.in[p.at]) {
		p.at++
	}
	return p.in[start:p.at]
}

// lvmNameByte tells what names of volumes and groups are made of (man 8 lvm, VALID NAMES), and numbers.
func lvmNameByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("+_.-", c) >= 0
}
