package loader

import (
	"strconv"
	"strings"
)

// AtLeast tells whether the running kernel is of that version or newer, by its
// release (uname -r). A release that begins otherwise is not.
func (h *Host) AtLeast(major, minor int) bool {
	first, rest, _ := strings.Cut(h.Release, ".")
	second := rest
	if end := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' }); end >= 0 {
		second = rest[:end]
	}
	a, err := strconv.Atoi(first)
	if err != nil {
		return false
	}
	b, err := strconv.Atoi(second)
	return err == nil && (a > major || a == major && b >= minor)
}
