package vmlab

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"
	"time"
)

// Package is a Debian package, unpacked together with all it depends on.
type Package struct {
	Name    string
	Version string
	Arch    string // Debian's name
	Root    string // the tree
}

type packageRecord struct {
	Version string `json:"version"`
	recorded
}

// GetPackage unpacks a package of a suite ("bookworm", "trixie",
// "trixie-backports", "sid") for a Debian architecture ("amd64"; "all" packages
// too are asked for by the architecture they are to serve), with its
// dependencies, so that its programs can run by their own libraries.
// The newest version is looked for at most once a day.
func GetPackage(ctx context.Context, suiteName, name, arch string) (*Package, error) {
	p, err := getPackage(ctx, suiteName, name, arch)
	if err != nil {
		return nil, fmt.Errorf("package %s of %s (%s): %w", name, suiteName, arch, err)
	}
	return p, nil
}

func getPackage(ctx context.Context, suiteName, name, arch string) (*Package, error) {
	c, err := openCache()
	if err != nil {
		return nil, err
	}
	unlock, err := c.lockApt(ctx, suiteName, arch)
	if err != nil {
		return nil, err
	}
	defer unlock()
	record, err := current(ctx, c, c.path("packages", suiteName, arch, name+".json"), nil, func() (packageRecord, error) { return fetchPackage(ctx, c, suiteName, name, arch) })
	if err != nil {
		return nil, err
	}
	return &Package{Name: name, Version: record.Version, Arch: arch, Root: c.path(record.Dir)}, nil
}

func fetchPackage(ctx context.Context, c cache, suiteName, name, arch string) (packageRecord, error) {
	a, err := openApt(ctx, c, suiteName, arch)
	if err != nil {
		return packageRecord{}, err
	}
	fields, err := a.candidate(ctx, name)
	if err != nil {
		return packageRecord{}, err
	}
	record := packageRecord{Version: fields["version"], recorded: recorded{Resolved: time.Now()}}
	record.Dir = filepath.Join("packages", suiteName, arch, name+"_"+strings.ReplaceAll(record.Version, ":", "%3a"))
	err = unpackInto(c.path(record.Dir), func(tmp string) error {
		return a.unpackAll(ctx, tmp, name)
	})
	return record, err
}

// unpackAll unpacks packages, with all they depend on, into an empty tree.
func (a *apt) unpackAll(ctx context.Context, root string, names ...string) error {
	// With merged /usr packages may name one directory by either path.
	for _, dir := range []string{"bin", "sbin", "lib", "lib64"} {
		if err := os.MkdirAll(filepath.Join(root, "usr", dir), 0o755); err != nil {
			return err
		}
		if err := os.Symlink("usr/"+dir, filepath.Join(root, dir)); err != nil {
			return err
		}
	}
	debs, err := a.downloadAll(ctx, names...)
	if err != nil {
		return err
	}
	if err := unpackMerged(ctx, debs, root); err != nil {
		return err
	}
	return removeDebs(filepath.Join(a.dir, "cache", "archives"))
}

// unpackMerged extracts .deb files into a tree whose /bin, /lib and so on are
// links; dpkg-deb -x alone would replace the links by directories.
func unpackMerged(ctx context.Context, debs []string, root string) error {
	for _, deb := range debs {
		_, err := runTool(ctx, "", "sh", "-c",
			`set -e; dpkg-deb --fsys-tarfile "$1" | tar -x --keep-directory-symlink -C "$2"`, "sh", deb, root)
		if err != nil {
			return fmt.Errorf("unpack %s: %w", filepath.Base(deb), err)
		}
	}
	return nil
}

// Path is where the package has a file, on the host.
func (p *Package) Path(name string) string {
	return filepath.Join(p.Root, name)
}

// Program is a program that runs by its own libraries.
type Program struct {
	Argv  []string // to be followed by the arguments
	Files []File   // what the guest needs for it; nothing is needed on the host
}

// HostProgram returns how to run one of the package's programs
// ("usr/sbin/depmod") on the host.
func (p *Package) HostProgram(name string) (Program, error) {
	return p.program(name, p.Root)
}

// GuestProgram returns how to run one of the package's programs in a guest,
// and the files it needs there: the program and the libraries it is linked
// with, under /opt/NAME_VERSION.
func (p *Package) GuestProgram(name string) (Program, error) {
	// Not with the colon of an epoch: it would part the library path.
	dir := "/opt/" + p.Name + "_" + strings.ReplaceAll(p.Version, ":", "%")
	program, err := p.program(name, dir)
	if err != nil {
		return Program{}, err
	}
	file, err := p.resolve(name)
	if err != nil {
		return Program{}, err
	}
	files, err := p.closure(file)
	if err != nil {
		return Program{}, err
	}
	for _, f := range files {
		program.Files = append(program.Files, File{Path: path.Join(dir, f), Source: p.Path(f)})
	}
	return program, nil
}

