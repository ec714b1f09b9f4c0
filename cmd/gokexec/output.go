package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/pkg/advice"
)

// Modes of a new file, before the umask.
const (
	privateFile fs.FileMode = 0o600
	publicFile  fs.FileMode = 0o644 // manual pages and the like
)

// maxLinks is how many symbolic links are followed, as many as by the kernel (path_resolution(7)).
const maxLinks = 40

// output is a file to be written that the user names. A regular file is replaced when the new one is
// complete and on disk; until then it is unchanged. Anything else (a device, a FIFO, a descriptor under
// /dev/fd) is written to directly.
type output struct {
	file *os.File
	path string // to which file is renamed at the end; "" if it is written to directly
}

// writeOutput writes the file that path names, "-" for the standard output. A new file gets the mode
// perm, an existing one keeps its own.
func writeOutput[T any](e *env, path string, perm fs.FileMode, write func(io.Writer) (T, error)) (T, error) {
	var zero T
	if _, ok := e.stdoutFile(); path == "-" && !ok {
		return write(e.stdout) // a test's
	}
	o, err := e.openOutput(path, perm)
	if err != nil {
		return zero, err
	}
	if o.path != "" {
		defer e.interrupts.removing(o.file.Name())()
	}
	v, err := write(o.file)
	if err == nil {
		err = o.sync()
	}
	err = errors.Join(err, o.file.Close())
	if o.path == "" {
		return v, err
	}
	if err == nil {
		err = os.Rename(o.file.Name(), o.path)
	}
	if err != nil {
		return zero, errors.Join(err, os.Remove(o.file.Name()))
	}
	return v, nil
}

// writeText writes a file that everybody may read.
func (e *env) writeText(path, text string) error {
	_, err := writeOutput(e, path, publicFile, func(w io.Writer) (int, error) { return io.WriteString(w, text) })
	return err
}

// openOutput opens what path names, or a new file in the same directory if it is to be replaced.
func (e *env) openOutput(path string, perm fs.FileMode) (*output, error) {
	if path == "-" {
		return duplicate(1)
	}
	given := path
	fail := func(errno error) (*output, error) {
		return nil, &fs.PathError{Op: "write", Path: given, Err: errno}
	}
	for range maxLinks {
		dir, base := filepath.Split(path) // not cleaned: link/.. is not the directory of link
		if base == "" || base == "." || base == ".." {
			if path == "" {
				return fail(unix.ENOENT)
			}
			return fail(unix.EISDIR)
		}
		if dir == "" {
			dir = "."
		}
		dir, err := filepath.EvalSymlinks(dir)
		if err != nil {
			return nil, err
		}
		if fd, ok := ownDescriptor(dir, base); ok {
			return duplicate(fd)
		}
		path = filepath.Join(dir, base)
		info, err := os.Lstat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return newFile(path, perm, nil)
		case err != nil:
			return nil, err
		case info.Mode().IsRegular():
			return newFile(path, perm, info)
		case info.IsDir():
			return fail(unix.EISDIR)
		case info.Mode()&fs.ModeSymlink == 0 || strings.HasPrefix(dir, "/proc/"):
			// A link there, to a descriptor of another process, is no path.
			return through(path, info)
		}
		to, err := os.Readlink(path)
		if err != nil {
			return nil, err
		}
		if path = to; !filepath.IsAbs(to) {
			path = dir + "/" + to
		}
	}
	return fail(unix.ELOOP)
}

// ownDescriptor recognises /proc/self/fd/N, where /dev/stdout and /dev/fd/N lead to.
func ownDescriptor(dir, base string) (int, bool) {
	fd, err := strconv.ParseUint(base, 10, 31)
	rest, ok := strings.CutPrefix(dir, "/proc/"+strconv.Itoa(os.Getpid())+"/")
	return int(fd), ok && err == nil && filepath.Base(rest) == "fd"
}

// duplicate writes at the current position of a descriptor; opening it by its name would
// begin at the start of the file.
func duplicate(fd int) (*output, error) {
	name := fmt.Sprintf("/dev/fd/%d", fd)
	if fd == 1 {
		name = "standard output"
	}
	if closedAtStart(fd) {
		return nil, &fs.PathError{Op: "write", Path: name, Err: unix.EBADF}
	}
	own, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, &fs.PathError{Op: "write", Path: name, Err: err}
	}
	return &output{file: os.NewFile(uintptr(own), name)}, nil
}

// closedAtStart reports that a standard descriptor was closed when the program began: the Go runtime
// then puts /dev/null in its place, open for reading and writing (runtime.checkfds).
func closedAtStart(fd int) bool {
	if fd > 2 {
		return false
	}
	var st unix.Stat_t
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	return err == nil && flags&unix.O_ACCMODE == unix.O_RDWR && unix.Fstat(fd, &st) == nil &&
		st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == unix.Mkdev(1, 3)
}

// through opens what is no regular file. For a block device that is in use the error is
// EBUSY, which is the meaning of O_EXCL without O_CREAT (open(2)).
func through(path string, info fs.FileInfo) (*output, error) {
	flags := os.O_WRONLY | unix.O_NOCTTY
	if info.Mode()&(fs.ModeDevice|fs.ModeCharDevice) == fs.ModeDevice {
		flags |= os.O_EXCL
	}
	f, err := os.OpenFile(path, flags, 0)
	if err != nil {
		return nil, err
	}
	return &output{file: f}, nil
}

// newFile creates the file that will be renamed to path, in the same directory. It gets owner and mode of the
// old file; if the owner can't be kept, the mode of a new file.
func newFile(path string, perm fs.FileMode, old fs.FileInfo) (*output, error) {
	for {
		name := filepath.Join(filepath.Dir(path), fmt.Sprintf(".gokexec.%x", rand.Uint64()))
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, perm)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return nil, besideProblem(path, old, err)
		}
		if err := keepOwner(f, old); err != nil {
			return nil, errors.Join(err, f.Close(), os.Remove(name))
		}
		return &output{file: f, path: path}, nil
	}
}

func besideProblem(path string, old fs.FileInfo, err error) error {
	if old == nil || !errors.Is(err, fs.ErrPermission) && !errors.Is(err, unix.EROFS) {
		return &fs.PathError{Op: "write", Path: path, Err: cause(err)}
	}
	return &advice.Problem{What: fmt.Sprintf("%s can't be replaced: its directory can't be written: %v", path, cause(err)), Err: err,
		Hint: "the file is replaced when the new one is complete, so the directory must be writable; write to another one, or to - with a redirection"}
}

// cause is the error without operation and path.
func cause(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

func keepOwner(f *os.File, old fs.FileInfo) error {
	if old == nil {
		return nil
	}
	was, ok := old.Sys().(*syscall.Stat_t)
	if !ok || f.Chown(int(was.Uid), int(was.Gid)) != nil {
		return nil
	}
	return f.Chmod(old.Mode().Perm())
}

// sync makes the file durable, where it is one that can be.
func (o *output) sync() error {
	err := o.file.Sync()
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.EROFS) {
		return nil // a pipe, a terminal (fsync(2))
	}
	return err
}
