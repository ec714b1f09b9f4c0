package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path"
	"strings"
	"syscall"

	"github.com/gokexec/gokexec/internal/rootfs"
)

// machineFiles writes files of the machine, whose paths are absolute. A link leads to where it does for the machine, and
// never out of its root.
type machineFiles struct {
	root *os.Root
	tree fs.FS
}

func openMachineFiles(root string) (*machineFiles, error) {
	r, err := os.OpenRoot(root)
	if err != nil {
		return nil, err
	}
	return &machineFiles{root: r, tree: r.FS()}, nil
}

func (m *machineFiles) close() { _ = m.root.Close() } // nothing was written through it itself

// real is the name inside of the root, without links.
func (m *machineFiles) real(name string) (string, error) {
	return rootfs.ResolveNew(m.tree, strings.TrimPrefix(path.Clean("/"+name), "/"))
}

// read gives the content of a file; nil if there is none.
func (m *machineFiles) read(name string) ([]byte, error) {
	real, err := m.real(name)
	if err != nil {
		return nil, err
	}
	b, err := fs.ReadFile(m.tree, real)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if b == nil && err == nil {
		b = []byte{}
	}
	return b, err
}

// write replaces a file when the new one is whole and on disk. It keeps mode and owner; a new file gets perm.
func (m *machineFiles) write(name string, content []byte, perm fs.FileMode) (err error) {
	real, err := m.real(name)
	if err != nil {
		return err
	}
	old, err := m.root.Lstat(real)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		old = nil
	case err != nil:
		return err
	case !old.Mode().IsRegular():
		return &fs.PathError{Op: "write", Path: name, Err: rootfs.ErrNotRegular}
	}
	temp := path.Join(path.Dir(real), fmt.Sprintf(".gokexec.%x", rand.Uint64()))
	f, err := m.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return &fs.PathError{Op: "write", Path: name, Err: cause(err)}
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, m.root.Remove(temp))
		}
	}()
	if old != nil {
		if was, ok := old.Sys().(*syscall.Stat_t); ok {
			_ = f.Chown(int(was.Uid), int(was.Gid)) // FAT has no owners
			_ = f.Chmod(old.Mode().Perm())
		}
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err = m.root.Rename(temp, real); err != nil {
		return err
	}
	return m.syncDir(path.Dir(real))
}

// remove removes a file, durably.
func (m *machineFiles) remove(name string) error {
	real, err := m.real(name)
	if err != nil {
		return err
	}
	if err := m.root.Remove(real); err != nil {
		return err
	}
	return m.syncDir(path.Dir(real))
}

// makeDirs creates a directory and those above it, and gives the paths of the new ones, the uppermost first.
func (m *machineFiles) makeDirs(name string, perm fs.FileMode) ([]string, error) {
	real, err := m.real(name)
	if err != nil {
		return nil, err
	}
	var missing []string
	for dir := real; dir != "."; dir = path.Dir(dir) {
		info, err := m.root.Stat(dir)
		if err == nil && !info.IsDir() {
			return nil, &fs.PathError{Op: "mkdir", Path: "/" + dir, Err: syscall.ENOTDIR}
		}
		if err == nil {
			break
		}
		missing = append([]string{"/" + dir}, missing...)
	}
	for _, dir := range missing {
		mode := fs.FileMode(0o755)
		if dir == "/"+real {
			mode = perm
		}
		if err := m.root.Mkdir(dir[1:], mode); err != nil {
			return nil, err
		}
	}
	return missing, nil
}

func (m *machineFiles) syncDir(dir string) error {
	d, err := m.root.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) { // FAT may not
		return err
	}
	return nil
}

// digest tells contents apart; that of no file is "".
func digest(content []byte) string {
	if content == nil {
		return ""
	}
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}
