package initramfs

import (
	"bufio"
	"bytes"
	"debug/elf"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/gokexec/gokexec/internal/rootfs"
	"github.com/gokexec/gokexec/internal/sysfs"
)

const (
	// maxLibraries bounds what a program may need.
	maxLibraries = 1000
	// maxConf bounds a file of ld.so.conf in bytes, and maxIncludes how deep it includes others.
	maxConf     = 1 << 20
	maxIncludes = 8
	// ldCache is what the dynamic linker of glibc finds libraries by (ld.so(8)), ldConf what that is made from.
	ldCache = "etc/ld.so.cache"
	ldConf  = "etc/ld.so.conf"
)

// object is an ELF program or library as its dynamic linker sees it.
type object struct {
	name           string // the path it was found by, inside the root
	arch           arch
	interpreter    string
	needed         []string
	rpath, runpath []string // directories inside the root
	loader         *object  // what needs it; nil for a program
}

// object reads a file's dynamic section.
func (a *programAdder) object(name string) (*object, error) {
	f, err := a.open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	e, err := elf.NewFile(f)
	if err != nil {
		return nil, fmt.Errorf("/%s: %w", name, err)
	}
	o := &object{name: name, arch: arch{e.Machine, e.Class, e.Data}}
	for _, p := range e.Progs {
		if p.Type != elf.PT_INTERP {
			continue
		}
		b, err := io.ReadAll(io.LimitReader(p.Open(), maxPath))
		if err != nil {
			return nil, fmt.Errorf("/%s: PT_INTERP: %w", name, err)
		}
		o.interpreter = strings.TrimRight(string(b), "\x00")
	}
	if e.SectionByType(elf.SHT_DYNAMIC) == nil {
		return o, nil
	}
	var rpath, runpath []string
	for _, d := range []struct {
		tag elf.DynTag
		to  *[]string
	}{{elf.DT_NEEDED, &o.needed}, {elf.DT_RPATH, &rpath}, {elf.DT_RUNPATH, &runpath}} {
		if *d.to, err = e.DynString(d.tag); err != nil {
			return nil, fmt.Errorf("/%s: %v: %w", name, d.tag, err)
		}
	}
	o.rpath, o.runpath = a.directories(o, rpath), a.directories(o, runpath)
	return o, nil
}

// directories reads the lists of directories of an object: $ORIGIN is its own (ld.so(8)).
func (a *programAdder) directories(o *object, lists []string) []string {
	origin := path.Dir(o.name)
	if real, err := rootfs.Resolve(a.root, origin); err == nil {
		origin = real
	}
	replace := strings.NewReplacer("${ORIGIN}", "/"+origin, "$ORIGIN", "/"+origin, "${LIB}", "lib", "$LIB", "lib")
	var dirs []string
	for _, dir := range strings.Split(strings.Join(lists, ":"), ":") {
		if dir = path.Clean(replace.Replace(dir)); path.IsAbs(dir) && dir != "/" {
			dirs = append(dirs, dir[1:])
		}
	}
	return dirs
}

// linker is where a dynamic linker looks for libraries that no object says the place of.
type linker struct {
	musl bool
	conf []string // directories that glibc's cache is made of
	dirs []string // built in
	file string   // the file that musl reads them from
}

func newLinker(root fs.FS, interpreter string) *linker {
	name := path.Base(interpreter)
	if arch, musl := strings.CutPrefix(name, "ld-musl-"); musl {
		l := &linker{musl: true, dirs: []string{"lib", "usr/local/lib", "usr/lib"}}
		file := "etc/ld-musl-" + strings.TrimSuffix(arch, ".so.1") + ".path"
		if b, err := sysfs.ReadFile(root, file, maxConf); err == nil {
			l.file, l.dirs = file, nil
			for _, dir := range strings.FieldsFunc(string(b), func(r rune) bool { return r == ':' || r == '\n' }) {
				l.dirs = append(l.dirs, strings.TrimPrefix(path.Clean("/"+dir), "/"))
			}
		}
		return l
	}
	l := &linker{}
	for _, pattern := range []string{"lib/*-linux-gnu*", "usr/lib/*-linux-gnu*"} {
		found, _ := fs.Glob(root, pattern) // of Debian
		l.dirs = append(l.dirs, found...)
	}
	l.dirs = append(l.dirs, "lib64", "usr/lib64", "lib", "usr/lib")
	l.readConf(root, ldConf, 0)
	return l
}

