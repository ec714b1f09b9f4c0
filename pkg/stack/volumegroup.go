package stack

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// volumeGroup is one of LVM, as a metadata area describes it (lvm2: lib/format_text/export.c).
type volumeGroup struct {
	text  string
	name  string
	id    string // 32 characters
	seqno int64  // counts changes
	// extent is the size of extents, in sectors.
	extent int64
	// volumes are the logical volumes by their IDs, and ids these by the names; disks are the physical volumes by their
	// names in the text, pv0 and so on.
	volumes map[string]*lvmSection
	ids     map[string]string
	disks   map[string]groupDisk
}

// groupDisk is a physical volume of a group.
type groupDisk struct {
	id    string // 32 characters
	start int64  // of its first extent, in sectors
}

// parseVolumeGroup reads the text of a metadata area.
func parseVolumeGroup(text string) (*volumeGroup, error) {
	root, err := parseLVMText(text)
	if err != nil {
		return nil, fmt.Errorf("metadata of a volume group: %w", err)
	}
	g := &volumeGroup{text: text, volumes: map[string]*lvmSection{}, ids: map[string]string{}, disks: map[string]groupDisk{}}
	version, _ := root.number("version")
	if contents := root.text("contents"); contents != "Text Format Volume Group" || version != 1 {
		return nil, fmt.Errorf("metadata of a volume group: contents %.80q, version %d", contents, version)
	}
	groups := 0
	for _, e := range root.entries {
		if e.section != nil {
			groups++
			g.name, err = e.name, errors.Join(err, g.read(e.section))
		}
	}
	if groups != 1 {
		err = fmt.Errorf("%d sections; want one", groups)
	}
	if err != nil {
		return nil, fmt.Errorf("metadata of the volume group %.128s: %w", g.name, err)
	}
	return g, nil
}

func (g *volumeGroup) read(s *lvmSection) (err error) {
	var err2 error
	g.seqno, err = s.number("seqno")
	g.extent, err2 = s.number("extent_size")
	if err = errors.Join(err, err2); err != nil {
		return err
	}
	if g.id = lvmID(s.text("id")); g.id == "" {
		return fmt.Errorf("%.80q is no UUID", s.text("id"))
	}
	for _, e := range s.section("physical_volumes").entries {
		if e.section == nil {
			return fmt.Errorf("physical volume %.128s: it is no section", e.name)
		}
		d := groupDisk{id: lvmID(e.section.text("id"))}
		if d.start, err = e.section.number("pe_start"); err != nil || d.id == "" {
			return fmt.Errorf("physical volume %.128s: UUID %.80q, start of extents: %w", e.name, e.section.text("id"), err)
		}
		g.disks[e.name] = d
	}
	for _, e := range s.section("logical_volumes").entries {
		if e.section == nil {
			return fmt.Errorf("logical volume %.128s: it is no section", e.name)
		}
		id := lvmID(e.section.text("id"))
		if id == "" || g.volumes[id] != nil {
			return fmt.Errorf("logical volume %.128s: UUID %.80q, or it is that of another one", e.name, e.section.text("id"))
		}
		g.volumes[id], g.ids[e.name] = e.section, id
	}
	return nil
}

// segments are those of a volume.
func segments(volume *lvmSection) []lvmEntry {
	var all []lvmEntry
	for _, e := range volume.entries {
		if e.section != nil && strings.HasPrefix(e.name, "segment") {
			all = append(all, e)
		}
	}
	return all
}

// snapshots are the sections of the snapshots of volumes. One that is copied on write is described by a volume of its own,
// snapshot0 and so on, which device mapper does not have.
func (g *volumeGroup) snapshots(ids []string) (snapshots []lvmEntry) {
	for _, volume := range g.volumes {
		for _, e := range segments(volume) {
			if t := e.section.text("type"); t != "snapshot" {
				continue
			}
			if slices.Contains(ids, g.ids[e.section.text("origin")]) {
				snapshots = append(snapshots, e)
			}
		}
	}
	return snapshots
}

