package storage

import (
	"errors"
	"fmt"
	"os"
)

// ErrNotMounted means that a filesystem is not mounted on this machine, so that its room is not known.
var ErrNotMounted = errors.New("not mounted here")

// Room returns how many bytes a dump may take on a target that Resolve has found: what is available in the
// filesystem where it is mounted, or the size of the device of a raw target.
func (m *Machine) Room(r *Resolved) (int64, error) {
	if len(r.Devices) == 0 {
		return 0, fmt.Errorf("%s: its device is not known", r.Target)
	}
	if r.FSType == "" {
		f, err := m.sys.OpenFile(nodeOf(r.Devices[0]), os.O_RDONLY, 0)
		if err != nil {
			return 0, err
		}
		defer f.Close()
		return f.Size()
	}
	mounts, err := m.mounts()
	if err != nil {
		return 0, err
	}
	for _, c := range mounts {
		if at, ok := mounts.At(c.Point); ok && at.ID == c.ID && m.isOn(c, r.Devices) {
			space, err := m.sys.Space(c.Point)
			return space.Available, err
		}
	}
	return 0, fmt.Errorf("%s: %w", r.Target, ErrNotMounted)
}
