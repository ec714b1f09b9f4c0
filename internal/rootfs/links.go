package rootfs

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// maxLinks is how many symbolic links one name may pass through (MAXSYMLINKS, include/linux/namei.h).
const maxLinks = 40

// Resolve returns name with every symbolic link in it followed inside root: an absolute target is
// taken from root's top, and ".." stops there. So a name never leads out of a collected tree to this
// machine, as it would with the Open of os.DirFS.
//
// A root that has no links (fs.ReadLinkFS is not implemented) is taken as it is. When something on
// the way is not there, the error wraps fs.ErrNotExist.
func Resolve(root fs.FS, name string) (string, error) { return linksOf(root).resolve(name) }

// ResolveNew is Resolve for a name that need not be there yet: from the first element on that is
// missing, the rest is taken as it is written.
func ResolveNew(root fs.FS, name string) (string, error) {
	l := linksOf(root)
	l.missing = true
	return l.resolve(name)
}

func linksOf(root fs.FS) links {
	return links{fail: absolute,
		lstat:    func(name string) (fs.FileInfo, error) { return fs.Lstat(root, name) },
		readlink: func(name string) (string, error) { return fs.ReadLink(root, name) }}
}

// links follows the symbolic links of a tree.
type links struct {
	lstat    func(name string) (fs.FileInfo, error)
	readlink func(name string) (string, error)

	// fail makes the error of a name.
	fail func(name string, err error) error

	missing  bool // what is not there is taken as it is written
	keepLast bool // a link at the end of the name is not followed
}

func (l links) resolve(name string) (string, error) {
	fail := func(err error) (string, error) { return "", l.fail(name, err) }
	if !fs.ValidPath(name) {
		return fail(fs.ErrInvalid)
	}
	done, rest := ".", strings.Split(name, "/")
	for followed := 0; len(rest) > 0; {
		elem := rest[0]
		rest = rest[1:]
		switch elem {
		case "", ".":
			continue
		case "..":
			done = path.Dir(done)
			continue
		}
		next := path.Join(done, elem)
		if l.keepLast && len(rest) == 0 {
			return next, nil
		}
		info, err := l.lstat(next)
		if l.missing && errors.Is(err, fs.ErrNotExist) {
			done = next
			continue
		}
		if err != nil {
			return fail(err)
		}
		if info.Mode()&fs.ModeSymlink == 0 {
			done = next
			continue
		}
		if followed++; followed > maxLinks {
			return fail(fmt.Errorf("more than %d symbolic links: %w", maxLinks, unix.ELOOP))
		}
		to, err := l.readlink(next)
		if err != nil {
			return fail(err)
		}
		if path.IsAbs(to) {
			done = "."
		}
		rest = append(strings.Split(to, "/"), rest...)
	}
	return done, nil
}

// absolute has the error say which path of the tree it is about, with the leading slash that paths
// inside an fs.FS lack.
func absolute(name string, err error) error {
	op := "resolve"
	var pe *fs.PathError
	if errors.As(err, &pe) {
		op, name, err = pe.Op, pe.Path, pe.Err
	}
	return &fs.PathError{Op: op, Path: "/" + strings.TrimPrefix(name, "/"), Err: err}
}

// cause is the error without operation and path.
func cause(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}
