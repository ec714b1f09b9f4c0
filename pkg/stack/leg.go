package stack

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// leg is what a leg of a raid target of device mapper says of the array and of itself: struct dm_raid_superblock of
// drivers/md/dm-raid.c, at the beginning of the leg's metadata device, little-endian.
type leg struct {
	place    int // of this leg
	disks    int
	events   uint64
	failed   [4]uint64 // bits: legs that were failed
	level    int32
	layout   uint32
	recovery uint64 // sectors of this leg that are in sync; maxSector: all
}

const (
	legBytes     = 148
	legMagic     = 0x64526d44 // "DmRd"
	legExtended  = 1          // FEATURE_FLAG_SUPPORTS_V190: what follows byte 60 is there
	legReshaping = 1          // SB_FLAG_RESHAPE_ACTIVE
	maxLegs      = 253        // MAX_RAID_DEVICES
	maxLegsOld   = 64
)

// readLeg reads the first sector of a leg's metadata device. The kernel takes metadata without the magic for that of
// a new array, and makes one of it: here that is an error.
func readLeg(meta io.ReaderAt) (leg, error) {
	b := make([]byte, 512)
	if _, err := meta.ReadAt(b, 0); err != nil {
		return leg{}, fmt.Errorf("superblock of dm-raid: %w", err)
	}
	l, err := parseLeg(b)
	if err != nil {
		return leg{}, fmt.Errorf("superblock of dm-raid: %w", err)
	}
	return l, nil
}

func parseLeg(b []byte) (leg, error) {
	u32, u64 := binary.LittleEndian.Uint32, binary.LittleEndian.Uint64
	if u32(b) != legMagic {
		return leg{}, fmt.Errorf("magic %#08x; want %#08x", u32(b), uint32(legMagic))
	}
	if compat := u32(b[4:]); compat&^legExtended != 0 {
		return leg{}, fmt.Errorf("compatible features %#x, which gokexec does not know", compat)
	}
	most := uint32(maxLegsOld)
	extended := u32(b[4:])&legExtended != 0
	if extended {
		most = maxLegs
	}
	if disks, place := u32(b[8:]), u32(b[12:]); disks < 1 || disks > most || place >= disks {
		return leg{}, fmt.Errorf("leg %d of %d; want at most %d", place, disks, most)
	}
	l := leg{
		disks: int(u32(b[8:])), place: int(u32(b[12:])), events: u64(b[16:]), failed: [4]uint64{u64(b[24:])},
		recovery: u64(b[32:]), level: int32(u32(b[48:])), layout: u32(b[52:]),
	}
	if !extended {
		return l, nil
	}
	switch {
	case u32(b[144:]) != 0:
		return leg{}, fmt.Errorf("incompatible features %#x, which gokexec does not know", u32(b[144:]))
	case u32(b[60:])&legReshaping != 0 || u64(b[64:]) != maxSector:
		return leg{}, errors.New("the array is being reshaped")
	}
	for i := range 3 {
		l.failed[1+i] = u64(b[120+8*i:])
	}
	return l, nil
}

func (l *leg) calls(place int) (failed bool) { return l.failed[place/64]>>(place%64)&1 != 0 }

// legsAllowed decides whether a raid target may be made of these legs, in the order of its table; nil is one that is
// missing. (Those of a raid0 without metadata are not asked about: they must all be there.)
//
// The kernel starts with what it is given, a leg that failed long ago as well, and LVM then restores the good legs from
// it. So every missing leg must be one that the newest leg calls failed, and those that it does not call failed must
// be as new as that, or one event older: dm-raid itself does not compare the event counts.
func legsAllowed(legs []*leg) error {
	if len(legs) > maxLegs {
		return fmt.Errorf("%d legs; want at most %d", len(legs), maxLegs)
	}
	var newest *leg
	for _, l := range legs {
		if l != nil && (newest == nil || l.events > newest.events) {
			newest = l
		}
	}
	if newest == nil {
		return fmt.Errorf("%w: there is no leg", errMissing)
	}
	synced := make([]bool, len(legs))
	for i, l := range legs {
		failed := newest.calls(i)
		switch {
		case l == nil && !failed:
			return fmt.Errorf("%w: leg %d, which leg %d, the newest (events %d), does not call failed", errMissing, i, newest.place, newest.events)
		case l == nil:
		case l.place != i || l.disks != len(legs):
			return fmt.Errorf("leg %d of %d is where leg %d of %d is to be", l.place, l.disks, i, len(legs))
		case l.level != newest.level || l.layout != newest.layout:
			return fmt.Errorf("legs %d and %d do not agree: level %d, layout %#x; level %d, layout %#x", newest.place, i, newest.level, newest.layout, l.level, l.layout)
		case l.events == newest.events && l.failed != newest.failed:
			return fmt.Errorf("legs %d and %d have as many events (%d), but do not agree which have failed", newest.place, i, l.events)
		case failed && l.calls(newest.place):
			return fmt.Errorf("legs %d and %d call each other failed: which is right?", newest.place, i)
		case !failed && newest.events-l.events > 1:
			return fmt.Errorf("leg %d is stale (events %d, the newest has %d), but not called failed", i, l.events, newest.events)
		default:
			synced[i] = !failed && l.recovery == maxSector
		}
	}
	return enough(newest.level, newest.layout, synced)
}
