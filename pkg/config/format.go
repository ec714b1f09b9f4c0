package config

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/coreos/go-systemd/v22/unit"
)

// Format gives a file with these settings, in their order, from which Read gets equal ones, but for their
// Origin. The lines of comment stand at its beginning. A value that the syntax can't hold is an error:
// one with a line break, with blanks around it, that ends in a backslash, or is too long.
func Format(settings []Setting, comment string) ([]byte, error) {
	var b bytes.Buffer
	for line := range strings.Lines(comment) {
		if err := checkText(strings.TrimRight(line, "\r\n")); err != nil {
			return nil, fmt.Errorf("comment %q: %w", line, err)
		}
		b.WriteString(strings.TrimRight("# "+strings.TrimRight(line, "\r\n"), " ") + "\n")
	}
	section := ""
	for _, s := range settings {
		line := s.Key + "=" + s.Value
		switch err := checkText(line); {
		case !isName(s.Section) || !isName(s.Key):
			return nil, fmt.Errorf("%s: the name of a section or key has letters, digits, and .-_ only", s)
		case err != nil:
			return nil, fmt.Errorf("%s: %w", s, err)
		case s.Value != strings.TrimSpace(s.Value) || strings.HasSuffix(s.Value, `\`):
			return nil, fmt.Errorf("%s: a value can't begin or end with a blank, or end with a backslash", s)
		case len(line) >= unit.SYSTEMD_LINE_MAX:
			return nil, fmt.Errorf("%s: the line has %d bytes; at most %d are read", s, len(line), unit.SYSTEMD_LINE_MAX-1)
		}
		if s.Section != section {
			if b.Len() > 0 {
				b.WriteString("\n")
			}
			section = s.Section
			fmt.Fprintf(&b, "[%s]\n", section)
		}
		b.WriteString(line + "\n")
	}
	return b.Bytes(), nil
}
