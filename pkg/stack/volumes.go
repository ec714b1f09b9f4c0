package stack

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// tidings are what the physical volumes of a group tell.
type tidings struct {
	*stackGroup
	newest *volumeGroup // of those of the group; nil if there is none
	others []tiding     // physical volumes that are of no group, or of another one
	failed []error
	read   []int // layers
}

type tiding struct {
	layer int
	what  string
}

// add takes what a physical volume says. One that was missing when the group was changed has an older text.
func (t *tidings) add(layer int, pv *physicalVolume, err error) {
	t.read = append(t.read, layer)
	if err != nil {
		t.failed = append(t.failed, err)
		return
	}
	if pv.free {
		t.others = append(t.others, tiding{layer, "belongs to no volume group"})
	}
	for _, text := range pv.texts {
		if t.newest != nil && t.newest.text == text {
			continue
		}
		g, err := parseVolumeGroup(text)
		switch {
		case err != nil:
			t.failed = append(t.failed, err)
		case g.id != t.id:
			t.others = append(t.others, tiding{layer, "belongs to the volume group " + g.name + ", " + lvmUUID(g.id)})
		case t.newest == nil || g.seqno > t.newest.seqno:
			t.newest = g
		}
	}
}

// ErrVolumes is wrapped by what [Stack.RecordVolumes] returns for maps that do not fit the metadata of their group.
var ErrVolumes = errors.New("the volume group's metadata do not fit")

// RecordVolumes notes of each physical volume of LVM below a stack what the metadata of its volume group say of the stack's
// volumes (Content.Volumes), and of those that are made of others what they hold. After a change of the group the tables of
// the stack's maps lead to extents that may be another volume's; what does not concern these volumes does not matter.
// Nothing is noted of a group whose physical volumes have no metadata, or ignore them (pvchange --metadataignore).
//
// open opens the device of a layer. The stack is valid. An error says which group can't be read, or, wrapping
// [ErrVolumes], does not have what was recorded.
func (s *Stack) RecordVolumes(open func(l *Layer) (Device, error)) error {
	for _, g := range s.volumeGroups() {
		t := tidings{stackGroup: g}
		var told []int
		for _, i := range g.disks {
			l := &s.Layers[i]
			pv, err := physicalVolumeOn(l.Name, func() (Device, error) { return open(l) })
			t.add(i, pv, err)
			if err != nil {
				continue
			}
			if l.Disk == nil {
				l.Holds = Content{Type: lvmMember, UUID: lvmUUID(pv.uuid)}
			}
			if len(pv.texts) > 0 && l.holds().Type == lvmMember {
				told = append(told, i)
			}
		}
		if len(t.others) > 0 {
			o := t.others[0]
			return fmt.Errorf("%w: %s %s; %s is of the group %s", ErrVolumes, s.Layers[o.layer].Name, o.what, s.nameVolumes(g, nil), lvmUUID(g.id))
		}
		if t.newest == nil && len(t.failed) > 0 {
			return errors.Join(t.failed...)
		}
		if t.newest == nil {
			continue
		}
		sum, gone, err := t.newest.digest(g.ids)
		if err != nil {
			return err
		}
		if len(gone) > 0 {
			return fmt.Errorf("%w: %s has no %s", ErrVolumes, t.newest.name, s.nameVolumes(g, gone))
		}
		for _, i := range told {
			s.Layers[i].holds().Volumes = sum
		}
	}
	return nil
}

