package bootloader

import (
	"slices"
	"strings"

	"github.com/gokexec/gokexec/pkg/cmdline"
)

// parameter is the kernel parameter that reserves memory for the crash kernel
// (Documentation/admin-guide/kernel-parameters.txt).
const parameter = "crashkernel"

// word is a word of a kernel command line, and where it stands.
type word struct {
	text       string
	start, end int // bytes
}

// splitWords splits a command line as the kernel does (lib/cmdline.c, next_arg): by white space outside of double
// quotes. It gives the words of the kernel, and where those of init begin: at a lone "--", else at the end. open
// tells that a quote is not closed.
func splitWords(s string) (kernel []word, init int, open bool) {
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
		open = open || quoted
		if s[start:i] == "--" || s[start:i] == `"--"` {
			return kernel, start, open
		}
		kernel = append(kernel, word{s[start:i], start, i})
	}
	return kernel, len(s), open
}

// isSpace is the kernel's (see cmdline.Parse).
func isSpace(b byte) bool { return strings.IndexByte(asciiSpace, b) >= 0 || b == noBreakSpace }

const (
	asciiSpace = " \t\n\v\f\r"
	// noBreakSpace is one in Latin-1. In UTF-8 it is the last byte of characters, and parts words nevertheless.
	noBreakSpace = 0xa0
)

// isReservation tells whether a word is crashkernel=.
func isReservation(text string) bool {
	c, err := cmdline.Parse(text)
	return err == nil && len(c.Args) == 1 && c.Args[0].Set && c.Args[0].Name == parameter
}

// reservations gives the words crashkernel= of a command line.
func reservations(s string) []string {
	var found []string
	kernel, _, _ := splitWords(s)
	for _, w := range kernel {
		if isReservation(w.text) {
			found = append(found, w.text)
		}
	}
	return found
}

// without takes the words for which drop is true out of a command line, each with the white space before it.
func without(s string, drop func(string) bool) string {
	kernel, _, _ := splitWords(s)
	for _, w := range slices.Backward(kernel) {
		if !drop(w.text) {
			continue
		}
		before, after := strings.TrimRight(s[:w.start], asciiSpace), s[w.end:]
		if before == "" {
			after = strings.TrimLeft(after, asciiSpace)
		}
		s = before + after
	}
	return s
}

// with puts words behind those of the kernel, before those of init. Where a quote is open they come first, since it would
// take them in.
func with(s string, words []string) string {
	if len(words) == 0 {
		return s
	}
	more := strings.Join(words, " ")
	kernel, init, open := splitWords(s)
	switch {
	case len(kernel) == 0 && init == len(s):
		return more + s
	case len(kernel) == 0:
		return s[:init] + more + " " + s[init:]
	case open && init == len(s):
		return s[:kernel[0].start] + more + " " + s[kernel[0].start:]
	}
	last := kernel[len(kernel)-1].end
	for last < len(s) && s[last] == noBreakSpace {
		last++ // it may be the end of a character
	}
	return s[:last] + " " + more + s[last:]
}
