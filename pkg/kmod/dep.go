package kmod

import (
	"bufio"
	"bytes"
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// maxLine bounds a line of depmod's files in bytes. The longest modules.dep
// line of a distribution kernel has some 3 kB.
const maxLine = 1 << 20

// Dep is one line of modules.dep: a module's file and those of all modules it
// needs, direct and indirect. Paths are relative to lib/modules/VERSION,
// unless depmod found the module elsewhere: then they begin with '/'.
type Dep struct {
	File  string
	Needs []string
}

// ParseDep reads modules.dep (modules.dep(5)), the text form:
//
//	kernel/fs/ext4/ext4.ko.xz: kernel/fs/mbcache.ko.xz kernel/fs/jbd2/jbd2.ko.xz
func ParseDep(b []byte) ([]Dep, error) {
	var deps []Dep
	seen := make(map[string]int)
	err := lines(b, func(n int, line string) error {
		file, needs, ok := strings.Cut(line, ":")
		if !ok {
			return fmt.Errorf("no ':' in %q", clip(line))
		}
		name, err := checkModuleFile(file)
		if err != nil {
			return err
		}
		if at, dup := seen[name]; dup {
			return fmt.Errorf("module %s is already on line %d", name, at)
		}
		seen[name] = n
		d := Dep{File: file}
		if needs != "" && needs[0] != ' ' {
			return fmt.Errorf("no space after %q", clip(file+":"))
		}
		for _, f := range strings.Fields(needs) {
			if _, err := checkModuleFile(f); err != nil {
				return err
			}
			d.Needs = append(d.Needs, f)
		}
		deps = append(deps, d)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return deps, nil
}

// checkModuleFile returns the name of the module in a file that an index
// names.
func checkModuleFile(file string) (string, error) {
	if !fs.ValidPath(strings.TrimPrefix(file, "/")) || strings.ContainsAny(file, " \t") {
		return "", fmt.Errorf("bad path %q", clip(file))
	}
	name, ok := ModuleName(file)
	if !ok {
		return "", fmt.Errorf("%q is not a module file", clip(path.Base(file)))
	}
	return name, nil
}

// Softdep are the names to load before (Pre) and after (Post) a module, each a
// module's name or an alias, as written.
type Softdep struct {
	Pre, Post []string
}

// ParseSoftdep reads modules.softdep: lines "softdep NAME pre: A B post: C",
// and comments. A module may have several lines. The keys are normalised. Other
// lines are passed over, as kmod does.
func ParseSoftdep(b []byte) (map[string]Softdep, error) {
	soft := make(map[string]Softdep)
	err := lines(b, func(_ int, line string) error {
		words := strings.Fields(line)
		if len(words) < 2 || words[0] != "softdep" || !validName(words[1]) {
			return nil
		}
		s := parseSoft(words[2:])
		name := NormalizeName(words[1])
		old := soft[name]
		soft[name] = Softdep{Pre: append(old.Pre, s.Pre...), Post: append(old.Post, s.Post...)}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return soft, nil
}

// parseSoft reads "pre: a b post: c". Names before the first keyword mean
// nothing, as in libkmod (libkmod-config.c, kmod_config_add_softdep): the cifs
// module has such lines. Any other word is a name, "x:" too.
func parseSoft(words []string) Softdep {
	var s Softdep
	var to *[]string
	for _, w := range words {
		switch {
		case w == "pre:":
			to = &s.Pre
		case w == "post:":
			to = &s.Post
		case to != nil:
			*to = append(*to, w)
		}
	}
	return s
}

// ParseWeakdep reads modules.weakdep (kmod 33 and later): lines
// "weakdep NAME A B", and comments. The keys are normalised.
func ParseWeakdep(b []byte) (map[string][]string, error) {
	weak := make(map[string][]string)
	err := lines(b, func(_ int, line string) error {
		words := strings.Fields(line)
		if len(words) < 2 || words[0] != "weakdep" || !validName(words[1]) {
			return nil
		}
		name := NormalizeName(words[1])
		weak[name] = append(weak[name], words[2:]...)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return weak, nil
}

// ParseBuiltin reads modules.builtin, which the kernel's build writes: one
// path per line, ending in .ko, for each module that was built into the
// kernel. It returns the normalised names. Other lines are passed over.
func ParseBuiltin(b []byte) (map[string]bool, error) {
	builtin := make(map[string]bool)
	err := lines(b, func(_ int, line string) error {
		if name, err := checkModuleFile(line); err == nil {
			builtin[name] = true
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return builtin, nil
}

// lines calls f with each line that is neither empty nor a comment, and puts
// the line's number before f's error.
func lines(b []byte, f func(n int, line string) error) error {
	sc := bufio.NewScanner(bytes.NewReader(b))
	sc.Buffer(nil, maxLine)
	n := 0
	for sc.Scan() {
		n++
		line := sc.Text()
		if line == "" || line[0] == '#' {
			continue
		}
		if i := strings.IndexByte(line, 0); i >= 0 {
			return fmt.Errorf("line %d: NUL at byte %d", n, i)
		}
		if err := f(n, line); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
	}
	if err := sc.Err(); err != nil {
		return fmt.Errorf("line %d: %w", n+1, err)
	}
	return nil
}

// clip shortens what an error message quotes.
func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "..."
	}
	return s
}
