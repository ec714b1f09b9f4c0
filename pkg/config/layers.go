package config

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/gokexec/gokexec/internal/sysfs"
)

// Name is the file's name in each of the directories; that of its drop-ins' directory has ".d" after it.
const Name = "gokexec.conf"

// LocalPath is the administrator's own file.
const LocalPath = "/etc/" + Name

// Bounds of what is read.
const (
	maxFile    = 256 << 10 // bytes of one file
	maxDropIns = 512       // in all directories
)

// Directories are where a file may lie, by falling precedence (UAPI group, Configuration Files
// Specification; systemd's standard-conf has /usr/local/lib for what is installed locally).
func Directories() []string { return []string{"etc", "run", "usr/local/lib", "usr/lib"} }

// File is the configuration that is in force.
type File struct {
	settings []Setting
	paths    []string
}

// Settings gives what is set, in the order in which it is to be applied: a later setting of the same
// key replaces an earlier one, or adds to it if the key takes a list, which an empty value empties.
func (f *File) Settings() []Setting { return slices.Clone(f.settings) }

// Paths names the files that were read, in the order of their application: absolute paths inside
// the tree. Masked and replaced files are not among them.
func (f *File) Paths() []string { return slices.Clone(f.paths) }

// Read reads the configuration of a tree. Of several gokexec.conf the one in the directory of the highest
// precedence counts: /etc, /run, /usr/local/lib, /usr/lib. The drop-ins gokexec.conf.d/*.conf of all
// directories follow, sorted by name; of those with the same name that of the highest precedence counts.
// A file that is empty, or a symbolic link to /dev/null, masks those of lower precedence.
//
// No file at all is no error. A SyntaxError says where a file is wrong.
func Read(root fs.FS) (*File, error) {
	f := &File{}
	for _, dir := range Directories() {
		read, err := f.add(root, path.Join(dir, Name))
		if err != nil {
			return nil, err
		}
		if read {
			break
		}
	}
	dropIns := map[string]string{} // by name
	for _, dir := range Directories() {
		dir = path.Join(dir, Name+".d")
		entries, err := fs.ReadDir(root, dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, sysfs.Rooted(err)
		}
		for _, entry := range entries {
			name := entry.Name()
			if _, replaced := dropIns[name]; !replaced && strings.HasSuffix(name, ".conf") && !strings.HasPrefix(name, ".") {
				dropIns[name] = path.Join(dir, name)
			}
		}
	}
	if len(dropIns) > maxDropIns {
		return nil, fmt.Errorf("%d drop-ins in %s.d; at most %d are read", len(dropIns), LocalPath, maxDropIns)
	}
	names := make([]string, 0, len(dropIns))
	for name := range dropIns {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if _, err := f.add(root, dropIns[name]); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// add applies one file. It tells whether the file is there, masked or not.
func (f *File) add(root fs.FS, name string) (there bool, err error) {
	info, err := fs.Lstat(root, name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, sysfs.Rooted(err)
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		// By the link itself: a collected tree has no /dev/null.
		if to, err := fs.ReadLink(root, name); err == nil && path.Clean(to) == "/dev/null" {
			return true, nil
		}
		if info, err = fs.Stat(root, name); err != nil {
			return false, fmt.Errorf("link to the configuration: %w", sysfs.Rooted(err))
		}
	}
	if !info.Mode().IsRegular() { // before it is opened: a FIFO would wait for a writer
		return false, fmt.Errorf("/%s is no regular file (%s)", name, info.Mode())
	}
	text, err := sysfs.ReadFile(root, name, maxFile)
	if err != nil {
		return false, sysfs.Rooted(err)
	}
	if len(text) == 0 {
		return true, nil
	}
	settings, err := parse("/"+name, text)
	if err != nil {
		return false, err
	}
	f.settings = append(f.settings, settings...)
	f.paths = append(f.paths, "/"+name)
	return true, nil
}
