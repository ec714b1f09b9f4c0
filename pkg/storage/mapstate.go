package storage

import (
	"strconv"
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
		w.snapshotState(n, status)
	case "thin-pool":
		w.poolState(n, row, status)
	}
	return row
}

// raidState leaves out the legs that have failed: the array goes on without them, and what they hold is old. The
// status is TYPE DISKS HEALTH PROGRESS ACTION ... (Documentation/admin-guide/device-mapper/dm-raid.rst); the
// arguments TYPE N PARAMETER... DISKS, and a meta data and a data device for each.
func (w *walk) raidState(n *node, row stack.Row, status []string) stack.Row {
	const instead = "wait until lvs shows the volume to be healthy, or take another target"
	words := strings.Fields(row.Args)
	legs, ok := raidLegs(words)
	if !ok || len(status) < 5 || len(status[2]) != len(legs)/2 {
		n.refuse(instead, "%s (%s): its table and its state do not fit together", n.layer.Map.Name, n.node())
		return row
	}
	if status[4] == "reshape" {
		n.refuse(instead, "%s (%s) is being reshaped", n.layer.Map.Name, n.node())
	}
	failed := 0
	for i, health := range []byte(status[2]) {
		if health != 'D' {
			continue
		}
		failed++
		legs[2*i], legs[2*i+1] = "-", "-"
	}
	if failed == len(legs)/2 {
		n.refuse(instead, "%s (%s): all of its disks have failed", n.layer.Map.Name, n.node())
	} else if failed > 0 {
		n.warn("%d of the %d disks of %s (%s) have failed: a dump is saved on the others", failed, len(legs)/2, n.layer.Map.Name, n.node())
	}
	row.Args = strings.Join(words, " ")
	return row
}

// raidLegs is the end of the arguments of a raid target: the devices, two for each leg. It is a part of words.
func raidLegs(words []string) ([]string, bool) {
	if len(words) < 2 {
		return nil, false
	}
	params, err := strconv.ParseUint(words[1], 10, 16)
	at := 2 + int(params)
	if err != nil || at >= len(words) {
		return nil, false
	}
	count, err := strconv.ParseUint(words[at], 10, 16)
	if legs := words[at+1:]; err == nil && count > 0 && len(legs) == 2*int(count) {
		return legs, true
	}
	return nil, false
}

// snapshotState reads USED/TOTAL META in sectors (drivers/md/dm-snap.c, snapshot_status): what is written to the
// snapshot or, for the first time, to its origin takes space there; when it is full, the snapshot is lost.
func (w *walk) snapshotState(n *node, status []string) {
	used, total, ok := strings.Cut(strings.Join(status[:min(1, len(status))], ""), "/")
	if !ok {
		n.refuse("remove the snapshot: lvremove", "the snapshot %s (%s) can't be used any more: %s", n.layer.Map.Name, n.node(), strings.Join(status, " "))
		return
	}
	u, err := strconv.ParseInt(used, 10, 53)
	t, err2 := strconv.ParseInt(total, 10, 53)
	if err != nil || err2 != nil || u > t {
		n.refuse("take another target", "the snapshot %s (%s) is in a state that is not known: %s", n.layer.Map.Name, n.node(), strings.Join(status, " "))
		return
	}
	n.room = max((t-u)*512, 1)
	n.warn("the snapshot %s has room for %d MB of changes: a dump that changes more makes it invalid; lvextend gives it more", n.layer.Map.Name, n.room>>20)
}

// poolState reads ID META/META USED/TOTAL HELD MODE ... (drivers/md/dm-thin.c, pool_status), in blocks; the second
// argument but one is their size in sectors.
func (w *walk) poolState(n *node, row stack.Row, status []string) {
	const instead = "repair the pool (lvconvert --repair), or make it larger (lvextend)"
	name := n.layer.Map.Name
	if len(status) < 5 {
		n.refuse(instead, "the thin pool %s (%s) has failed: %s", name, n.node(), strings.Join(status, " "))
		return
	}
	for _, word := range status[5:] {
		if word == "needs_check" {
			n.refuse(instead, "the thin pool %s (%s) needs a check", name, n.node())
		}
	}
	if status[4] != "rw" {
		n.refuse(instead, "the thin pool %s (%s) takes no new data: it is %s", name, n.node(), status[4])
	}
	words := strings.Fields(row.Args)
	used, total, ok := strings.Cut(status[2], "/")
	if !ok || len(words) < 3 {
		n.refuse(instead, "the thin pool %s (%s) is in a state that is not known: %s", name, n.node(), strings.Join(status, " "))
		return
	}
	u, err := strconv.ParseInt(used, 10, 40)
	t, err2 := strconv.ParseInt(total, 10, 40)
	block, err3 := strconv.ParseInt(words[2], 10, 22)
	if err != nil || err2 != nil || err3 != nil || u > t {
		n.refuse(instead, "the thin pool %s (%s) is in a state that is not known: %s", name, n.node(), strings.Join(status, " "))
		return
	}
	if n.room = (t - u) * block * 512; n.room == 0 {
		n.refuse(instead, "the thin pool %s (%s) is full", name, n.node())
	}
}