// program makes a command line with root in place of the tree. The program's
// own name is kept where the file is a link, since some go by it.
func (p *Package) program(name, root string) (Program, error) {
	file, err := p.resolve(name)
	if err != nil {
		return Program{}, err
	}
	interp, err := p.interpreter(file)
	if err != nil {
		return Program{}, err
	}
	if interp == "" {
		return Program{Argv: []string{path.Join(root, file)}}, nil
	}
	var dirs []string
	for _, dir := range p.libraryDirs() {
		dirs = append(dirs, path.Join(root, dir))
	}
	return Program{Argv: []string{
		path.Join(root, interp), "--argv0", path.Base(name),
		"--library-path", strings.Join(dirs, ":"), path.Join(root, file),
	}}, nil
}

// resolve follows the links of a path inside the tree, absolute ones too.
func (p *Package) resolve(name string) (string, error) {
	done, rest := "", path.Clean("/" + name)[1:]
	for links := 0; rest != ""; {
		first, after, _ := strings.Cut(rest, "/")
		at := path.Join(done, first)
		target, err := os.Readlink(p.Path(at))
		if err != nil {
			// Not a link, or missing: then opening it will say so.
			done, rest = at, after
			continue
		}
		if links++; links > 40 {
			return "", fmt.Errorf("%s: too many links", name)
		}
		if !path.IsAbs(target) {
			target = path.Join(done, target)
		}
		done, rest = "", path.Join(path.Clean("/" + target)[1:], after)
	}
	return done, nil
}

// interpreter returns the dynamic linker's path in the tree; empty for a
// static program.
func (p *Package) interpreter(name string) (string, error) {
	f, err := elf.Open(p.Path(name))
	if err != nil {
		return "", err
	}
	defer f.Close()
	for _, prog := range f.Progs {
		if prog.Type != elf.PT_INTERP {
			continue
		}
		if prog.Filesz > 4096 {
			return "", fmt.Errorf("%s: PT_INTERP of %d bytes", name, prog.Filesz)
		}
		b := make([]byte, prog.Filesz)
		if _, err := prog.ReadAt(b, 0); err != nil {
			return "", err
		}
		return p.resolve(strings.TrimRight(string(b), "\x00"))
	}
	return "", nil
}

// libraryDirs lists where libraries are in the tree: Debian's multiarch
// directories and the plain ones.
func (p *Package) libraryDirs() []string {
	dirs := []string{"usr/lib"}
	for _, pattern := range []string{"usr/lib/*-linux-gnu*", "usr/lib64"} {
		found, _ := filepath.Glob(p.Path(pattern))
		for _, dir := range found {
			if rel, err := filepath.Rel(p.Root, dir); err == nil {
				dirs = append(dirs, rel)
			}
		}
	}
	return dirs
}

// closure lists a program, its dynamic linker and the libraries it needs,
// directly and indirectly, as paths in the tree.
func (p *Package) closure(name string) ([]string, error) {
	seen := map[string]bool{}
	var visit func(name string) error
	visit = func(name string) error {
		if seen[name] {
			return nil
		}
		seen[name] = true
		f, err := elf.Open(p.Path(name))
		if err != nil {
			return err
		}
		defer f.Close()
		libraries, err := f.ImportedLibraries()
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		for _, library := range libraries {
			at, err := p.findLibrary(library)
			if err != nil {
				return fmt.Errorf("%s needs it: %w", name, err)
			}
			if err := visit(at); err != nil {
				return err
			}
		}
		return nil
	}
	if err := visit(name); err != nil {
		return nil, err
	}
	interp, err := p.interpreter(name)
	if err != nil {
		return nil, err
	}
	if interp != "" {
		seen[interp] = true
	}
	var names []string
	for name := range seen {
		names = append(names, name)
	}
	sort.Strings(names)
	return names, nil
}

func (p *Package) findLibrary(library string) (string, error) {
	for _, dir := range p.libraryDirs() {
		at := path.Join(dir, library)
		if _, err := os.Stat(p.Path(at)); err == nil {
			return at, nil
		} else if !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	return "", fmt.Errorf("library %s: %w", library, fs.ErrNotExist)
}
