package hotplug

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Names in the folder. The lock files are never removed: a lock on a removed
// file locks nobody out.
const (
	pendingName = "pending.lock"
	reloadName  = "reload.lock"
	markName    = "mark"
	lookingName = "mark.looking"
	loadingName = "loading"
	problemName = "problem"
)

// ErrLocked is wrapped when the reload lock was not to be had in time.
var ErrLocked = errors.New("another gokexec is loading")

// Dir is the folder with locks and marks: /run/gokexec, or another that is empty
// after a boot.
type Dir string

// Mark notes that memory or CPUs have changed and nobody has looked yet.
func (d Dir) Mark() error {
	f, err := os.OpenFile(d.path(markName), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(string(d), 0o700); err != nil {
			return err
		}
		f, err = os.OpenFile(d.path(markName), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	}
	if err != nil {
		return err
	}
	// That it grows tells a settling process of more events; that it is there is
	// what counts, so a full disk is no error.
	_, err = f.Write([]byte{'.'})
	if errors.Is(err, unix.ENOSPC) {
		err = nil
	}
	return errors.Join(err, f.Close())
}

// Marked tells whether there is an event that no completed look has covered. Right
// after an event that is as it should be.
func (d Dir) Marked() bool {
	return d.exists(markName) || d.exists(lookingName)
}

// Problem gives the words of the last look that found something wrong and could
// not mend it, "" if there is none.
func (d Dir) Problem() string {
	b, err := os.ReadFile(d.path(problemName))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b[:min(len(b), 4096)]))
}

// Lock is the reload lock. While it is held, no other gokexec loads, unloads or
// looks.
type Lock struct {
	dir  Dir
	file *os.File // nil: inherited
}

// LockReload takes the reload lock, waiting at most for wait (negative: without
// end). The error wraps ErrLocked, or ctx's.
func (d Dir) LockReload(ctx context.Context, wait time.Duration) (*Lock, error) {
	file, err := d.openReload()
	if err != nil {
		return nil, err
	}
	began := time.Now()
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		held, err := tryFlock(file)
		switch {
		case err != nil:
			return nil, errors.Join(err, file.Close())
		case held:
			return &Lock{d, file}, nil
		case wait >= 0 && time.Since(began) >= wait:
			return nil, errors.Join(fmt.Errorf("%w: it has held %s for %v", ErrLocked, file.Name(), wait), file.Close())
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(context.Cause(ctx), file.Close())
		case <-time.After(pause):
		}
	}
}

// Inherited stands for the lock of a process that started this one and waits for
// it; releasing it does nothing.
func (d Dir) Inherited() *Lock { return &Lock{dir: d} }

// Locked tells whether somebody holds the reload lock at this moment.
func (d Dir) Locked() bool {
	file, err := d.openReload()
	if err != nil {
		return false
	}
	defer file.Close()
	held, err := tryFlock(file)
	return err == nil && !held
}

// Begin notes that a load begins, which costs the image that is loaded.
func (l *Lock) Begin() error { return l.dir.write(loadingName, "") }

// Done takes the note of Begin back.
func (l *Lock) Done() error { return l.dir.remove(loadingName) }

// Interrupted tells whether a load was begun and never done: under the lock that
// means that its process was killed.
func (l *Lock) Interrupted() bool { return l.dir.exists(loadingName) }

// File is the locked file, for a process that is to hold the lock too should this
// one die; nil if there is none.
func (l *Lock) File() *os.File { return l.file }

// Release gives the lock back, also from processes that inherited File.
func (l *Lock) Release() error {
	if l.file == nil {
		return nil
	}
	return errors.Join(ignoringEINTR(func() error { return unix.Flock(int(l.file.Fd()), unix.LOCK_UN) }), l.file.Close())
}

func (d Dir) path(name string) string { return filepath.Join(string(d), name) }

func (d Dir) exists(name string) bool {
	_, err := os.Lstat(d.path(name))
	return err == nil
}

func (d Dir) write(name, text string) error {
	if err := os.MkdirAll(string(d), 0o700); err != nil {
		return err
	}
	return os.WriteFile(d.path(name), []byte(text), 0o600)
}

func (d Dir) remove(name string) error {
	err := os.Remove(d.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// openLock opens a lock file, and makes it if need be.
func (d Dir) openLock(name string) (*os.File, error) {
	// Opening for reading alone also works where nothing can be written any more.
	const flags = os.O_RDONLY | os.O_CREATE | unix.O_NOFOLLOW
	f, err := os.OpenFile(d.path(name), flags, 0o600)
	if !errors.Is(err, fs.ErrNotExist) {
		return f, err
	}
	if err := os.MkdirAll(string(d), 0o700); err != nil {
		return nil, err
	}
	return os.OpenFile(d.path(name), flags, 0o600)
}

// openReload opens what the reload lock is put on. If that can't be made, it is
// the nearest folder: a full or read-only /run must not let two loaders run.
func (d Dir) openReload() (*os.File, error) {
	f, err := d.openLock(reloadName)
	for dir := string(d); err != nil; dir = filepath.Dir(dir) {
		var folderErr error
		f, folderErr = os.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY, 0)
		if folderErr == nil {
			return f, nil
		}
		if dir == filepath.Dir(dir) {
			return nil, errors.Join(err, folderErr)
		}
	}
	return f, nil
}

func tryFlock(f *os.File) (bool, error) {
	err := ignoringEINTR(func() error { return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) })
	if errors.Is(err, unix.EWOULDBLOCK) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return true, nil
}

func ignoringEINTR(do func() error) error {
	for {
		if err := do(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
