package config

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/coreos/go-systemd/v22/unit"
)

// Setting is one assignment, Key=Value in [Section].
type Setting struct {
	Section string `json:"section"`
	Key     string `json:"key"`
	Value   string `json:"value"`
	Origin  string `json:"origin"` // path:line, of the line with the key
}

// String gives it as a message quotes it.
func (s Setting) String() string { return fmt.Sprintf("[%s] %s=%s", s.Section, s.Key, s.Value) }

// SyntaxError is a line of a file that can't be read.
type SyntaxError struct {
	Path string
	Line int // from 1
	Why  string
}

// Error gives path:line and the reason.
func (e *SyntaxError) Error() string { return fmt.Sprintf("%s:%d: %s", e.Path, e.Line, e.Why) }

// statement is a section's heading or an assignment: one line, or several that backslashes join.
type statement struct {
	line int // the first one's number, from 1
	text string
}

// parse reads one file. The library reads each statement; where it stands, which lines belong to it
// and whether it may stand there, the library doesn't tell.
func parse(path string, text []byte) ([]Setting, error) {
	statements, err := split(path, text)
	if err != nil {
		return nil, err
	}
	var settings []Setting
	section := ""
	for _, s := range statements {
		fail := func(format string, args ...any) ([]Setting, error) {
			return nil, &SyntaxError{Path: path, Line: s.line, Why: fmt.Sprintf(format, args...)}
		}
		if strings.HasSuffix(s.text, `\`) { // the library would go on reading
			return fail("%q ends in a backslash", s.text)
		}
		heading := strings.HasPrefix(s.text, "[")
		source := s.text
		if !heading {
			if section == "" {
				return fail("%q stands before the first [Section]", s.text)
			}
			if !strings.Contains(source, "=") {
				return fail("%q is neither Key=VALUE nor a [Section]", s.text)
			}
			source = "[" + section + "]\n" + source
		}
		read, err := unit.DeserializeSections(strings.NewReader(source + "\n"))
		switch {
		case err != nil:
			return fail("%v", err)
		case len(read) != 1 || heading == (len(read[0].Entries) == 1):
			return fail("%q is neither Key=VALUE nor a [Section]", s.text)
		case heading:
			if section = read[0].Section; !isName(section) {
				return fail("[%s] is no name of a section", section)
			}
			continue
		}
		entry := read[0].Entries[0]
		if !isName(entry.Name) {
			return fail("%q is no name of a key", entry.Name)
		}
		settings = append(settings, Setting{Section: section, Key: entry.Name, Value: entry.Value, Origin: fmt.Sprintf("%s:%d", path, s.line)})
	}
	return settings, nil
}

// split finds the statements (systemd.syntax(7)): empty lines and comments are left out, and a line that
// ends in a backslash goes on in the next one that is no comment, with a blank for the backslash.
func split(path string, text []byte) ([]statement, error) {
	var all []statement
	open := false // the last statement goes on
	for i, line := range strings.Split(strings.TrimSuffix(string(text), "\n"), "\n") {
		if i == 0 {
			line = strings.TrimPrefix(line, "\ufeff") // a byte order mark
		}
		line = strings.TrimSpace(line)
		if err := checkText(line); err != nil {
			return nil, &SyntaxError{Path: path, Line: i + 1, Why: err.Error()}
		}
		if strings.HasPrefix(line, "#") || strings.HasPrefix(line, ";") {
			continue
		}
		line, goesOn := strings.CutSuffix(line, `\`)
		switch {
		case open:
			last := &all[len(all)-1]
			last.text = strings.TrimSpace(last.text + " " + strings.TrimSpace(line))
		case line == "" && !goesOn:
			continue
		default:
			all = append(all, statement{line: i + 1, text: strings.TrimSpace(line)})
		}
		open = goesOn
	}
	if open {
		return nil, &SyntaxError{Path: path, Line: all[len(all)-1].line, Why: "the file ends after a backslash"}
	}
	return all, nil
}

// checkText refuses what is no text: a damaged file, or one of another kind.
func checkText(line string) error {
	if !utf8.ValidString(line) {
		return errors.New("the line is not UTF-8")
	}
	for _, r := range line {
		if unicode.IsControl(r) && r != '\t' {
			return fmt.Errorf("the line has a control character (%U)", r)
		}
	}
	return nil
}

// isName tells what may be the name of a section or a key.
func isName(s string) bool {
	for _, r := range s {
		if r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '-' && r != '_' && r != '.' {
			return false
		}
	}
	return s != ""
}
