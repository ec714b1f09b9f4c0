// Package linkfs follows symbolic links inside of a tree, without ever leaving it.
package linkfs

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// maxLinks is how many symbolic links one path may pass through
// (MAXSYMLINKS, include/linux/namei.h).
const maxLinks = 40

// Resolve returns name with every symbolic link in it followed, inside root:
// an absolute target is taken from root's top, and ".." stops there. So a
// collected tree is never left for the machine it is studied on, as
// os.DirFS's own Open would.
//
// A root that has no links (fs.ReadLinkFS is not implemented) is taken as it
// is. When something on the way is not there, the error wraps fs.ErrNotExist.
func Resolve(root fs.FS, name string) (string, error) {
	return follow(root, name, false)
}

// ResolveNew is Resolve for a name that need not be there yet: from the first
// element on that is missing, the rest is taken as it is written.
func ResolveNew(root fs.FS, name string) (string, error) {
	return follow(root, name, true)
}

func follow(root fs.FS, name string, missing bool) (string, error) {
	if !fs.ValidPath(name) {
		return "", &fs.PathError{Op: "resolve", Path: "/" + name, Err: fs.ErrInvalid}
	}
	links := 0
	done := "."
	rest := strings.Split(name, "/")
	for len(rest) > 0 {
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
		info, err := fs.Lstat(root, next)
		if missing && errors.Is(err, fs.ErrNotExist) {
			done = next
			continue
		}
		if err != nil {
			return "", absPath(err)
		}
		if info.Mode()&fs.ModeSymlink == 0 {
			done = next
			continue
		}
		if links++; links > maxLinks {
			return "", &fs.PathError{Op: "resolve", Path: "/" + name, Err: fmt.Errorf("more than %d symbolic links", maxLinks)}
		}
		target, err := fs.ReadLink(root, next)
		if err != nil {
			return "", absPath(err)
		}
		if strings.HasPrefix(target, "/") {
			done = "."
		}
		rest = append(strings.Split(target, "/"), rest...)
	}
	return done, nil
}

// absPath gives a path inside an fs.FS the leading slash that it lacks.
func absPath(err error) error {
	if pe, ok := err.(*fs.PathError); ok && !strings.HasPrefix(pe.Path, "/") {
		return &fs.PathError{Op: pe.Op, Path: "/" + pe.Path, Err: pe.Err}
	}
	return err
}
