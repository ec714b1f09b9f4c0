package stack

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"
)

// bound is a target of a map that bounds what can be written to a stack.
type bound struct {
	name string // the map's
	row  int
	// block is that of a thin pool, in sectors; 0 for a snapshot.
	block uint64
}

// watch notes what of a map bounds the room, and refuses a thin pool that can't be written to.
func (r *assembly) watch(m *Map, table []Row) error {
	for n, row := range table {
		switch row.Type {
		case "snapshot", "snapshot-merge":
			r.rooms = append(r.rooms, bound{name: m.Name, row: n})
		case "thin-pool":
			block, err := PoolBlock(row)
			if err != nil {
				return err
			}
			r.rooms = append(r.rooms, bound{m.Name, n, block})
			status, err := r.status(r.rooms[len(r.rooms)-1])
			if err != nil {
				return err
			}
			p, err := ParsePoolStatus(status)
			switch {
			case err != nil:
				return err
			case p.Mode != "rw":
				return fmt.Errorf("the thin pool is in mode %s; want rw", p.Mode)
			case p.NeedsCheck:
				return errors.New("the thin pool needs a check (thin_check)")
			case p.Room(block) == 0:
				return errors.New("the thin pool is full")
			}
		}
	}
	return nil
}

// PoolBlock is the size of a thin pool's blocks, in sectors: the word after its two devices.
func PoolBlock(row Row) (uint64, error) {
	words := strings.Fields(row.Args)
	if len(words) < 3 {
		return 0, fmt.Errorf("table of a thin pool of %d words; want at least 3", len(words))
	}
	block, err := strconv.ParseUint(words[2], 10, 22)
	if err != nil || block == 0 {
		return 0, fmt.Errorf("blocks of a thin pool of %.40q sectors", words[2])
	}
	return block, nil
}

// status is what a target says of itself.
func (r *assembly) status(b bound) (string, error) {
	rows, err := r.sys.Status(b.name)
	if err != nil {
		return "", fmt.Errorf("status: %w", err)
	}
	if b.row >= len(rows) {
		return "", fmt.Errorf("status of %d targets; want more than %d", len(rows), b.row)
	}
	return rows[b.row].Args, nil
}

// Room is how much can be written to the stack now, in bytes, whatever its filesystem has free: the least of what its
// thin pools have, and what its snapshots may take up before they are invalid. It is bounded by nothing if there are
// none.
func (x *Assembled) Room() (room int64, bounded bool, err error) {
	room = math.MaxInt64
	for _, b := range x.assembly.rooms {
		n, counts, err := x.assembly.room(b)
		if err != nil {
			return 0, true, fmt.Errorf("map %s: %w", b.name, err)
		}
		if counts {
			room, bounded = min(room, n), true
		}
	}
	if !bounded {
		room = 0
	}
	return room, bounded, nil
}

// room is that of one target, and whether it bounds anything.
func (r *assembly) room(b bound) (int64, bool, error) {
	status, err := r.status(b)
	if err != nil {
		return 0, false, err
	}
	if b.block == 0 {
		return SnapshotRoom(status)
	}
	p, err := ParsePoolStatus(status)
	return p.Room(b.block), true, err
}

// PoolStatus is what a thin pool says of itself (drivers/md/dm-thin.c, pool_status).
type PoolStatus struct {
	Mode                                     string // rw, ro, out_of_data_space, Fail
	NeedsCheck                               bool
	metaUsed, metaTotal, dataUsed, dataTotal uint64 // blocks
}

// ParsePoolStatus reads TRANSACTION USED/TOTAL USED/TOTAL HELD MODE ..., of metadata and of data; or Fail.
func ParsePoolStatus(text string) (PoolStatus, error) {
	f := strings.Fields(text)
	if len(f) == 1 && (f[0] == "Fail" || f[0] == "Error") {
		return PoolStatus{Mode: f[0]}, nil
	}
	if len(f) < 5 {
		return PoolStatus{}, fmt.Errorf("status of a thin pool %.200q: want at least 5 words", text)
	}
	p := PoolStatus{Mode: f[4]}
	for _, word := range f[5:] {
		p.NeedsCheck = p.NeedsCheck || word == "needs_check"
	}
	var err1, err2 error
	p.metaUsed, p.metaTotal, err1 = fraction(f[1])
	p.dataUsed, p.dataTotal, err2 = fraction(f[2])
	if err := errors.Join(err1, err2); err != nil {
		return PoolStatus{}, fmt.Errorf("status of a thin pool %.200q: %w", text, err)
	}
	return p, nil
}

// perMetadataBlock is how many blocks of data a block of metadata describes at the very least: half of what a leaf of
// the tree of mappings holds, and half again for what else there is in it (drivers/md/persistent-data/dm-btree.c).
const perMetadataBlock = 60

// Room is how much more can be written, in bytes, in blocks of so many sectors.
func (p PoolStatus) Room(block uint64) int64 {
	if p.Mode != "rw" {
		return 0
	}
	described := saturated(p.metaTotal-p.metaUsed, perMetadataBlock)
	return int64(min(saturated(min(p.dataTotal-p.dataUsed, described), block*sectorSize), math.MaxInt64))
}

// SnapshotRoom reads the status of a snapshot (drivers/md/dm-snap.c, snapshot_status): USED/TOTAL METADATA, in
// sectors, or a word if it is invalid or merging has failed; then there is nothing left to spoil. A tenth is kept for
// the metadata of what is written.
func SnapshotRoom(text string) (int64, bool, error) {
	switch text {
	case "Invalid", "Overflow", "Merge failed":
		return 0, false, nil
	}
	first, _, _ := strings.Cut(text, " ")
	used, total, err := fraction(first)
	if err != nil {
		return 0, false, fmt.Errorf("status of a snapshot %.200q: %w", text, err)
	}
	free := min(saturated(total-used, sectorSize), math.MaxInt64)
	return int64(free - free/10 - min(free%10, 1)), true, nil
}

// fraction reads USED/TOTAL.
func fraction(word string) (used, total uint64, err error) {
	a, b, found := strings.Cut(word, "/")
	used, err1 := strconv.ParseUint(a, 10, 64)
	total, err2 := strconv.ParseUint(b, 10, 64)
	if !found || err1 != nil || err2 != nil || used > total {
		return 0, 0, fmt.Errorf("%.40q is no USED/TOTAL", word)
	}
	return used, total, nil
}

// saturated multiplies.
func saturated(a, b uint64) uint64 {
	if high, low := bits.Mul64(a, b); high == 0 {
		return low
	}
	return math.MaxUint64
}
