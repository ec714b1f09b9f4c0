package kmod

import (
	"fmt"
	"slices"
	"strings"
)

// Needed is a module in a closure.
type Needed struct {
	Module
	// Optional says that it was asked for as optional, or only by soft
	// dependencies: if it can't be loaded (no such CPU feature, no such
	// device), the rest still works.
	Optional bool
	// For is the module that brought it in, "" if it was asked for.
	For string
}

// Closure returns the modules of the given names and all they need, in load
// order: dependencies first, soft "pre" dependencies before and "post" ones
// after their module. Names may be aliases. What is built into the kernel is
// not in the result, and no error. A required name that nothing answers to is
// an error that wraps ErrUnknownModule; such an optional name is passed over.
// Equal arguments give equal results.
//
// A cycle of dependencies is an error. A soft dependency that would close a
// cycle is not followed, since it is only a hint.
//
// Weak dependencies are not followed: see [Tree.Weak].
func (t *Tree) Closure(required, optional []string) ([]Needed, error) {
	c := &closure{tree: t, nodes: make(map[string]*node)}
	for _, name := range required {
		m, err := t.Lookup(name)
		if err != nil {
			return nil, fmt.Errorf("module %q: %w", name, err)
		}
		if !m.Found() {
			return nil, t.unknown(name)
		}
		if err := c.addAll(m.Modules, false); err != nil {
			return nil, err
		}
	}
	for _, name := range optional {
		// By name only: to learn that a tree without modules.alias has no
		// such alias would mean to read all of it.
		m, ok := t.byName(name)
		if !ok && t.indexed {
			m = t.byAlias(name)
		}
		if err := c.addAll(m.Modules, true); err != nil {
			return nil, err
		}
	}
	if err := c.addSoft(); err != nil {
		return nil, err
	}
	return c.sort()
}

// Weak returns the modules that a module may ask the kernel for while it
// runs. A capture kernel has no modprobe to answer, so a caller that needs
// such a feature adds them to Closure's names.
func (t *Tree) Weak(m Module) ([]string, error) {
	if t.weak != nil {
		return t.weak[m.Name], nil
	}
	mi, err := t.Modinfo(m)
	if err != nil {
		return nil, err
	}
	return mi.Weak, nil
}

// hard returns the names of the modules that a module can't be loaded
// without.
func (t *Tree) hard(m Module) ([]string, error) {
	if t.deps != nil {
		// modules.dep has the deepest dependency last.
		d := slices.Clone(t.deps[m.Name])
		slices.Reverse(d)
		return d, nil
	}
	mi, err := t.Modinfo(m)
	if err != nil {
		return nil, err
	}
	var need []string
	for _, d := range mi.Depends {
		if _, ok := t.files[d]; ok {
			need = append(need, d)
		} else if !t.builtin[d] {
			// modpost lists modules only, never what is built in.
			return nil, fmt.Errorf("module %s needs: %w", m.Name, t.unknown(d))
		}
	}
	return need, nil
}

func (t *Tree) softdeps(m Module) (Softdep, error) {
	conf := t.conf.softdeps(m.Name)
	own := t.soft[m.Name]
	if t.soft == nil {
		mi, err := t.Modinfo(m)
		if err != nil {
			return Softdep{}, err
		}
		own = mi.Soft
	}
	return Softdep{Pre: slices.Concat(conf.Pre, own.Pre), Post: slices.Concat(conf.Post, own.Post)}, nil
}

type node struct {
	Needed
	hard  []string
	after []string // hard, and the soft ones that close no cycle
}

type closure struct {
	tree  *Tree
	nodes map[string]*node
	order []string // as found, so that the result is the same each time
}

func (c *closure) addAll(names []string, optional bool) error {
	for _, n := range names {
		if err := c.add(n, "", optional); err != nil {
			return err
		}
	}
	return nil
}

// add brings in a module and its hard dependencies. One that was optional
// becomes required, and with it what it needs.
func (c *closure) add(name, reason string, optional bool) error {
	if n, ok := c.nodes[name]; ok {
		if optional || !n.Optional {
			return nil
		}
		n.Optional = false
		for _, d := range n.hard {
			if err := c.add(d, name, false); err != nil {
				return err
			}
		}
		return nil
	}
	m, ok := c.tree.Module(name)
	if !ok {
		return c.tree.unknown(name)
	}
	need, err := c.tree.hard(m)
	if err != nil {
		return err
	}
	n := &node{Needed: Needed{Module: m, Optional: optional, For: reason}, hard: need}
	n.after = slices.Clone(need)
	c.nodes[name] = n
	c.order = append(c.order, name)
	for _, d := range need {
		if err := c.add(d, name, optional); err != nil {
			return err
		}
	}
	return nil
}

// addSoft follows the soft dependencies of all modules found, including those
// it finds. Hard edges are complete before a soft one is tried.
func (c *closure) addSoft() error {
	type edge struct{ first, then, soft string }
	var edges []edge
	for i := 0; i < len(c.order); i++ {
		n := c.nodes[c.order[i]]
		soft, err := c.tree.softdeps(n.Module)
		if err != nil {
			return err
		}
		for k, names := range [][]string{soft.Pre, soft.Post} {
			for _, s := range names {
				targets, err := c.tree.softTarget(s)
				if err != nil {
					return fmt.Errorf("module %s: soft dependency %q: %w", n.Name, s, err)
				}
				for _, target := range targets {
					if err := c.add(target, n.Name, true); err != nil {
						return fmt.Errorf("module %s: soft dependency %q: %w", n.Name, s, err)
					}
					if k == 0 {
						edges = append(edges, edge{target, n.Name, s})
					} else {
						edges = append(edges, edge{n.Name, target, s})
					}
				}
			}
		}
	}
	for _, e := range edges {
		if e.first != e.then && !c.reaches(e.first, e.then, map[string]bool{}) {
			n := c.nodes[e.then]
			n.after = append(n.after, e.first)
		}
	}
	return nil
}

// reaches reports whether from must come after to.
func (c *closure) reaches(from, to string, seen map[string]bool) bool {
	if from == to {
		return true
	}
	if seen[from] {
		return false
	}
	seen[from] = true
	for _, d := range c.nodes[from].after {
		if c.reaches(d, to, seen) {
			return true
		}
	}
	return false
}

func (c *closure) sort() ([]Needed, error) {
	const (
		open = 1
		done = 2
	)
	state := make(map[string]int)
	var out []Needed
	var path []string
	var visit func(name string) error
	visit = func(name string) error {
		switch state[name] {
		case done:
			return nil
		case open:
			i := slices.Index(path, name)
			return fmt.Errorf("modules need each other: %s -> %s", strings.Join(path[i:], " -> "), name)
		}
		state[name] = open
		path = append(path, name)
		for _, d := range c.nodes[name].after {
			if err := visit(d); err != nil {
				return err
			}
		}
		path = path[:len(path)-1]
		state[name] = done
		out = append(out, c.nodes[name].Needed)
		return nil
	}
	for _, name := range c.order {
		if err := visit(name); err != nil {
			return nil, err
		}
	}
	return out, nil
}
