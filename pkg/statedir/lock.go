package statedir

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/internal/announce"
)

// ErrLocked is wrapped when the reload lock could not be taken in time.
var ErrLocked = errors.New("another gokexec is loading")

// ErrNoLock is wrapped when there is no file that only this user can lock. The Lock that
// is returned with it excludes no other process. The kernel's own lock still prevents two
// loads at the same time, but one may undo the other.
var ErrNoLock = errors.New("there is no place for the reload lock")

// Lock is the reload lock. While it is held, no other gokexec loads, unloads or checks.
type Lock struct {
	dir       Dir
	file      *os.File // nil: inherited, or ErrNoLock
	inherited bool
}

// LockReload takes the reload lock; it waits at most for wait. The error wraps ErrLocked,
// the cause of ctx, or ErrNoLock; only with ErrNoLock a Lock is returned as well.
func (d Dir) LockReload(ctx context.Context, wait time.Duration) (*Lock, error) {
	file, err := d.openReload()
	if err != nil {
		return &Lock{dir: d}, err
	}
	began := time.Now()
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		held, err := announce.TryLock(file)
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

// Inherited returns a Lock that stands for the lock of a process that started this one
// and waits for it. Releasing it does nothing.
func (d Dir) Inherited() *Lock { return &Lock{dir: d, inherited: true} }

// Inherited tells whether another process holds the lock for this one.
func (l *Lock) Inherited() bool { return l.inherited }

// Locked tells whether a process holds the reload lock now. It creates no file.
func (d Dir) Locked() bool {
	file, err := os.OpenFile(d.path(reloadName), os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		if file = d.openPlace(); file == nil {
			return false
		}
	}
	defer file.Close()
	held, err := announce.TryLock(file)
	return err == nil && !held
}

// Begin records that a load begins, which costs the image that is loaded.
func (l *Lock) Begin() error { return l.dir.write(loadingName, "") }

// Done removes what Begin has recorded.
func (l *Lock) Done() error { return l.dir.remove(loadingName) }

// Interrupted tells whether a load has begun and has not ended. Since we hold the lock,
// its process was killed.
func (l *Lock) Interrupted() bool { return l.dir.exists(loadingName) }

// Interrupted is Lock.Interrupted for a caller that does not hold the lock. A load that is
// under way does not count.
func (d Dir) Interrupted() bool { return d.exists(loadingName) && !d.Locked() }

// Dir is where the lock is.
func (l *Lock) Dir() Dir { return l.dir }

// File is the locked file, for a child process that shall still hold the lock if this
// process is killed. It is nil if there is none.
func (l *Lock) File() *os.File { return l.file }

// Release releases the lock, also for processes that inherited File.
func (l *Lock) Release() error {
	if l.file == nil {
		return nil
	}
	return errors.Join(announce.Unlock(l.file), l.file.Close())
}

// openReload opens the file for the reload lock. Two loaders must not run at once even if
// /run is full or read-only. So if the lock file can't be created, another file is used
// that all loaders find and that only this user can open: whoever can open a file can take
// its flock(2) and keep it.
func (d Dir) openReload() (*os.File, error) {
	f, err := announce.Dir(d).OpenLock(reloadName)
	if err == nil {
		return f, nil
	}
	if f := d.openPlace(); f != nil {
		return f, nil
	}
	return nil, fmt.Errorf("%w: %w, and of %q none is this user's alone", ErrNoLock, err, d.places())
}

// openPlace opens the first of places that is private. It returns nil if none is.
func (d Dir) openPlace() *os.File {
	for _, place := range d.places() {
		f, err := os.OpenFile(place, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
		if err != nil {
			continue
		}
		if announce.Private(f) {
			return f
		}
		f.Close()
	}
	return nil
}

// places are further files for the lock: the parent directories, and for Default those
// that are private to root on most machines, even if /run is full or read-only. Another
// directory must not share a lock with Default.
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
