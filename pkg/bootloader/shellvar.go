package bootloader

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// errShell means that an assignment is more than a shell variable's plain value.
var errShell = errors.New("not understood")

// assignment is a shell variable's assignment in a file: NAME="value", NAME+='value', NAME=value.
type assignment struct {
	start, end int    // of the value with its quotes, bytes
	quote      string // `"`, `'` or ""
	value      string // between the quotes, verbatim
}

// assignments finds those of a variable, in the order of the file. Comments don't count.
func assignments(text, name string) ([]assignment, error) {
	var found []assignment
	begin := regexp.MustCompile(`(?m)^[ \t]*(?:export[ \t]+)?` + regexp.QuoteMeta(name) + `\+?=`)
	for _, at := range begin.FindAllStringIndex(text, -1) {
		if len(found) > 0 && at[0] < found[len(found)-1].end {
			continue // inside of a value
		}
		a, err := parseValue(text, at[1])
		if err != nil {
			line := 1 + strings.Count(text[:at[0]], "\n")
			return nil, fmt.Errorf("line %d: the value of %s is %w", line, name, err)
		}
		found = append(found, a)
	}
	return found, nil
}

// parseValue reads a value at an offset.
func parseValue(text string, start int) (assignment, error) {
	a := assignment{start: start}
	rest := text[start:]
	switch {
	case strings.HasPrefix(rest, `'`):
		end := strings.IndexByte(rest[1:], '\'')
		if end < 0 {
			return a, errShell
		}
		a.quote, a.value, a.end = `'`, rest[1:1+end], start+end+2
	case strings.HasPrefix(rest, `"`):
		i := 1
		for ; i < len(rest) && rest[i] != '"'; i++ {
			if rest[i] == '\\' {
				i++
			}
		}
		if i >= len(rest) {
			return a, errShell
		}
		a.quote, a.value, a.end = `"`, rest[1:i], start+i+1
		if strings.Contains(a.value, "$(") || strings.Contains(a.value, "`") {
			return a, errShell
		}
	default:
		end := strings.IndexAny(rest, " \t\n;#")
		if end < 0 {
			end = len(rest)
		}
		if a.value, a.end = rest[:end], start+end; strings.ContainsAny(a.value, "\\\"'`(&|<>") {
			return a, errShell
		}
	}
	// Nothing but a comment or another command may come after it.
	after, _, _ := strings.Cut(text[a.end:], "\n")
	if trimmed := strings.TrimLeft(after, " \t"); trimmed != "" && trimmed[0] != ';' && (trimmed[0] != '#' || len(trimmed) == len(after)) {
		return a, errShell
	}
	return a, nil
}

// continued stands for a continued line, which is white space in a value: a backslash and a line feed in the file.
const continued = "\v\n"

// editVariable changes the command line in a shell variable. Words are taken out of each of its assignments, and added to the
// last one; if there is none, it comes to the end of the file.
func editVariable(e *edit, path, text, name string) (string, error) {
	all, err := assignments(text, name)
	if err != nil {
		return "", err
	}
	if len(all) == 0 {
		added := e.line(path, "")
		if added == "" {
			return text, nil
		}
		return closed(text) + name + `="` + added + "\"\n", nil
	}
	values := make([]string, len(all))
	for i, a := range all {
		values[i] = a.value
		if a.quote != `'` {
			values[i] = strings.ReplaceAll(a.value, "\\\n", continued)
		}
	}
	// An assignment may extend an earlier one: all are one command line.
	for i, changed := range slices.Backward(e.pieces(path, values...)) {
		if changed == values[i] {
			continue
		}
		a := all[i]
		quote := a.quote
		if quote == "" {
			quote = `"`
		}
		text = text[:a.start] + quote + strings.ReplaceAll(changed, continued, "\\\n") + quote + text[a.end:]
	}
	return text, nil
}
