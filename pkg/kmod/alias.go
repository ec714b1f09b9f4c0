package kmod

import "strings"

// Alias says that a module answers to a pattern: a name, or a modalias with
// wildcards.
type Alias struct {
	Pattern string // as written
	Module  string // normalised
}

// ParseAlias reads modules.alias: lines "alias PATTERN MODULE", and comments.
// Other lines are passed over: depmod writes an empty PATTERN for a module that
// has MODULE_ALIAS("").
func ParseAlias(b []byte) ([]Alias, error) {
	var aliases []Alias
	err := lines(b, func(_ int, line string) error {
		rest, ok := strings.CutPrefix(line, "alias ")
		if !ok {
			return nil
		}
		// A pattern made from firmware strings (dmi:) may hold spaces; the
		// module's name never does.
		i := strings.LastIndexByte(rest, ' ')
		if i <= 0 || !validName(rest[i+1:]) {
			return nil
		}
		aliases = append(aliases, Alias{Pattern: rest[:i], Module: NormalizeName(rest[i+1:])})
		return nil
	})
	if err != nil {
		return nil, err
	}
	return aliases, nil
}

// ParseBuiltinAlias reads the aliases from modules.builtin.modinfo, which the
// kernel's build writes: NUL-terminated MODULE.KEY=VALUE strings
// (include/linux/moduleparam.h, __MODULE_INFO in built-in code). Others are passed over.
func ParseBuiltinAlias(b []byte) []Alias {
	var aliases []Alias
	for _, entry := range entries(b) {
		tag, value, ok := strings.Cut(entry, "=")
		name, key, dot := strings.Cut(tag, ".")
		if !ok || !dot || !validName(name) {
			continue
		}
		if key == "alias" && value != "" {
			aliases = append(aliases, Alias{Pattern: value, Module: NormalizeName(name)})
		}
	}
	return aliases
}

// Match reports whether the alias covers s, by the rules of fnmatch(3) without
// flags: '*', '?' and '[...]'. '-' and '_' are the same outside of brackets
// (libkmod-util.c, alias_normalize).
func (a Alias) Match(s string) bool {
	return match(a.Pattern, s)
}

// match goes back only to the last '*', so its time is bounded by the product
// of the lengths.
func match(pattern, s string) bool {
	p, i := 0, 0
	star, mark := -1, 0
	for i < len(s) {
		if p < len(pattern) {
			if pattern[p] == '*' {
				star, mark = p, i
				p++
				continue
			}
			if n, ok := matchOne(pattern[p:], s[i]); ok {
				p += n
				i++
				continue
			}
		}
		if star < 0 {
			return false
		}
		mark++
		p, i = star+1, mark
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

// matchOne matches c against the first element of a pattern and returns the
// element's length in bytes. A '[' without its ']' stands for itself.
func matchOne(pattern string, c byte) (int, bool) {
	switch pattern[0] {
	case '?':
		return 1, true
	case '[':
		set, ok := bracket(pattern)
		if !ok {
			return 1, c == '['
		}
		return len(set) + 2, inBracket(set, c)
	case '-', '_':
		return 1, c == '-' || c == '_'
	}
	return 1, pattern[0] == c
}

// bracket returns what is between '[' and ']'. A ']' that comes first belongs
// to the set.
func bracket(pattern string) (string, bool) {
	skip := 1
	if len(pattern) > skip && (pattern[skip] == '!' || pattern[skip] == '^') {
		skip++
	}
	if len(pattern) > skip && pattern[skip] == ']' {
		skip++
	}
	end := strings.IndexByte(pattern[skip:], ']')
	if end < 0 {
		return "", false
	}
	return pattern[1 : skip+end], true
}

func inBracket(set string, c byte) bool {
	negated := set != "" && (set[0] == '!' || set[0] == '^')
	if negated {
		set = set[1:]
	}
	found := false
	for i := 0; i < len(set); i++ {
		if i+2 < len(set) && set[i+1] == '-' {
			found = found || set[i] <= c && c <= set[i+2]
			i += 2
			continue
		}
		found = found || set[i] == c
	}
	return found != negated
}
