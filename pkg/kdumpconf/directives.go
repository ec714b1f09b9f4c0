package kdumpconf

import "strings"

// readDirectives reads kdump.conf: a directive and the rest of its line, in which a '#' begins a comment and quotes
// around the whole are dropped (kdump-utils, kdump-lib-initramfs.sh, kdump_read_conf).
func readDirectives(text string) []assignment {
	var list []assignment
	line := 0
	for l := range strings.Lines(text) {
		line++
		l, _, _ = strings.Cut(l, "#")
		l = strings.TrimSpace(l)
		if l == "" {
			continue
		}
		name, value := l, ""
		if i := strings.IndexAny(l, " \t"); i >= 0 {
			name, value = l[:i], strings.TrimSpace(l[i:])
		}
		if n := len(value); n >= 2 && (value[0] == '"' || value[0] == '\'') && value[n-1] == value[0] {
			value = value[1 : n-1]
		}
		list = append(list, assignment{name: name, value: value, line: line})
	}
	return list
}
