// Package rootfs reads the files of another machine from a tree that is not trusted: a collected
// one, an unpacked package, the root of a container.
package rootfs

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

var (
	// ErrNotRegular is wrapped when a file of the tree is a FIFO, a socket or a device.
	ErrNotRegular = errors.New("not a regular file")
	// ErrTooLarge is wrapped by ReadFile when a file has more than MaxFile bytes.
	ErrTooLarge = errors.New("too large")
)

const (
	// MaxFile is the most that ReadFile reads, in bytes: the longest texts, such as
	// the memory map of a large machine, have some MiB.
	MaxFile = 16 << 20
)

// Tree is a directory as chroot(2) would show it: an absolute link and ".." lead to its top, nothing leads out
// of it. Only regular files and directories are opened, without side effects and without waiting.
// It implements fs.ReadFileFS, fs.ReadDirFS, fs.StatFS and fs.ReadLinkFS, and may be used concurrently.
type Tree struct{ root *os.Root }

// Open opens the directory dir. It stays open as long as the program runs.
func Open(dir string) (*Tree, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &Tree{root}, nil
}

// resolve follows the links in name, the last one only if told to.
func (t *Tree) resolve(op, name string, last bool) (string, error) {
	fail := func(name string, err error) error { return &fs.PathError{Op: op, Path: name, Err: cause(err)} }
	return links{fail: fail, lstat: t.root.Lstat, readlink: t.root.Readlink, keepLast: !last}.resolve(name)
}

// Open implements fs.FS.
func (t *Tree) Open(name string) (fs.File, error) {
	f, err := t.open(name)
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (t *Tree) open(name string) (*os.File, error) {
	fail := func(err error) (*os.File, error) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: cause(err)}
	}
	to, err := t.resolve("open", name, true)
	if err != nil {
		return nil, err
	}
	info, err := t.root.Lstat(to)
	if err != nil {
		return fail(err)
	}
	if err := readable(info); err != nil {
		return fail(err)
	}
	// If the file was replaced since, do not wait for it and do not read it.
	f, err := t.root.OpenFile(to, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return fail(err)
	}
	if info, err = f.Stat(); err == nil {
		err = readable(info)
	}
	if err != nil {
		return fail(errors.Join(err, f.Close()))
	}
	return f, nil
}

func readable(info fs.FileInfo) error {
	if info.Mode().IsRegular() || info.IsDir() {
		return nil
	}
	return fmt.Errorf("%w (%s)", ErrNotRegular, info.Mode().Type())
}

// ReadFile implements fs.ReadFileFS.
func (t *Tree) ReadFile(name string) ([]byte, error) {
	f, err := t.open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	tooLarge := &fs.PathError{Op: "read", Path: name, Err: fmt.Errorf("%w: over %d MiB", ErrTooLarge, MaxFile>>20)}
	if info, err := f.Stat(); err != nil {
		return nil, err
	} else if info.Size() > MaxFile {
		return nil, tooLarge
	}
	b, err := io.ReadAll(io.LimitReader(f, MaxFile+1)) // files of a kernel don't know their size
	if err != nil {
		return nil, &fs.PathError{Op: "read", Path: name, Err: cause(err)}
	}
	if len(b) > MaxFile {
		return nil, tooLarge
	}
	return b, nil
}

// ReadDir implements fs.ReadDirFS.
func (t *Tree) ReadDir(name string) ([]fs.DirEntry, error) {
	f, err := t.open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	list, err := f.ReadDir(-1)
	if err != nil {
		err = &fs.PathError{Op: "readdir", Path: name, Err: cause(err)}
	}
	slices.SortFunc(list, func(a, b fs.DirEntry) int { return cmp.Compare(a.Name(), b.Name()) })
	return list, err
}

// Stat implements fs.StatFS. It opens nothing.
func (t *Tree) Stat(name string) (fs.FileInfo, error) { return t.stat("stat", name, true) }

// Lstat implements fs.ReadLinkFS.
func (t *Tree) Lstat(name string) (fs.FileInfo, error) { return t.stat("lstat", name, false) }

func (t *Tree) stat(op, name string, last bool) (fs.FileInfo, error) {
	to, err := t.resolve(op, name, last)
	if err != nil {
		return nil, err
	}
	info, err := t.root.Lstat(to)
	if err != nil {
		return nil, &fs.PathError{Op: op, Path: name, Err: cause(err)}
	}
	return info, nil
}

// ReadLink implements fs.ReadLinkFS.
func (t *Tree) ReadLink(name string) (string, error) {
	at, err := t.resolve("readlink", name, false)
	if err != nil {
		return "", err
	}
	to, err := t.root.Readlink(at)
	if err != nil {
		return "", &fs.PathError{Op: "readlink", Path: name, Err: cause(err)}
	}
	return to, nil
}
