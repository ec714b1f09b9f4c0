package storage

import (
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzFits: a pattern fits what the regular expression fits that it stands for.
func FuzzFits(f *testing.F) {
	for _, k := range kinds {
		for _, pattern := range strings.Fields(k.names) {
			f.Add(pattern, strings.NewReplacer("#", "12", "*", "x").Replace(pattern))
			f.Add(pattern, strings.NewReplacer("#", "", "*", "").Replace(pattern))
			f.Add(pattern, strings.NewReplacer("#", "0p1", "*", "!y").Replace(pattern))
		}
	}
	f.Add("a#5", "a15")
	f.Fuzz(func(t *testing.T, pattern, name string) {
		if i := strings.IndexByte(pattern, '*'); i >= 0 && i < len(pattern)-1 || numberBehindNumber.MatchString(pattern) ||
			!utf8.ValidString(pattern) || !utf8.ValidString(name) {
			return // no pattern of the table, or not for regexp
		}
		re := regexp.MustCompile(`(?s)^` + strings.NewReplacer("#", "[0-9]+", `\*`, ".*").Replace(regexp.QuoteMeta(pattern)) + `$`)
		if got, want := fits(pattern, name), re.MatchString(name); got != want {
			t.Errorf("fits(%q, %q) = %v; want %v", pattern, name, got, want)
		}
	})
}

var numberBehindNumber = regexp.MustCompile(`#[#0-9]`)
