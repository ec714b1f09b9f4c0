package capture

import (
	"errors"
	"path"
	"time"
)

// newPinned is newDirectory in a directory of the running system, which another user may own: it is
// opened once, and so is the new one in it, so that nothing that is renamed or linked there
// meanwhile leads the dump elsewhere.
func newPinned(sys Files, parent string, t time.Time, keep reserve, dumps keepDumps) (*directorySink, error) {
	at, release, err := sys.Pin(parent, false)
	if err != nil {
		return nil, err
	}
	s, err := newDirectory(sys, at, at, t, keep, dumps)
	if err != nil {
		return nil, errors.Join(err, release())
	}
	s.shown = path.Join(parent, path.Base(s.dir))
	s.now = s.shown
	own, releaseOwn, err := sys.Pin(s.dir, true)
	if err != nil {
		return nil, errors.Join(err, s.old.close(), release())
	}
	s.dir = own
	s.after = func() error { return errors.Join(releaseOwn(), release()) }
	return s, nil
}
