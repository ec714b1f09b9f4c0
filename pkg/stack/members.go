package stack

import (
	"errors"
	"fmt"
	"slices"
)

// errMissing is wrapped where an array or a mirror cannot be started without a member that may still appear.
var errMissing = errors.New("a member is missing")

// levelName spells a level as /sys/block/mdX/md/level does.
func levelName(level int32) string {
	if level == levelLinear {
		return "linear"
	}
	return fmt.Sprintf("raid%d", level)
}

// RefusedArray tells why an md array cannot be assembled in the capture kernel, and what to do instead; "" if it can. It is
// told what /sys/block/mdX/md has in metadata_version, level and consistency_policy (Documentation/admin-guide/md.rst).
func RefusedArray(metadata, level, policy string) (why, instead string) {
	switch metadata {
	case "0.90", "1.0", "1.1", "1.2":
	case "none":
		return "its members have no superblocks, so they could not be told from others", elsewhere
	default: // external:imsm, external:ddf, external:/mdN/I
		return fmt.Sprintf("its metadata (%s) is kept by a program, mdmon", metadata), elsewhere
	}
	switch level {
	case "raid0", "raid1", "raid4", "raid5", "raid6", "raid10", "linear":
	default:
		return fmt.Sprintf("it is of level %s, which was never tried in a capture kernel", level), elsewhere
	}
	switch policy {
	case "journal":
		return "it has a write journal", elsewhere
	case "ppl":
		return "it has a partial parity log (ppl)", "change its consistency policy (mdadm --grow --consistency-policy=resync), or " + elsewhere
	}
	return "", ""
}

// startable decides about the start of an array, from the superblocks of those recorded members that are there. It
// lists those to start it with, by their indices in blocks; the kernel is to see no others. The array is degraded
// if a disk of it is missing or is not in sync, and dirty if writes were under way when its machine stopped.
//
// The kernel starts what it is given: a member alone that the array had thrown out long ago begins a new history,
// of which mdadm believes later that it is the newer one. So what the newest superblock says counts, and nothing is
// started unless all members are there that it calls active: the same, then, as before the crash. A member counts
// if it has the newest event count or one less (the kernel writes them one after the other), and its own
// superblock agrees about its place.
func startable(a *Array, blocks []superblock) (use []int, degraded, dirty bool, err error) {
	fail := func(err error) ([]int, bool, bool, error) {
		return nil, false, false, fmt.Errorf("array %s: %w", a.UUID, err)
	}
	newest, dirty, err := newestOf(blocks)
	if err != nil {
		return fail(err)
	}
	if err := newest.matches(a); err != nil {
		return fail(err)
	}
	for i := range blocks {
		if b := &blocks[i]; b.set() != newest.set() || b.metadata != newest.metadata {
			return fail(fmt.Errorf("member %s is of array %s, %s", b.device(), b.set(), b.metadata))
		}
	}
	found := make([]int, newest.disks)
	synced := make([]bool, newest.disks)
	for i := range blocks {
		b := &blocks[i]
		place, ok := newest.counts(b)
		if !ok {
			continue
		}
		if err := newest.like(b); err != nil {
			return fail(err)
		}
		for _, j := range use {
			if err := distinct(&blocks[j], b); err != nil {
				return fail(err)
			}
		}
		use = append(use, i)
		found[place]++
		synced[place] = synced[place] || !b.recovering
	}
	for place, holders := range newest.holders() {
		// Which of several is the one in sync is not known unless it is there.
		if holders > 0 && !synced[place] && found[place] < holders {
			return fail(fmt.Errorf("%w: the newest superblock (events %d) calls disk %d active, and it is not there, or stale", errMissing, newest.events, place))
		}
	}
	for i := range blocks {
		if !slices.Contains(use, i) {
			if err := newest.diverged(&blocks[i]); err != nil {
				return fail(err)
			}
		}
	}
	if err := enough(newest.level, newest.layout, synced); err != nil {
		return fail(err)
	}
	// raid0 and linear have nothing that could differ.
	return use, slices.Contains(synced, false), dirty && newest.level >= 1, nil
}

// newestOf returns the superblock that the array's state is in, and whether writes were under way.
//
// Several have the highest event count, as a rule. Where they differ, a member that failed while it was marked
// clean, which counts events down, may have as many as those that went on without it: then those that know of fewer
// active members are right, unless each side calls the other one failed.
func newestOf(blocks []superblock) (newest *superblock, dirty bool, err error) {
	if len(blocks) == 0 {
		return nil, false, fmt.Errorf("%w: there is none", errMissing)
	}
	active := func(s *superblock) []bool {
		list := make([]bool, s.disks)
		for place, n := range s.holders() {
			list[place] = n > 0
		}
		return list
	}
	fewer := func(s, than *superblock) bool {
		if s.disks != than.disks {
			return false
		}
		b := active(than)
		for place, ok := range active(s) {
			if ok && !b[place] {
				return false
			}
		}
		return true
	}
	for i := range blocks {
		b := &blocks[i]
		if newest == nil || b.events > newest.events || b.events == newest.events && fewer(b, newest) && !fewer(newest, b) {
			newest = b
		}
	}
	for i := range blocks {
		b := &blocks[i]
		if b.events != newest.events {
			continue
		}
		dirty = dirty || !b.clean
		if !fewer(newest, b) {
			return nil, false, fmt.Errorf("members %s and %s have as many events (%d), but do not agree who is active", newest.device(), b.device(), b.events)
		}
		if !fewer(b, newest) {
			continue
		}
		for number := range max(len(b.roles), len(newest.roles)) {
			p, ok := newest.place(number)
			if q, also := b.place(number); ok != also || ok && p != q {
				return nil, false, fmt.Errorf("members %s and %s have as many events (%d), but do not agree who is disk %d", newest.device(), b.device(), b.events, min(p, q))
			}
		}
	}
	return newest, dirty, nil
}

