package statedir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/internal/announce"
)

// Pending is the pending lock, held.
type Pending struct {
	d    Dir
	file *os.File
	self *os.File // Dir, for the link; nil: there is none
}

// TryPending takes the pending lock. Pending is nil if another process holds it.
func (d Dir) TryPending() (*Pending, error) {
	f, err := announce.Dir(d).TryPending()
	if f == nil {
		return nil, err
	}
	return &Pending{d: d, file: f}, nil
}

// Cover spares further events a process and a mark of their own, until Release: it makes a
// symbolic link "pending" that leads somewhere, which the udev rule tests. The link goes
// through a descriptor of this process to the lock file, so it leads nowhere once the process
// has ended, even if it was killed, and even if another process has its number by then. A mark
// stands for all events that are covered, which no check that has begun already takes. If
// anything fails there is no link, and nothing is lost: each event has a process.
func (p *Pending) Cover() error {
	if err := p.d.write(waitingName, ""); err != nil {
		return err
	}
	self, err := os.OpenFile(string(p.d), unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	p.self = self
	if err := p.d.remove(pendingLink); err != nil { // of a process that was killed
		return err
	}
	return os.Symlink(fmt.Sprintf("/proc/%d/fd/%d/%s", os.Getpid(), self.Fd(), announce.PendingName), p.d.path(pendingLink))
}

// Take renames the mark of Cover, as TakeMark does with that of an event. The caller holds the
// reload lock, too. A missing mark is no error.
func (p *Pending) Take() error {
	err := os.Rename(p.d.path(waitingName), p.d.path(lookingName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Release releases the lock. The link is gone before the lock is.
func (p *Pending) Release() error {
	var err error
	if p.self != nil {
		_ = p.d.remove(pendingLink) // if it stays, it leads nowhere from the next line on
		err = p.self.Close()
	}
	return errors.Join(err, p.file.Close())
}

// dropWaiting removes the mark of Cover that a killed process has left. That of a living one
// stays: it has not checked yet.
func (d Dir) dropWaiting() error {
	if !d.exists(waitingName) {
		return nil
	}
	p, err := d.TryPending()
	if p == nil {
		return err
	}
	return errors.Join(d.remove(waitingName), p.Release())
}
