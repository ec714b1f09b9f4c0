package announce

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// OpenLock opens a lock file, and creates it if necessary. Other users can't open it.
func (d Dir) OpenLock(name string) (*os.File, error) {
	// Opening for reading only also works if nothing can be written any more.
	f, err := d.open(name, os.O_RDONLY|os.O_CREATE|syscall.O_NOFOLLOW)
	if err != nil {
		return nil, err
	}
	// If the directory is private, other users can't open the file, whatever its mode.
	if !Private(f) && !privateDir(string(d)) {
		return nil, errors.Join(errors.New("lock "+f.Name()+": other users may open it"), f.Close())
	}
	return f, nil
}

// Private tells whether no other user can open the file: this user owns it, and the mode
// gives others no access. The group root counts as root.
func Private(f *os.File) bool {
	var s syscall.Stat_t
	if syscall.Fstat(int(f.Fd()), &s) != nil || int(s.Uid) != os.Geteuid() || s.Mode&0o007 != 0 {
		return false
	}
	return s.Mode&0o070 == 0 || s.Gid == 0
}

func privateDir(path string) bool {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	return Private(f)
}

// TryLock takes the flock(2) of an open file. It is not held if another process holds it.
func TryLock(f *os.File) (held bool, err error) {
	err = lock(f, syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, err
}

// Unlock releases the flock(2), also for processes that inherited the file.
func Unlock(f *os.File) error { return lock(f, syscall.LOCK_UN) }

func lock(f *os.File, how int) error {
	for {
		switch err := syscall.Flock(int(f.Fd()), how); err {
		case nil:
			return nil
		case syscall.EINTR:
		default:
			return &fs.PathError{Op: "lock", Path: f.Name(), Err: err}
		}
	}
}