// matches compares with what was recorded.
func (s *superblock) matches(a *Array) error {
	switch {
	case s.set() != a.UUID:
		return fmt.Errorf("a member of array %s", s.set())
	case s.metadata != a.Metadata:
		return fmt.Errorf("metadata %s; %s was recorded", s.metadata, a.Metadata)
	case levelName(s.level) != a.Level:
		return fmt.Errorf("level %s; %s was recorded", levelName(s.level), a.Level)
	case s.disks != a.Disks:
		return fmt.Errorf("%d disks; %d were recorded", s.disks, a.Disks)
	}
	return nil
}

// counts tells whether a member is one that the array goes on with, in the view of the newest superblock, and its place.
func (s *superblock) counts(b *superblock) (place int, ok bool) {
	if b.events > s.events || s.events-b.events > 1 {
		return 0, false
	}
	place, ok = s.place(b.number)
	own, known := b.place(b.number)
	return place, ok && known && own == place
}

// like compares what super_1_load compares, and more, of members that belong together.
func (s *superblock) like(b *superblock) error {
	if b.level != s.level || b.layout != s.layout || b.chunk != s.chunk || b.disks != s.disks {
		return fmt.Errorf("members %s and %s do not agree: %s of %d disks, layout %#x, chunks of %d sectors; %s of %d, %#x, %d",
			s.device(), b.device(), levelName(s.level), s.disks, s.layout, s.chunk, levelName(b.level), b.disks, b.layout, b.chunk)
	}
	return nil
}

// distinct refuses two devices that say to be the same member, such as the two paths of a disk, or a copy of one.
func distinct(a, b *superblock) error {
	p, _ := a.place(a.number)
	q, _ := b.place(b.number)
	switch {
	case a.number == b.number || a.member != "" && a.member == b.member:
		return fmt.Errorf("two devices are member %s", a.device())
	case p == q && !a.recovering && !b.recovering && !a.replacement && !b.replacement:
		return fmt.Errorf("members %s and %s are both disk %d", a.device(), b.device(), p)
	}
	return nil
}

// diverged refuses an array that went on in two ways: a member that is not used was active, without one that is.
func (s *superblock) diverged(b *superblock) error {
	own, ok := b.place(b.number)
	if !ok || b.disks != s.disks {
		return nil
	}
	theirs := b.holders()
	for place, n := range s.holders() {
		if n > 0 && theirs[place] == 0 && place != own {
			return fmt.Errorf("member %s was active without disk %d, which the newest superblock calls active: which is right?", b.device(), place)
		}
	}
	return nil
}

// enough tells whether all data is there with the disks that are in sync: the tests of raid0_run, raid1_run,
// setup_conf of raid5.c, and _enough of raid10.c. Device mapper's arrays have the same levels and layouts.
func enough(level int32, layout uint32, synced []bool) error {
	missing := 0
	for _, ok := range synced {
		if !ok {
			missing++
		}
	}
	most := 0
	switch level {
	case levelLinear, 0:
	case 1:
		most = len(synced) - 1
	case 4, 5:
		most = 1
	case 6:
		most = 2
	case 10:
		near, far := int(layout&0xff), int(layout>>8&0xff)
		if near < 1 || far < 1 || near*far > len(synced) || layout>>19 != 0 {
			return fmt.Errorf("layout %#x of a raid10 of %d disks", layout, len(synced))
		}
		if far > 1 {
			// Every chunk has this many copies, on as many disks.
			most = near*far - 1
			break
		}
		for first := 0; ; {
			if !slices.Contains(copies(synced, first, near), true) {
				return fmt.Errorf("%w: all copies of a part of the raid10", errMissing)
			}
			if first = (first + near) % len(synced); first == 0 {
				return nil
			}
		}
	default:
		return fmt.Errorf("level %d", level)
	}
	if missing > most {
		return fmt.Errorf("%w: %d of the %d disks of a %s are missing or not in sync; at most %d may be", errMissing, missing, len(synced), levelName(level), most)
	}
	return nil
}

// copies are the next n disks, from first on.
func copies(disks []bool, first, n int) []bool {
	list := make([]bool, n)
	for i := range list {
		list[i] = disks[(first+i)%len(disks)]
	}
	return list
}
