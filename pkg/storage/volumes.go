package storage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/gokexec/gokexec/pkg/stack"
)

// errBusy means that LVM was changing a volume while it was looked at.
var errBusy = errors.New("it is being changed right now")

// Tries to record what LVM is changing: it suspends a volume for a moment.
const (
	busyTries = 5
	busyPause = 200 * time.Millisecond
)

// walkDown walks down from tops and records what it finds, when LVM is not changing it.
func (m *Machine) walkDown(ctx context.Context, tops []top) (*walk, *stack.Stack, error) {
	for try := 1; ; try++ {
		w := m.walk(ctx)
		s, err := w.stack(tops)
		w.close()
		if try == busyTries || !errors.Is(err, errBusy) {
			return w, s, err
		}
		select {
		case <-ctx.Done():
			return w, nil, fmt.Errorf("%w: %w", err, ctx.Err())
		case <-time.After(busyPause):
		}
	}
}

// stack describes what tops are made of.
func (w *walk) stack(tops []top) (*stack.Stack, error) {
	for _, t := range tops {
		at, err := w.down(t.block)
		if err != nil {
			return nil, err
		}
		w.tops = append(w.tops, stack.Top{Layer: at, Option: t.option})
	}
	s, err := w.record()
	if err != nil {
		return nil, err
	}
	return s, w.volumes(s)
}

// openNode opens a device for reading.
func (w *walk) openNode(node string) (stack.Device, error) {
	return w.sys.OpenFile(node, os.O_RDONLY, 0)
}

// volumes records what the volume groups of LVM say of the volumes in a stack, and looks whether the tables are still
// those that were read before, and whether there are more snapshots: LVM writes what a group is to be like, and then changes
// the tables, of volumes that are suspended (lvm2: lib/metadata/lv_manip.c, lv_update_and_reload; what a
// snapshot is of is one of those). So tables that are the same after that are as new as the metadata.
func (w *walk) volumes(s *stack.Stack) error {
	err := s.RecordVolumes(func(l *stack.Layer) (stack.Device, error) { return w.openNode(nodeOf(l.Name)) })
	if errors.Is(err, stack.ErrVolumes) {
		return &Refusal{What: err.Error(), Instead: "compare dmsetup table with lvs -o+devices, and repair the group (vgck)", err: err}
	}
	if err != nil {
		return &Refusal{What: fmt.Sprintf("the metadata of a volume group can't be read, so that a later change of it would not be noticed: %v", err), Instead: "repair the group: vgck", err: err}
	}
	for _, l := range s.Layers {
		if l.Map == nil || !strings.HasPrefix(l.Map.UUID, "LVM-") {
			continue
		}
		b, err := w.block(l.Name)
		if err != nil {
			return err
		}
		if w.attribute(b.dir+"/dm/suspended") == "1" {
			return fmt.Errorf("%s (%s): %w", b.node(), l.Map.Name, errBusy)
		}
		rows, err := w.maps.Table(l.Map.Name)
		if err != nil {
			return fmt.Errorf("the table of the map %s: %w", l.Map.Name, err)
		}
		if !slices.Equal(rows, w.tables[l.Map.Name]) {
			return fmt.Errorf("%s (%s): %w", b.node(), l.Map.Name, errBusy)
		}
		for _, h := range w.holders(b) {
			if _, known := w.index[h.dir]; known {
				continue
			}
			is, err := w.snapshotOf(h, b)
			if err != nil {
				return err
			}
			if is {
				return fmt.Errorf("%s (%s) has a new snapshot: %w", b.node(), l.Map.Name, errBusy)
			}
		}
	}
	return nil
}