// physicalVolumeOn opens a device and reads it. Errors name it.
func physicalVolumeOn(name string, open func() (Device, error)) (pv *physicalVolume, err error) {
	err = readDevice(open, func(dev io.ReaderAt, size int64) (err error) {
		pv, err = readPhysicalVolume(dev, size)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return pv, nil
}

// nameVolumes names volumes of a group by their maps: all if ids is nil. Those of a RAID, a pool and so on have several maps;
// what is made of them says more.
func (s *Stack) nameVolumes(g *stackGroup, ids []string) string {
	var names, parts []string
	for _, i := range g.maps {
		m := s.Layers[i].Map
		_, id, _ := lvmIDs(m.UUID)
		if ids != nil && !slices.Contains(ids, id) {
			continue
		}
		used := slices.ContainsFunc(g.maps, func(n int) bool { return slices.Contains(s.Layers[n].Uses(), i) })
		if used {
			parts = append(parts, m.Name)
		} else {
			names = append(names, m.Name)
		}
	}
	if len(names) == 0 {
		names = parts
	}
	const most = 4
	if len(names) > most {
		names = append(names[:most:most], "others")
	}
	return strings.Join(names, ", ")
}

// checkHolds looks whether a device that was made holds what was recorded.
func (r *assembly) checkHolds(i int) error {
	l := &r.s.Layers[i]
	if l.Disk != nil || l.Holds.Type == "" {
		return nil
	}
	pv, err := r.physicalVolume(i)
	if err != nil {
		return fmt.Errorf("it holds no %s that can be read, and so %w: %w", l.Holds, ErrChanged, err)
	}
	if id := lvmID(l.Holds.UUID); id != pv.uuid {
		return fmt.Errorf("it holds %s %s; want %s: it %w", lvmMember, lvmUUID(pv.uuid), l.Holds, ErrChanged)
	}
	return nil
}

func (r *assembly) physicalVolume(i int) (*physicalVolume, error) {
	return physicalVolumeOn(r.describe(i), func() (Device, error) { return r.sys.Open(r.layers[i].node) })
}

// checkGroups looks, before a map is made, whether the volumes of its group are where they were, by all physical volumes that
// are there by now.
func (r *assembly) checkGroups(i int) error {
	for _, t := range r.groups {
		if !slices.Contains(t.maps, i) {
			continue
		}
		want := r.s.recorded(t.stackGroup)
		if want == "" {
			return nil
		}
		before := len(t.read)
		for _, n := range t.disks {
			if r.layers[n].node == "" || slices.Contains(t.read, n) {
				continue
			}
			pv, err := r.physicalVolume(n)
			t.add(n, pv, err)
			if err != nil {
				r.say("what a physical volume says of its volume group can't be read: %v", err)
			}
		}
		if len(t.read) == before {
			return nil
		}
		return r.compare(t, want)
	}
	return nil
}

// compare tells why a group is not as it was recorded.
func (r *assembly) compare(t *tidings, want string) error {
	const remedy = "it was changed after the crash kernel was loaded (gokexec reload takes such changes over)"
	if len(t.others) > 0 {
		o := t.others[0]
		return fmt.Errorf("the volume group of %s %w: %s; %s %s now", r.s.nameVolumes(t.stackGroup, nil), ErrChanged, remedy, r.describe(o.layer), o.what)
	}
	if t.newest == nil {
		return fmt.Errorf("the volume group of %s %w: nothing can be read that says where it is: %w", r.s.nameVolumes(t.stackGroup, nil), ErrChanged, errors.Join(t.failed...))
	}
	have, gone, err := t.newest.digest(t.ids)
	fail := func(format string, args ...any) error {
		return fmt.Errorf("the volume group %s %w: %s, and %s", t.newest.name, ErrChanged, remedy, fmt.Sprintf(format, args...))
	}
	switch {
	case err != nil:
		return err
	case have == want:
		return nil
	case len(gone) > 0:
		return fail("%s is gone", r.s.nameVolumes(t.stackGroup, gone))
	}
	for _, e := range t.newest.snapshots(t.ids) {
		for _, store := range []string{e.section.text("cow_store"), e.section.text("merging_store")} {
			if store != "" && !slices.Contains(t.ids, t.newest.ids[store]) {
				return fail("%s has the snapshot %s", r.s.nameVolumes(t.stackGroup, []string{t.newest.ids[e.section.text("origin")]}), store)
			}
		}
	}
	return fail("%s is not where it was, or its snapshots are others", r.s.nameVolumes(t.stackGroup, nil))
}
