package storage

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/gokexec/gokexec/pkg/capture"
)

// ErrNotMounted means that a filesystem is not mounted on this machine, so that its room is not known.
var ErrNotMounted = errors.New("not mounted here")

// RoomOf is Room of a target that is not resolved yet; raw tells that it is a device, all of which may be taken.
func (m *Machine) RoomOf(ctx context.Context, t capture.Target) (space capture.Space, raw bool, err error) {
	r, err := m.Resolve(ctx, t)
	if err != nil {
		return space, false, err
	}
	space, err = m.Room(r)
	return space, r.FSType == "", err
}

// Room returns how much room a target that Resolve has found has: that of the filesystem, where it is mounted, or
// the size of the device of a raw target, of which all is available.
func (m *Machine) Room(r *Resolved) (capture.Space, error) {
	if r.Target.Remote() {
		return capture.Space{}, fmt.Errorf("%s: %w", r.Target, ErrNotMounted)
	}
	if len(r.tops) == 0 {
		return capture.Space{}, fmt.Errorf("%s: its device is not known", r.Target)
	}
	if r.FSType == "" {
		f, err := m.sys.OpenFile(r.tops[0].node(), os.O_RDONLY, 0)
		if err != nil {
			return capture.Space{}, err
		}
		defer f.Close()
		size, err := f.Size()
		return r.bounded(capture.Space{Available: size}), err
	}
	mounts, err := m.mounts()
	if err != nil {
		return capture.Space{}, err
	}
	for _, c := range mounts {
		if at, ok := mounts.At(c.Point); ok && at.ID == c.ID && m.isOn(c, r.on()) {
			space, err := m.sys.Space(c.Point)
			return r.bounded(space), err
		}
	}
	return capture.Space{}, fmt.Errorf("%s: %w", r.Target, ErrNotMounted)
}

// bounded is room that a snapshot or a thin pool may have less of: what its filesystem has free says nothing of that.
func (r *Resolved) bounded(s capture.Space) capture.Space {
	if r.room > 0 {
		s.Available = min(s.Available, r.room)
	}
	return s
}
