package kmod

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
)

// modprobeDirs are where modprobe's configuration is, the first that has a file of some name
// wins (modprobe.d(5)).
var modprobeDirs = []string{"etc/modprobe.d", "run/modprobe.d", "usr/local/lib/modprobe.d", "usr/lib/modprobe.d", "lib/modprobe.d"}

const (
	maxModprobe      = 1 << 20 // bytes of one file
	maxModprobeFiles = 1 << 10
	maxOptions       = 4 << 10 // bytes for one module: they must fit a line of List
)

// Modprobe is what the files of modprobe.d say (modprobe.d(5)). Names are normalised.
type Modprobe struct {
	Options   map[string]string // parameters by module
	Blacklist map[string]bool   // modules whose aliases don't count
	Install   map[string]string // shell commands to run instead of loading
	Aliases   []Alias
	Soft      []PatternSoftdep
	// Notes say what was not understood or not read, each with its place. kmod ignores it, too.
	Notes []string
}

// PatternSoftdep is a softdep line. Its name may be a pattern.
type PatternSoftdep struct {
	Name Alias
	Softdep
}

// ReadModprobe reads the files *.conf of modprobe.d below root, in the order of their names. One that
// has the same name as another in a directory that comes before is masked, also by an empty file or a
// link to /dev/null.
func ReadModprobe(root fs.FS) *Modprobe {
	m := newModprobe()
	files := map[string]string{} // path by base name
	for _, dir := range modprobeDirs {
		entries, err := readDir(root, dir)
		if err != nil {
			m.note(dir, 0, err.Error())
			continue
		}
		for _, e := range entries {
			if _, masked := files[e.Name()]; !masked && strings.HasSuffix(e.Name(), ".conf") && len(files) < maxModprobeFiles {
				files[e.Name()] = dir + "/" + e.Name()
			}
		}
	}
	for _, base := range slices.Sorted(maps.Keys(files)) {
		m.readFile(root, files[base])
	}
	return m
}

func newModprobe() *Modprobe {
	return &Modprobe{Options: map[string]string{}, Blacklist: map[string]bool{}, Install: map[string]string{}}
}

func (m *Modprobe) readFile(root fs.FS, name string) {
	real, err := resolve(root, name)
	if real == "dev/null" || errors.Is(err, fs.ErrNotExist) {
		return // masked; a tree that was copied has no /dev/null
	}
	var info fs.FileInfo
	if err == nil {
		info, err = fs.Stat(root, real)
	}
	switch {
	case err != nil:
	case info.IsDir():
		return
	case !info.Mode().IsRegular():
		err = errors.New("not a regular file")
	}
	var b []byte
	if err == nil {
		b, err = readFile(root, real, maxModprobe)
	}
	if err != nil {
		m.note(name, 0, err.Error())
		return
	}
	m.parse(name, b)
}

// ParseModprobe reads one file. name stands in notes.
func ParseModprobe(name string, b []byte) *Modprobe {
	m := newModprobe()
	m.parse(name, b)
	return m
}

func (m *Modprobe) note(name string, line int, text string) {
	at := "/" + name
	if line > 0 {
		at = fmt.Sprintf("%s:%d", at, line)
	}
	m.Notes = append(m.Notes, at+": "+text)
}

// parse reads lines, of which one that ends in a backslash goes on in the next
// (libkmod-config.c, kmod_config_parse; libkmod-util.c, freadline_wrapped).
func (m *Modprobe) parse(name string, b []byte) {
	n := 0
	for len(b) > 0 {
		n++
		first := n
		var line []byte
		for more := true; more; {
			var part []byte
			part, b, more = bytes.Cut(b, []byte("\n"))
			if !more {
				b = nil
			}
			if more = more && bytes.HasSuffix(part, []byte(`\`)); more {
				part = part[:len(part)-1]
				n++
			}
			line = append(line, part...)
		}
		if text := strings.TrimRight(string(line), " \t\r"); text != "" && text[0] != '#' {
			if problem := m.line(text); problem != "" {
				m.note(name, first, problem+": "+clip(text))
			}
		}
	}
}

// line takes one line in. What it returns says what is wrong with it.
func (m *Modprobe) line(text string) string {
	word, rest := cutWord(text)
	if strings.HasPrefix(word, "#") {
		return ""
	}
	subject, rest := cutWord(rest)
	if strings.ContainsAny(text, "\x00\r") {
		return "a NUL or CR byte; the line is passed over"
	}
	name := NormalizeName(subject)
	valid := validName(name)
	switch {
	case word == "alias" && subject != "":
		target, _ := cutWord(rest)
		if !validName(target) {
			return "no module's name; the line is passed over"
		}
		m.Aliases = append(m.Aliases, Alias{Pattern: subject, Module: NormalizeName(target)})
	case word == "softdep" && subject != "":
		m.Soft = append(m.Soft, PatternSoftdep{Name: Alias{Pattern: subject, Module: name}, Softdep: parseSoft(strings.Fields(rest))})
	case word == "options" && len(m.Options[name])+len(rest) > maxOptions:
		return fmt.Sprintf("more than %d bytes of options; the line is passed over", maxOptions)
	case word == "options" && valid && rest != "":
		m.Options[name] = strings.TrimLeft(m.Options[name]+" "+rest, " ")
	case word == "blacklist" && valid:
		m.Blacklist[name] = true
	case word == "install" && valid && rest != "":
		m.Install[name] = rest
	case word == "remove" || word == "weakdep":
		// A capture removes no modules; weak dependencies are followed only on request.
	default:
		return "not a line of modprobe.d(5); it is passed over"
	}
	return ""
}

// cutWord returns the first word and what follows it, without white space before it.
func cutWord(s string) (word, rest string) {
	s = strings.TrimLeft(s, " \t")
	i := strings.IndexAny(s, " \t")
	if i < 0 {
		return s, ""
	}
	return s[:i], strings.TrimLeft(s[i:], " \t")
}

// softdeps are those of a module.
func (m *Modprobe) softdeps(name string) Softdep {
	var s Softdep
	for _, d := range m.Soft {
		if d.Name.Match(name) {
			s.Pre, s.Post = append(s.Pre, d.Pre...), append(s.Post, d.Post...)
		}
	}
	return s
}

// Modprobe is what modprobe.d says in the tree's root.
func (t *Tree) Modprobe() *Modprobe { return t.conf }

// allowed leaves the modules out that may not be loaded for an alias.
func (t *Tree) allowed(names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(n string) bool { return t.conf.Blacklist[n] })
}

// configured are the modules that aliases of modprobe.d lead to, as far as they are there.
func (t *Tree) configured(name string) Match {
	var m Match
	for _, a := range t.conf.Aliases {
		if !a.Match(name) {
			continue
		}
		if _, ok := t.files[a.Module]; ok && !slices.Contains(m.Modules, a.Module) {
			m.Modules = append(m.Modules, a.Module)
		}
		m.Builtin = m.Builtin || t.builtin[a.Module]
	}
	return m
}