// readConf reads the directories of a file of ld.so.conf (ldconfig(8)).
func (l *linker) readConf(root fs.FS, name string, depth int) {
	b, err := sysfs.ReadFile(root, name, maxConf)
	if err != nil || depth > maxIncludes {
		return
	}
	lines := bufio.NewScanner(bytes.NewReader(b))
	for lines.Scan() {
		line, _, _ := strings.Cut(lines.Text(), "#")
		words := strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(" \t:,", r) })
		if len(words) == 0 || words[0] == "hwcap" {
			continue
		}
		if words[0] != "include" {
			for _, dir := range words {
				if dir, _, _ = strings.Cut(dir, "="); path.IsAbs(dir) {
					l.conf = append(l.conf, strings.TrimPrefix(path.Clean(dir), "/"))
				}
			}
			continue
		}
		for _, pattern := range words[1:] {
			if !path.IsAbs(pattern) {
				pattern = path.Join("/", path.Dir(name), pattern)
			}
			found, _ := fs.Glob(root, strings.TrimPrefix(path.Clean(pattern), "/"))
			for _, file := range found {
				l.readConf(root, file, depth+1)
			}
		}
	}
}

// libraries adds the libraries of a program and theirs, found as its dynamic linker would.
func (a *programAdder) libraries(program *object, l *linker) error {
	if l.file != "" {
		if err := a.placeIfThere(l.file); err != nil {
			return err
		}
	}
	seen := map[string]bool{}
	for queue := []*object{program}; len(queue) > 0; queue = queue[1:] {
		o := queue[0]
		for _, library := range o.needed {
			if seen[library] {
				continue
			}
			if seen[library] = true; len(seen) > maxLibraries {
				return fmt.Errorf("/%s needs over %d libraries", program.name, maxLibraries)
			}
			found, err := a.library(o, library, l)
			if err != nil {
				return err
			}
			if found != nil {
				queue = append(queue, found)
			}
		}
	}
	return nil
}

// library finds and adds a library that o needs. It is nil if the linker itself is it.
func (a *programAdder) library(o *object, name string, l *linker) (*object, error) {
	if l.musl && slices.Contains([]string{"libc", "libpthread", "librt", "libm", "libdl", "libutil", "libxnet"}, name[:max(strings.IndexByte(name, '.'), 0)]) {
		return nil, nil // ldso/dynlink.c, load_library
	}
	if strings.Contains(name, "/") {
		return a.takeLibrary(o, strings.TrimPrefix(path.Clean("/"+name), "/"))
	}
	for _, dir := range o.search(l.musl) {
		if found, err := a.takeLibrary(o, path.Join(dir, name)); err == nil {
			return found, nil
		}
	}
	for _, dir := range slices.Concat(l.conf, l.dirs) {
		found, err := a.takeLibrary(o, path.Join(dir, name))
		if err != nil {
			continue
		}
		if !slices.Contains(l.dirs, dir) {
			err = a.placeIfThere(ldCache)
		}
		return found, err
	}
	return nil, fmt.Errorf("/%s needs the library %s, which is not on this machine", o.name, name)
}

// search lists the directories that the objects name: RPATH counts for what an object's libraries need too, unless
// there is a RUNPATH. For musl they are the same.
func (o *object) search(musl bool) []string {
	var dirs []string
	if musl {
		for at := o; at != nil; at = at.loader {
			dirs = append(append(dirs, at.runpath...), at.rpath...)
		}
		return dirs
	}
	if len(o.runpath) > 0 {
		return o.runpath
	}
	for at := o; at != nil; at = at.loader {
		if len(at.runpath) == 0 {
			dirs = append(dirs, at.rpath...)
		}
	}
	return dirs
}

// takeLibrary adds a file, if it is a library that goes with o.
func (a *programAdder) takeLibrary(o *object, name string) (*object, error) {
	real, info, err := a.find(name)
	if err != nil {
		return nil, err
	}
	found, err := a.object(real)
	if err != nil {
		return nil, err
	}
	if found.arch != o.arch {
		return nil, fmt.Errorf("/%s is for %v; want %v", name, found.arch, o.arch)
	}
	found.loader = o
	return found, a.place(name, real, info)
}

// placeIfThere adds a file of the dynamic linker's.
func (a *programAdder) placeIfThere(name string) error {
	real, info, err := a.find(name)
	if err != nil {
		return nil
	}
	return a.place(name, real, info)
}
