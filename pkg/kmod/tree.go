package kmod

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/gokexec/gokexec/internal/sysfs"
)

// ErrUnknownModule is wrapped by errors about a name that is neither a module
// nor built into the kernel.
var ErrUnknownModule = errors.New("no such module")

// ErrNoModules is wrapped by Open's error when the root has no modules of the
// version.
var ErrNoModules = errors.New("no modules of this kernel version")

// moduleDirs are the places of module trees below a root. They are the same
// directory on a merged /usr; a package unpacked by itself has only one, and
// it is the second from Debian 13 on. NixOS and Guix have none of both, but
// links to the system that was booted.
var moduleDirs = []string{
	"lib/modules", "usr/lib/modules",
	"run/booted-system/kernel-modules/lib/modules", "run/current-system/kernel-modules/lib/modules",
	"run/booted-system/kernel/lib/modules", "run/current-system/kernel/lib/modules",
}

// Module is a module's file.
type Module struct {
	Name string // normalised
	Path string // inside the root, without the leading slash
}

// Tree is the modules of one kernel version. Its methods read the files they
// need when they need them, and keep what they learned; a Tree is not for
// concurrent use.
type Tree struct {
	root    fs.FS
	version string
	dir     string // resolved

	files   map[string]string // name -> path inside root
	names   []string          // sorted
	builtin map[string]bool
	// hasBuiltin says that modules.builtin was there.
	hasBuiltin     bool
	builtinAliases []Alias

	conf *Modprobe

	deps map[string][]string // from modules.dep; nil without it
	soft map[string]Softdep  // from modules.softdep; nil without it
	weak map[string][]string // from modules.weakdep; nil without it

	infos   map[string]*Modinfo
	aliases []Alias // from modules.alias, or from all modules
	indexed bool    // aliases is complete
}

