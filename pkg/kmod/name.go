package kmod

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// maxName is the longest module name: MODULE_NAME_LEN in
// include/linux/module.h is 64 - sizeof(unsigned long), so 56 with the NUL on
// 64-bit machines and 60 on 32-bit ones.
const maxName = 59

// suffixes are the file endings of modules: plain, and what
// CONFIG_MODULE_COMPRESS_{GZIP,XZ,ZSTD} append (scripts/Makefile.modinst).
var suffixes = []string{".ko", ".ko.gz", ".ko.xz", ".ko.zst"}

// NormalizeName returns a module's name as the kernel spells it in
// /proc/modules: with '_' for '-'.
func NormalizeName(name string) string {
	return strings.ReplaceAll(name, "-", "_")
}

// ModuleName returns the module name that a file's path stands for, and false
// if the path is not that of a module.
func ModuleName(file string) (string, bool) {
	base := path.Base(file)
	for _, s := range suffixes {
		if name, ok := strings.CutSuffix(base, s); ok && validName(name) {
			return NormalizeName(name), true
		}
	}
	return "", false
}

// validName reports whether s can be a module's name. Names go into
// whitespace-separated files and into paths.
func validName(s string) bool {
	if s == "" || len(s) > maxName || s == "." || s == ".." {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r == '/' || r == 0x7f
	})
}

// checkVersion refuses what can't be a kernel release: it becomes part of
// paths, and of a line in a [List]. __NEW_UTS_LEN is 64.
func checkVersion(v string) error {
	bad := v == "" || len(v) > 64 || v == "." || v == ".." ||
		strings.ContainsFunc(v, func(r rune) bool { return r <= ' ' || r == '/' || r == 0x7f })
	if bad {
		return fmt.Errorf("kernel version %q: not a kernel release", v)
	}
	return nil
}

// near returns up to three of the names that look most like name, for an
// error message.
func near(name string, names []string) []string {
	type scored struct {
		name string
		dist int
	}
	limit := max(1, len(name)/3)
	var found []scored
	for _, n := range names {
		d := distance(name, n, limit)
		if d > limit && len(name) >= 3 && (strings.HasPrefix(n, name+"_") || strings.HasPrefix(name, n+"_")) {
			d = limit
		}
		if d <= limit {
			found = append(found, scored{n, d})
		}
	}
	slices.SortFunc(found, func(a, b scored) int {
		if a.dist != b.dist {
			return a.dist - b.dist
		}
		return strings.Compare(a.name, b.name)
	})
	var out []string
	for _, f := range found[:min(3, len(found))] {
		out = append(out, f.name)
	}
	return out
}

// distance is the Levenshtein distance of a and b in bytes, or limit+1 when
// it is larger than limit.
func distance(a, b string, limit int) int {
	if len(a)-len(b) > limit || len(b)-len(a) > limit {
		return limit + 1
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diag := row[0]
		row[0] = i + 1
		for j := range len(b) {
			d := diag
			if a[i] != b[j] {
				d++
			}
			diag = row[j+1]
			row[j+1] = min(d, row[j]+1, row[j+1]+1)
		}
	}
	return min(row[len(b)], limit+1)
}
