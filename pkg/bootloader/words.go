package bootloader

import (
	"slices"
	"strings"

	"github.com/gokexec/gokexec/pkg/cmdline"
)

// parameter is the kernel parameter that reserves memory for the crash kernel
// (Documentation/admin-guide/kernel-parameters.txt).
const parameter = "crashkernel"

// splitWords gives the words of the kernel in a command line, and where those of init begin: at a lone "--", else at
// the end. open tells that a quote is not closed.
func splitWords(s string) (kernel []cmdline.Word, init int, open bool) {
	for _, w := range cmdline.Words(s) {
		open = open || w.Open()
		if w.Text == "--" || w.Text == `"--"` {
			return kernel, w.Start, open
		}
		kernel = append(kernel, w)
	}
	return kernel, len(s), open
}

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
		if isReservation(w.Text) {
			found = append(found, w.Text)
		}
	}
	return found
}

// without takes the words for which drop is true out of a command line, each with the white space before it.
func without(s string, drop func(string) bool) string {
	kernel, _, _ := splitWords(s)
	for _, w := range slices.Backward(kernel) {
		if !drop(w.Text) {
			continue
		}
		before, after := strings.TrimRight(s[:w.Start], asciiSpace), s[w.End():]
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
		return s[:kernel[0].Start] + more + " " + s[kernel[0].Start:]
	}
	last := kernel[len(kernel)-1].End()
	for last < len(s) && s[last] == noBreakSpace {
		last++ // it may be the end of a character
	}
	return s[:last] + " " + more + s[last:]
}
