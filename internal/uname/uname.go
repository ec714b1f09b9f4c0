// Package uname reads kernel releases, what uname -r prints.
package uname

import (
	"strconv"
	"strings"
)

// AtLeast reports whether a release is of the version major.minor or a later one.
// One that doesn't begin with two numbers is not.
func AtLeast(release string, major, minor int) bool {
	first, rest, _ := strings.Cut(release, ".")
	second := rest
	if end := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' }); end >= 0 {
		second = rest[:end]
	}
	a, errMajor := strconv.Atoi(first)
	b, errMinor := strconv.Atoi(second)
	return errMajor == nil && errMinor == nil && (a > major || a == major && b >= minor)
}
