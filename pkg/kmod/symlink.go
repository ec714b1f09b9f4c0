package kmod

import (
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// maxLinks is how many symbolic links one path may pass through
// (MAXSYMLINKS, include/linux/namei.h).
const maxLinks = 40

// resolve returns name with every symbolic link in it followed, inside root:
// an absolute target is taken from root's top, and ".." stops there. So a
// collected tree is never left for the machine it is studied on, as
// os.DirFS's own Open would.
//
// A root that has no links (fs.ReadLinkFS is not implemented) is taken as it
// is. The last element need not exist when follow errors are of interest to
// the caller: the error then wraps fs.ErrNotExist.
func resolve(root fs.FS, name string) (string, error) {
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
		return nil, absPath(err)
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

// absPath puts the leading slash back that paths inside an fs.FS lack.
func absPath(err error) error {
	if pe, ok := err.(*fs.PathError); ok && !strings.HasPrefix(pe.Path, "/") {
		return &fs.PathError{Op: pe.Op, Path: "/" + pe.Path, Err: pe.Err}
	}
	return err
}
