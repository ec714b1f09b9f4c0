package bootloader

import (
	"regexp"
	"slices"
	"strings"
)

// editKeyed edits the command line that stands behind a key, on one line or several: key matches up to where it begins. Words
// are added to the last one, or in a new line that begins with newLine; none is made if that is "".
func editKeyed(e *edit, name, text string, key *regexp.Regexp, newLine string) string {
	at := key.FindAllStringIndex(text, -1)
	lines := make([]string, len(at))
	for i := range at {
		lines[i] = lineAt(text, at[i][1])
	}
	for i, changed := range slices.Backward(e.pieces(name, lines...)) {
		text = replaceLine(text, at[i][1], lines[i], changed)
	}
	if len(at) == 0 && newLine != "" {
		if added := e.line(name, ""); added != "" {
			text = closed(text) + newLine + added + "\n"
		}
	}
	return text
}

// editEach is editKeyed where each line is a command line of its own.
func editEach(e *edit, name, text string, key *regexp.Regexp) string {
	for _, at := range slices.Backward(key.FindAllStringIndex(text, -1)) {
		line := lineAt(text, at[1])
		text = replaceLine(text, at[1], line, e.line(name, line))
	}
	return text
}

func replaceLine(text string, start int, line, changed string) string {
	if changed == line {
		return text
	}
	if start > 0 && line == "" && !strings.ContainsRune(" \t=", rune(text[start-1])) {
		changed = " " + changed // the key had nothing behind it
	}
	return text[:start] + changed + text[start+len(line):]
}

// lineAt is the rest of a line, without its end.
func lineAt(text string, start int) string {
	line, _, _ := strings.Cut(text[start:], "\n")
	return strings.TrimSuffix(line, "\r")
}

// closed is text whose last line has an end.
func closed(text string) string {
	if text == "" || strings.HasSuffix(text, "\n") {
		return text
	}
	return text + "\n"
}

// editLines edits a file that is one command line, on one line or several, but for comments.
func editLines(e *edit, name, text string) string {
	all := strings.SplitAfter(text, "\n")
	var at []int
	var lines []string
	for i, line := range all {
		if content := strings.TrimRight(line, "\r\n"); strings.TrimSpace(content) != "" && !strings.HasPrefix(strings.TrimSpace(content), "#") {
			at, lines = append(at, i), append(lines, content)
		}
	}
	for i, changed := range e.pieces(name, lines...) {
		all[at[i]] = changed + all[at[i]][len(lines[i]):]
	}
	text = strings.Join(all, "")
	if added := e.line(name, ""); len(lines) == 0 && added != "" {
		text = closed(text) + added + "\n"
	}
	return text
}
