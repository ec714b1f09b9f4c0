package kmod

import (
	"fmt"
	"slices"
	"strings"
)

// Match is what a name or a modalias leads to.
type Match struct {
	Modules []string // normalised, in the order of the index
	Builtin bool     // something built into the kernel answers to it too
}

// Found reports whether anything answers to the name.
func (m Match) Found() bool { return m.Builtin || len(m.Modules) > 0 }

// Lookup finds what a name stands for: a module, something built in, or the
// modules one of whose aliases covers it. A module's own name wins over
// aliases, as in modprobe(8). Without modules.alias every module of the
// tree is read, which takes seconds for a distribution's kernel with
// compressed modules.
//
// Aliases of modprobe.d come before all others, where what they lead to is there.
func (t *Tree) Lookup(name string) (Match, error) {
	if m := t.configured(name); m.Found() {
		return m, nil
	}
	if m, ok := t.byName(name); ok {
		return m, nil
	}
	if err := t.readAliases(nil); err != nil {
		return Match{}, err
	}
	return t.byAlias(name), nil
}

func (t *Tree) byName(name string) (Match, bool) {
	if m, ok := t.Module(name); ok {
		return Match{Modules: []string{m.Name}}, true
	}
	if t.Builtin(name) {
		return Match{Builtin: true}, true
	}
	return Match{}, false
}

func (t *Tree) byAlias(name string) Match {
	var m Match
	for _, a := range t.aliases {
		if a.Match(name) && !slices.Contains(m.Modules, a.Module) {
			if _, ok := t.files[a.Module]; ok {
				m.Modules = append(m.Modules, a.Module)
			}
		}
	}
	m.Builtin = t.builtinAlias(name)
	return m
}

func (t *Tree) builtinAlias(name string) bool {
	for _, a := range t.builtinAliases {
		if a.Match(name) {
			return true
		}
	}
	return false
}

// readAliases completes t.aliases from the modules themselves when there is
// no modules.alias. If only is given, it does no more than add those of the
// modules it accepts.
func (t *Tree) readAliases(only func(path string) bool) error {
	if t.indexed {
		return nil
	}
	var aliases []Alias
	for _, name := range t.names {
		m, _ := t.Module(name)
		if only != nil && !only(m.Path) {
			continue
		}
		mi, err := t.Modinfo(m)
		if err != nil {
			t.conf.Notes = append(t.conf.Notes, fmt.Sprintf("aliases are not known: %v", err))
			continue // one damaged module must not exclude all others
		}
		for _, a := range mi.Aliases {
			aliases = append(aliases, Alias{Pattern: a, Module: name})
		}
	}
	t.aliases = aliases
	t.indexed = only == nil
	return nil
}

// softTarget resolves a name in a soft dependency. It differs from
// modprobe(8) in what suits a small capture kernel:
//
//   - Something built in that answers to it as an alias is enough.
//   - If some of the modules are in the kernel's own crypto, lib and arch
//     directories, others (drivers of crypto hardware) are left out.
//
// As in modprobe(8), a built-in module of that name is not enough if others have it as an
// alias: f2fs asks for the algorithm "crc32", and lib/crc32 is built in.
//
// A name that nothing answers to is no error: it gives nothing.
func (t *Tree) softTarget(name string) ([]string, error) {
	if m, ok := t.Module(name); ok {
		return []string{m.Name}, nil
	}
	if t.builtinAlias(name) {
		return nil, nil
	}
	// The names are those of algorithms, nearly always. So without
	// modules.alias try the few modules with algorithms, before reading
	// all.
	if err := t.readAliases(t.isAlgorithm); err != nil {
		return nil, err
	}
	own := slices.DeleteFunc(t.byAlias(name).Modules, func(n string) bool {
		return !t.isAlgorithm(t.files[n])
	})
	if len(own) > 0 || t.Builtin(name) {
		return own, nil
	}
	if err := t.readAliases(nil); err != nil {
		return nil, err
	}
	return t.byAlias(name).Modules, nil
}

func (t *Tree) isAlgorithm(p string) bool {
	for _, d := range []string{"/kernel/crypto/", "/kernel/lib/", "/kernel/arch/"} {
		if strings.HasPrefix(p, t.dir+d) {
			return true
		}
	}
	return false
}
