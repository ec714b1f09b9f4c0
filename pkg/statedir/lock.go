package statedir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// ErrLocked is wrapped when the reload lock could not be taken in time.
var ErrLocked = errors.New("another gokexec is loading")

// ErrNoLock is wrapped when there is no file that only this user can lock. The Lock
// that comes with it keeps nobody out but the kernel's own lock does: two loads can
// not run at once, but one may undo the other.
var ErrNoLock = errors.New("there is no place for the reload lock")

// Lock is the reload lock. While it is held, no other gokexec loads, unloads or
// looks.
type Lock struct {
	dir       Dir
	file      *os.File // nil: inherited, or ErrNoLock
	inherited bool
}

// LockReload takes the reload lock, waiting at most for wait. The error wraps
// ErrLocked or ctx's; or ErrNoLock, and then there is a Lock beside it.
func (d Dir) LockReload(ctx context.Context, wait time.Duration) (*Lock, error) {
	file, err := d.openReload()
	if err != nil {
		return &Lock{dir: d}, err
	}
	began := time.Now()
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		held, err := tryFlock(file)
		switch {
		case err != nil:
			return &Lock{dir: d}, fmt.Errorf("%w: %w", ErrNoLock, errors.Join(err, file.Close()))
		case held:
			return &Lock{dir: d, file: file}, nil
		case time.Since(began) >= wait:
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
func (d Dir) Inherited() *Lock { return &Lock{dir: d, inherited: true} }

// Inherited tells whether another process holds the lock for this one.
func (l *Lock) Inherited() bool { return l.inherited }

// Locked tells whether somebody holds the reload lock at this moment. It makes no file.
func (d Dir) Locked() bool {
	file, err := os.OpenFile(d.path(reloadName), os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		if file = d.openPlace(); file == nil {
			return false
		}
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

// Interrupted is Lock.Interrupted for who does not hold the lock: a load that is under
// way is not meant.
func (d Dir) Interrupted() bool { return d.exists(loadingName) && !d.Locked() }

// Dir is where the lock is.
func (l *Lock) Dir() Dir { return l.dir }

// File is the locked file, for a process that is to hold the lock too should this
// one die; nil if there is none.
func (l *Lock) File() *os.File { return l.file }

// Release gives the lock back, also from processes that inherited File.
func (l *Lock) Release() error {
	if l.file == nil {
		return nil
	}
	err := ignoringEINTR(func() error { return unix.Flock(int(l.file.Fd()), unix.LOCK_UN) })
	return errors.Join(err, l.file.Close())
}

// TryPending takes the pending lock, which closing the file gives back. It is nil if
// another process holds it.
func (d Dir) TryPending() (*os.File, error) {
	f, err := d.openLock(pendingName)
	if err != nil {
		return nil, err
	}
	held, err := tryFlock(f)
	if !held {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// openLock opens a lock file, and makes it if need be.
func (d Dir) openLock(name string) (*os.File, error) {
	// Opening for reading alone also works where nothing can be written any more.
	const flags = os.O_RDONLY | os.O_CREATE | unix.O_NOFOLLOW
	f, err := os.OpenFile(d.path(name), flags, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(string(d), 0o700); err != nil {
			return nil, err
		}
		f, err = os.OpenFile(d.path(name), flags, 0o600)
	}
	if err != nil {
		return nil, err
	}
	// The directory keeps others out, if it is ours; the file may be older than it.
	if !private(f) && !privateDir(string(d)) {
		return nil, errors.Join(fmt.Errorf("lock %s: other users may open it", f.Name()), f.Close())
	}
	return f, nil
}

// openReload opens what the reload lock is put on. A full or read-only /run must not
// let two loaders run. So if the lock file can't be made, it is another file that all
// loaders find and that only this user can open: who can open a file can take its
// flock(2), and hold it for ever.
func (d Dir) openReload() (*os.File, error) {
	f, err := d.openLock(reloadName)
	if err == nil {
		return f, nil
	}
	if f := d.openPlace(); f != nil {
		return f, nil
	}
	return nil, fmt.Errorf("%w: %w, and of %q none is this user's alone", ErrNoLock, err, d.places())
}

// openPlace opens the first of places that is private, nil if none is.
func (d Dir) openPlace() *os.File {
	for _, place := range d.places() {
		f, err := os.OpenFile(place, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
		if err != nil {
			continue
		}
		if private(f) {
			return f
		}
		f.Close()
	}
	return nil
}

// places are the files for the lock besides the directory's own: the directories
// above, and for the machine's own directory those that root has to itself on most
// machines, also where /run is full or read-only. The lock of another directory must
// not meet that of the machine's.
func (d Dir) places() []string {
	var places []string
	for dir := filepath.Clean(string(d)); ; dir = filepath.Dir(dir) {
		places = append(places, dir)
		if dir == filepath.Dir(dir) {
			break
		}
	}
	if d == Default {
		places = append(places, "/sys/kernel/tracing", "/sys/kernel/debug", "/root", "/proc/vmallocinfo")
	}
	return places
}

// private tells whether no other user can open the file: it is this user's, and the
// mode gives others nothing. root's own group is as good as root.
func private(f *os.File) bool {
	var s unix.Stat_t
	if unix.Fstat(int(f.Fd()), &s) != nil || int(s.Uid) != os.Geteuid() || s.Mode&0o007 != 0 {
		return false
	}
	return s.Mode&0o070 == 0 || s.Gid == 0
}

func privateDir(path string) bool {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	return private(f)
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