// Versions returns the kernel versions that have a module directory below
// root, sorted as strings.
func Versions(root fs.FS) ([]string, error) {
	var all []string
	for _, d := range moduleDirs {
		real, err := resolve(root, d)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		entries, err := fs.ReadDir(root, real)
		if err != nil {
			return nil, sysfs.Rooted(err)
		}
		for _, e := range entries {
			if checkVersion(e.Name()) == nil && isDir(root, path.Join(real, e.Name())) {
				all = append(all, e.Name())
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

// Open finds the modules of a kernel version (as in uname -r) below
// lib/modules or usr/lib/modules of root, or where NixOS and Guix have them, and
// reads depmod's indexes where they are, and modprobe.d.
func Open(root fs.FS, version string) (*Tree, error) {
	if err := checkVersion(version); err != nil {
		return nil, err
	}
	t := &Tree{root: root, version: version, infos: make(map[string]*Modinfo)}
	dir, err := findDir(root, version)
	if err != nil {
		return nil, err
	}
	t.dir = dir
	t.conf = ReadModprobe(root)
	if err := t.readBuiltin(); err != nil {
		return nil, err
	}
	if err := t.readIndexes(); err != nil {
		return nil, err
	}
	if t.files == nil {
		if err := t.walk(); err != nil {
			return nil, err
		}
	}
	for name := range t.files {
		t.names = append(t.names, name)
	}
	slices.Sort(t.names)
	return t, nil
}

// findDir prefers a directory that holds modules over one that a package left
// with nothing but links.
func findDir(root fs.FS, version string) (string, error) {
	fallback := ""
	for _, d := range moduleDirs {
		dir := d + "/" + version
		if !isDir(root, dir) {
			continue
		}
		real, err := resolve(root, dir)
		if err != nil {
			return "", err
		}
		if exists(root, real+"/modules.dep") || exists(root, real+"/kernel") {
			return real, nil
		}
		if fallback == "" {
			fallback = real
		}
	}
	if fallback != "" {
		return fallback, nil
	}
	have, err := Versions(root)
	if err != nil {
		return "", fmt.Errorf("kernel %s: %w", version, err)
	}
	if len(have) == 0 {
		return "", fmt.Errorf("kernel %s: %w: /lib/modules and /usr/lib/modules are missing or empty", version, ErrNoModules)
	}
	return "", fmt.Errorf("kernel %s: %w; there are %s", version, ErrNoModules, strings.Join(have, ", "))
}

// index reads an index file and parses it. A file that is not there gives
// false.
func index[T any](t *Tree, name string, parse func([]byte) (T, error)) (T, bool, error) {
	var zero T
	b, err := readFile(t.root, t.dir+"/"+name, maxIndex)
	if errors.Is(err, fs.ErrNotExist) {
		return zero, false, nil
	}
	if err != nil {
		return zero, false, err
	}
	v, err := parse(b)
	if err != nil {
		return zero, false, fmt.Errorf("/%s/%s: %w", t.dir, name, err)
	}
	return v, true, nil
}

func (t *Tree) readBuiltin() error {
	var err error
	if t.builtin, t.hasBuiltin, err = index(t, "modules.builtin", ParseBuiltin); err != nil {
		return err
	}
	t.builtinAliases, _, err = index(t, "modules.builtin.modinfo", func(b []byte) ([]Alias, error) { return ParseBuiltinAlias(b), nil })
	return err
}

func (t *Tree) readIndexes() error {
	deps, ok, err := index(t, "modules.dep", ParseDep)
	if err != nil || !ok {
		return err
	}
	t.files = make(map[string]string, len(deps))
	t.deps = make(map[string][]string, len(deps))
	for _, d := range deps {
		name, _ := ModuleName(d.File)
		t.files[name] = t.join(d.File)
	}
	for _, d := range deps {
		name, _ := ModuleName(d.File)
		for _, f := range d.Needs {
			need, _ := ModuleName(f)
			if t.files[need] != t.join(f) {
				return fmt.Errorf("/%s/modules.dep: %s needs %s, which has no line of its own", t.dir, d.File, f)
			}
			t.deps[name] = append(t.deps[name], need)
		}
	}
	if t.soft, _, err = index(t, "modules.softdep", ParseSoftdep); err != nil {
		return err
	}
	if t.weak, _, err = index(t, "modules.weakdep", ParseWeakdep); err != nil {
		return err
	}
	t.aliases, t.indexed, err = index(t, "modules.alias", ParseAlias)
	return err
}

// join returns the path inside root of a file that modules.dep names.
func (t *Tree) join(file string) string {
	if abs, ok := strings.CutPrefix(file, "/"); ok {
		return abs
	}
	return t.dir + "/" + file
}

// searchOrder is which of two modules of the same name wins, by their first
// directory: depmod.d(5)'s default is "updates" before the kernel's own, and
// distributions put "extra" and "weak-updates" between them.
var searchOrder = []string{"updates", "extra", "weak-updates", "kernel"}

// walk finds the modules when there is no modules.dep.
func (t *Tree) walk() error {
	t.files = make(map[string]string)
	rank := make(map[string]int)
	err := fs.WalkDir(t.root, t.dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return sysfs.Rooted(err)
		}
		// "build" and "source" are links to kernel sources; WalkDir does not
		// follow them. A link to a module (weak-updates) is one.
		if d.IsDir() {
			return nil
		}
		name, ok := ModuleName(p)
		if !ok {
			return nil
		}
		first, _, _ := strings.Cut(strings.TrimPrefix(p, t.dir+"/"), "/")
		r := slices.Index(searchOrder, first)
		if r < 0 {
			r = len(searchOrder)
		}
		// WalkDir goes in lexical order, so the first of equals stays.
		if _, dup := t.files[name]; !dup || r < rank[name] {
			t.files[name], rank[name] = p, r
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("find modules: %w", err)
	}
	return nil
}

// Dir returns the tree's directory inside the root, links followed.
func (t *Tree) Dir() string { return t.dir }

// Names returns the names of all modules, sorted.
func (t *Tree) Names() []string { return slices.Clone(t.names) }

// Builtin reports whether the module is built into the kernel. It is always
// false when the tree has no modules.builtin.
func (t *Tree) Builtin(name string) bool { return t.builtin[NormalizeName(name)] }

// Module returns the module of that name, which is not an alias.
func (t *Tree) Module(name string) (Module, bool) {
	name = NormalizeName(name)
	p, ok := t.files[name]
	return Module{Name: name, Path: p}, ok
}

// unknown is the error for a name that nothing answers to.
func (t *Tree) unknown(name string) error {
	msg := fmt.Sprintf("kernel %s", t.version)
	if !t.hasBuiltin {
		msg += " (modules.builtin is missing, so what is built in is not known)"
	}
	if n := near(NormalizeName(name), t.names); len(n) > 0 {
		return fmt.Errorf("module %q: %w in %s; near it: %s", name, ErrUnknownModule, msg, strings.Join(n, ", "))
	}
	return fmt.Errorf("module %q: %w in %s", name, ErrUnknownModule, msg)
}

// File returns a module's file as it is stored, compressed or not.
func (t *Tree) File(m Module) ([]byte, error) {
	return readFile(t.root, m.Path, maxModule)
}

// Image returns a module's ELF image, unpacked.
func (t *Tree) Image(m Module) ([]byte, error) {
	b, err := t.File(m)
	if err != nil {
		return nil, err
	}
	if b, err = Unpack(b); err != nil {
		return nil, fmt.Errorf("/%s: %w", m.Path, err)
	}
	return b, nil
}

// Modinfo reads what a module says of itself.
func (t *Tree) Modinfo(m Module) (*Modinfo, error) {
	if mi, ok := t.infos[m.Name]; ok {
		return mi, nil
	}
	mi, err := t.readModinfo(m)
	if err != nil {
		return nil, fmt.Errorf("/%s: %w", m.Path, err)
	}
	t.infos[m.Name] = mi
	return mi, nil
}

func (t *Tree) readModinfo(m Module) (*Modinfo, error) {
	f, err := openFile(t.root, m.Path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r, size, err := imageReader(f)
	if err != nil {
		return nil, err
	}
	mi, err := ReadModinfo(r, size)
	if err != nil {
		return nil, err
	}
	return mi, nil
}

// imageReader gives random access to a module's ELF image. A plain file is
// read where it is: only its headers and one section are wanted.
func imageReader(f fs.File) (io.ReaderAt, int64, error) {
	if ra, ok := f.(io.ReaderAt); ok {
		info, err := f.Stat()
		if err != nil {
			return nil, 0, err
		}
		head := make([]byte, 6)
		if n, err := ra.ReadAt(head, 0); err == nil || err == io.EOF {
			if PackingOf(head[:n]) == Plain {
				return ra, info.Size(), nil
			}
		}
	}
	b, err := readAll(f, maxModule)
	if err != nil {
		return nil, 0, err
	}
	if b, err = Unpack(b); err != nil {
		return nil, 0, err
	}
	return bytes.NewReader(b), int64(len(b)), nil
}
