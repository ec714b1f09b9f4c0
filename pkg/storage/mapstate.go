package storage

import (
	"errors"
	"strings"

	"github.com/gokexec/gokexec/pkg/stack"
)

// hasState tells a row whose status decides whether it can be used.
func hasState(row stack.Row) bool {
	return row.Type == "raid" || row.Type == "snapshot" || row.Type == "thin-pool"
}

// state looks at what a target says of itself, and returns the row as it is to be recorded then.
func (w *walk) state(n *node, row stack.Row, status []string) stack.Row {
	switch row.Type {
	case "raid":
		return w.raidState(n, row, status)
	case "snapshot":
		w.snapshotState(n, strings.Join(status, " "))
	case "thin-pool":
		w.poolState(n, row, strings.Join(status, " "))
	}
	return row
}

// raidState leaves out the legs that have failed: the array goes on without them, and what they hold is old. The
// status is TYPE DISKS HEALTH PROGRESS ACTION ... (Documentation/admin-guide/device-mapper/dm-raid.rst).
func (w *walk) raidState(n *node, row stack.Row, status []string) stack.Row {
	const instead = "wait until lvs shows the volume to be healthy, or take another target"
	legs, err := stack.Legs(row)
	if err != nil || len(status) < 5 || len(status[2]) != legs {
		n.refuse(instead, "%s (%s): its table and its state do not fit together", n.layer.Map.Name, n.node())
		return row
	}
	if status[4] == "reshape" {
		n.refuse(instead, "%s (%s) is being reshaped", n.layer.Map.Name, n.node())
	}
	failed := strings.Count(status[2], "D")
	if failed == legs {
		n.refuse(instead, "%s (%s): all of its disks have failed", n.layer.Map.Name, n.node())
	} else if failed > 0 {
		n.warn("%d of the %d disks of %s (%s) have failed: a dump is saved on the others", failed, legs, n.layer.Map.Name, n.node())
	}
	without, err := stack.WithoutLegs(row, func(leg int) bool { return status[2][leg] == 'D' })
	if err != nil {
		n.refuse(instead, "%s (%s): %v", n.layer.Map.Name, n.node(), err)
		return row
	}
	return without
}

// snapshotState looks how much the snapshot still takes: what is written to it or, for the first time, to its origin;
// when it is full, the snapshot is lost.
func (w *walk) snapshotState(n *node, status string) {
	room, bounded, err := stack.SnapshotRoom(status)
	switch {
	case err != nil:
		n.refuse("take another target", "the snapshot %s (%s) is in a state that is not known: %v", n.layer.Map.Name, n.node(), err)
		return
	case !bounded:
		n.refuse("remove the snapshot: lvremove", "the snapshot %s (%s) can't be used any more: %s", n.layer.Map.Name, n.node(), status)
		return
	}
	n.room = max(room, 1)
	n.warn("the snapshot %s has room for %d MB of changes: a dump that changes more makes it invalid; lvextend gives it more", n.layer.Map.Name, n.room>>20)
}

// poolState looks whether a thin pool takes new data, and how much.
func (w *walk) poolState(n *node, row stack.Row, status string) {
	const instead = "repair the pool (lvconvert --repair), or make it larger (lvextend)"
	name := n.layer.Map.Name
	block, err := stack.PoolBlock(row)
	p, err2 := stack.ParsePoolStatus(status)
	switch err = errors.Join(err, err2); {
	case err != nil:
		n.refuse(instead, "the thin pool %s (%s) is in a state that is not known: %v", name, n.node(), err)
		return
	case p.Mode == "Fail" || p.Mode == "Error":
		n.refuse(instead, "the thin pool %s (%s) has failed", name, n.node())
	case p.NeedsCheck:
		n.refuse(instead, "the thin pool %s (%s) needs a check", name, n.node())
	case p.Mode != "rw":
		n.refuse(instead, "the thin pool %s (%s) takes no new data: it is %s", name, n.node(), p.Mode)
	}
	if n.room = p.Room(block); n.room == 0 {
		n.refuse(instead, "the thin pool %s (%s) is full", name, n.node())
	}
}
