package kmod

import (
	"fmt"
	"io/fs"

	"github.com/gokexec/gokexec/internal/rootfs"
	"github.com/gokexec/gokexec/internal/sysfs"
)

// resolve follows the symbolic links of a name inside root.
func resolve(root fs.FS, name string) (string, error) { return rootfs.Resolve(root, name) }

// readFile reads a file of root, following links inside root. The file may
// have at most limit bytes.
func readFile(root fs.FS, name string, limit int64) ([]byte, error) {
	f, err := openFile(root, name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := readAll(f, limit)
	if err != nil {
		return nil, fmt.Errorf("read /%s: %w", name, err)
	}
	return b, nil
}

func openFile(root fs.FS, name string) (fs.File, error) {
	real, err := resolve(root, name)
	if err != nil {
		return nil, err
	}
	f, err := root.Open(real)
	if err != nil {
		return nil, sysfs.Rooted(err)
	}
	return f, nil
}

// isDir reports whether name is a directory of root, links followed.
func isDir(root fs.FS, name string) bool {
	real, err := resolve(root, name)
	if err != nil {
		return false
	}
	info, err := fs.Stat(root, real)
	return err == nil && info.IsDir()
}

// exists reports whether name leads to something in root, links followed.
func exists(root fs.FS, name string) bool {
	_, err := resolve(root, name)
	return err == nil
}
