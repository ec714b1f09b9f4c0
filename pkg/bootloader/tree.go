package bootloader

import (
	"io/fs"
	"path"
	"strings"

	"github.com/gokexec/gokexec/internal/rootfs"
	"github.com/gokexec/gokexec/internal/sysfs"
)

// maxText bounds a configuration file, in bytes.
const maxText = 1 << 20

// tree is the files of a machine. Paths are absolute, as the administrator writes them.
type tree struct{ root fs.FS }

// inside is the name in an fs.FS of an absolute path.
func inside(name string) string {
	name = strings.TrimPrefix(path.Clean("/"+name), "/")
	if name == "" {
		return "."
	}
	return name
}

// real follows the links in name; "" when it leads nowhere.
func (t tree) real(name string) string {
	real, err := rootfs.Resolve(t.root, inside(name))
	if err != nil {
		return ""
	}
	return real
}

// text reads a configuration file; "" when it is not there or can't be read.
func (t tree) text(name string) string {
	s, _ := t.read(name)
	return s
}

// read reads a configuration file, through links.
func (t tree) read(name string) (string, error) {
	real, err := rootfs.Resolve(t.root, inside(name))
	if err != nil {
		return "", err
	}
	b, err := sysfs.ReadFile(t.root, real, maxText)
	return string(b), err
}

// isFile tells whether name leads to a regular file, isDir to a directory.
func (t tree) isFile(name string) bool {
	info, err := fs.Stat(t.root, t.real(name))
	return err == nil && info.Mode().IsRegular()
}

func (t tree) isDir(name string) bool {
	info, err := fs.Stat(t.root, t.real(name))
	return err == nil && info.IsDir()
}

// list gives the paths of the entries of a directory, by name; nil when it can't be read.
func (t tree) list(dir string) []string {
	entries, err := fs.ReadDir(t.root, t.real(dir))
	if err != nil {
		return nil
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, path.Join("/", dir, e.Name()))
	}
	return names
}

// fold finds a path below base whose spelling may differ in case, as on the FAT filesystem of an ESP; "" when it
// is not there.
func (t tree) fold(base, name string) string {
	at := base
	for elem := range strings.SplitSeq(strings.Trim(path.Clean("/"+name), "/"), "/") {
		next := path.Join(at, elem)
		if t.real(next) == "" {
			next = ""
			for _, entry := range t.list(at) {
				if strings.EqualFold(path.Base(entry), elem) {
					next = entry
					break
				}
			}
		}
		if next == "" {
			return ""
		}
		at = next
	}
	return at
}
