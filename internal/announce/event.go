package announce

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"syscall"
)

const (
	// Default is the directory on a running machine.
	Default = "/run/gokexec"
	// MarkName is the file that says that no process has handled an event yet.
	MarkName = "mark"
	// PendingName is the lock file of the process that will handle the marked events.
	PendingName = "pending.lock"
)

// Event announces an event: it calls mark, and then tells by tryPending whether another process
// will handle it. If not, the caller must handle it. The error is that of mark.
func Event(mark func() error, tryPending func() (mine bool, err error), releasePending func()) (coalesced bool, err error) {
	err = mark()
	mine, pendingErr := tryPending()
	releasePending()
	return pendingErr == nil && !mine, err
}

// Dir is the directory: Default, or another that is empty after a boot.
type Dir string

// Event is Event with the files of the directory.
func (d Dir) Event() (coalesced bool, err error) {
	var lock *os.File
	tryPending := func() (bool, error) {
		var err error
		lock, err = d.TryPending()
		return lock != nil, err
	}
	return Event(d.Mark, tryPending, func() {
		if lock != nil {
			lock.Close()
		}
	})
}

// Mark records that memory or CPUs have changed and no process has checked yet.
func (d Dir) Mark() error {
	f, err := d.open(MarkName, os.O_CREATE|os.O_WRONLY|os.O_APPEND)
	if err != nil {
		return err
	}
	// It grows to tell the process that waits for the end of the burst of more events.
	// What matters is that it exists, so a full disk is no error.
	_, err = f.Write([]byte{'.'})
	if errors.Is(err, syscall.ENOSPC) {
		err = nil
	}
	return errors.Join(err, f.Close())
}

// TryPending takes the pending lock, which is held while the file is open. The file is nil if another
// process holds it.
func (d Dir) TryPending() (*os.File, error) {
	f, err := d.OpenLock(PendingName)
	if err != nil {
		return nil, err
	}
	held, err := TryLock(f)
	if !held {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// open opens a file with a flag that creates it, and creates the directory if necessary.
func (d Dir) open(name string, flag int) (*os.File, error) {
	name = path.Join(string(d), name)
	f, err := os.OpenFile(name, flag, 0o600)
	if !errors.Is(err, fs.ErrNotExist) {
		return f, err
	}
	if err := os.MkdirAll(string(d), 0o700); err != nil {
		return nil, err
	}
	return os.OpenFile(name, flag, 0o600)
}