// digest tells apart what a capture must know of logical volumes: where they are on which disks, and which snapshots
// they have. It knows nothing of other volumes of the group, nor the names of these. ids are sorted; gone are those of
// volumes that the group does not have. An error is for metadata that makes no sense.
func (g *volumeGroup) digest(ids []string) (sum string, gone []string, err error) {
	w := digestWriter{g: g}
	w.print("extent", g.extent)
	for _, id := range ids {
		volume := g.volumes[id]
		if volume == nil {
			gone = append(gone, id)
			w.print("gone", id)
			continue
		}
		w.print("volume", id)
		for _, name := range []string{"status", "flags"} {
			if e := volume.entry(name); e != nil {
				w.out = e.append(w.out)
			}
		}
		for _, e := range segments(volume) {
			w.segment(e)
		}
	}
	var all []string
	for _, e := range g.snapshots(ids) {
		at := len(w.out)
		e.name = "snapshot"
		w.segment(e)
		all = append(all, string(w.out[at:]))
		w.out = w.out[:at]
	}
	slices.Sort(all)
	w.print("snapshots", all)
	slices.SortFunc(w.disks, func(a, b groupDisk) int { return cmp.Compare(a.id, b.id) })
	for _, d := range slices.Compact(w.disks) {
		w.print("disk", d.id, d.start)
	}
	if w.err != nil {
		return "", nil, fmt.Errorf("metadata of the volume group %.128s: %w", g.name, w.err)
	}
	h := sha256.Sum256(w.out)
	return hex.EncodeToString(h[:volumesSize/2]), gone, nil
}

// volumesSize is the length of a digest.
const volumesSize = 32

// digestWriter prints what a digest is of.
type digestWriter struct {
	g     *volumeGroup
	out   []byte
	disks []groupDisk
	err   error
}

func (w *digestWriter) print(args ...any) { w.out = fmt.Appendln(w.out, args...) }

// segment prints a segment of a volume: all of it but what changes while everything stays where it is.
func (w *digestWriter) segment(e lvmEntry) {
	kind := e.section.text("type")
	w.print("segment", e.name)
	for _, e := range e.section.entries {
		if volatile(kind, e.name) {
			continue
		}
		areas := slices.Contains([]string{"stripes", "mirrors", "raids", "raid0_lvs"}, e.name)
		if areas || e.section == nil && namesVolume(e.name) {
			e.values = slices.Clone(e.values)
			for i, v := range e.values {
				if v.isNumber {
					continue
				}
				id, ok := w.identify(v.text, e.name == "stripes" || e.name == "mirrors")
				if !ok && areas {
					w.err = fmt.Errorf("%s of %.128q, which is neither a physical nor a logical volume", e.name, v.text)
				}
				e.values[i].text = id
			}
		}
		w.out = e.append(w.out)
	}
}

// identify returns the ID for a name: of a physical volume, as far as there may be one, or else of a logical volume
// (lvm2: lib/format_text/import_vsn1.c, text_import_areas).
func (w *digestWriter) identify(name string, disks bool) (string, bool) {
	if d, ok := w.g.disks[name]; ok && disks {
		w.disks = append(w.disks, d)
		return "disk " + d.id, true
	}
	if id := w.g.ids[name]; id != "" {
		return "volume " + id, true
	}
	return name, false
}

// namesVolume tells the entries of segments that name a logical volume (lvm2: lib/*/*.c, _*_text_export).
func namesVolume(entry string) bool {
	switch entry {
	case "mirror_log", "origin", "cow_store", "merging_store", "metadata", "pool", "thin_pool", "external_origin", "merge", "data", "meta_dev", "cache_pool", "writecache", "vdo_pool":
		return true
	}
	return false
}

// volatile tells the entries of a segment of a type that change while everything stays where it is: thin volumes
// of the same pool are made and removed (the kernel compares the transactions with its own), and how fast a RAID recovers.
func volatile(kind, entry string) bool {
	switch entry {
	case "transaction_id", "tags", "creation_time", "creation_host", "min_recovery_rate", "max_recovery_rate":
		return true
	case "origin":
		return kind == "thin" // it shares blocks with it, by the kernel's own metadata
	}
	return kind == "thin-pool" && strings.HasPrefix(entry, "message")
}
