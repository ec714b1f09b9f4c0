package stack

import (
	"slices"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/disktest"
)

// testGroup has volumes of each kind that is put together of others.
func testGroup() *disktest.VolumeGroup {
	id := disktest.LVMID
	v := func(name string, hidden bool, segments ...string) disktest.Volume {
		return disktest.Volume{Name: name, ID: id(strings.ReplaceAll(name, "_", "0")), Hidden: hidden, Segments: segments}
	}
	return &disktest.VolumeGroup{
		Name: "vg", ID: id("vg"), Seqno: 7, Extent: 8192, Start: 2048,
		Disks: []string{id("pv0"), id("pv1"), id("pv2")},
		Volumes: []disktest.Volume{
			v("var", false, disktest.Linear(0, 4, "pv0", 0), disktest.Linear(4, 2, "pv1", 8)),
			v("other", false, disktest.Linear(0, 4, "pv0", 10)),
			v("r", false, disktest.Segment(3, "raid1", "device_count = 2", "region_size = 4096", "\nraids = [", `"r_rmeta_0",`, `"r_rimage_0",`, `"r_rmeta_1",`, `"r_rimage_1"`, "]")),
			v("r_rmeta_0", true, disktest.Linear(0, 1, "pv0", 20)),
			v("r_rimage_0", true, disktest.Linear(0, 3, "pv0", 21)),
			v("r_rmeta_1", true, disktest.Linear(0, 1, "pv1", 20)),
			v("r_rimage_1", true, disktest.Linear(0, 3, "pv1", 21)),
			v("org", false, disktest.Linear(0, 4, "pv0", 30)),
			v("snap", false, disktest.Linear(0, 1, "pv1", 30)),
			v("snapshot0", true, disktest.Segment(4, "snapshot", "chunk_size = 8", `origin = "org"`, `cow_store = "snap"`)),
			v("pool", false, disktest.Segment(4, "thin-pool", `metadata = "pool_tmeta"`, `pool = "pool_tdata"`, "transaction_id = 3", "chunk_size = 128", `discards = "passdown"`)),
			v("pool_tmeta", true, disktest.Linear(0, 1, "pv1", 40)),
			v("pool_tdata", true, disktest.Linear(0, 4, "pv1", 41)),
			v("thin", false, disktest.Segment(9, "thin", `thin_pool = "pool"`, "transaction_id = 1", "device_id = 1", `origin = "gold"`)),
			v("gold", false, disktest.Segment(9, "thin", `thin_pool = "pool"`, "transaction_id = 0", "device_id = 2")),
		},
	}
}

// smallGroup has one volume.
func smallGroup() *disktest.VolumeGroup {
	g := testGroup()
	g.Disks, g.Volumes = g.Disks[:2], g.Volumes[:1]
	return g
}

// replace changes the segments of a volume of a group.
func replace(g *disktest.VolumeGroup, name, old, new string) {
	for i := range g.Volumes {
		v := &g.Volumes[i]
		if v.Name != name {
			continue
		}
		for n, s := range v.Segments {
			v.Segments[n] = strings.ReplaceAll(s, old, new)
			if v.Segments[n] != s {
				return
			}
		}
	}
	panic(name + " has no " + old)
}

func without(g *disktest.VolumeGroup, name string) {
	g.Volumes = slices.DeleteFunc(g.Volumes, func(v disktest.Volume) bool { return v.Name == name })
}

var unrelated, ours = true, false

// A change of the metadata matters if it is of a volume of the stack.
func TestGroupDigest(t *testing.T) {
	id := disktest.LVMID
	for _, tt := range []struct {
		name, volumes string
		same          bool
		change        func(g *disktest.VolumeGroup)
	}{
		{"only the count of changes", "var r", unrelated, func(g *disktest.VolumeGroup) { g.Seqno = 99 }},
		{"another volume is made", "var", unrelated, func(g *disktest.VolumeGroup) {
			g.Volumes = slices.Insert(g.Volumes, 0, disktest.Volume{Name: "new", ID: id("new"), Segments: []string{disktest.Linear(0, 1, "pv0", 80)}})
		}},
		{"another volume is removed", "var", unrelated, func(g *disktest.VolumeGroup) { without(g, "other") }},
		{"another volume is grown", "var", unrelated, func(g *disktest.VolumeGroup) { replace(g, "other", "extent_count = 4", "extent_count = 5") }},
		{"a snapshot of another volume", "var", unrelated, func(g *disktest.VolumeGroup) { replace(g, "snapshot0", `"org"`, `"other"`) }},
		{"renamed", "var", unrelated, func(g *disktest.VolumeGroup) { g.Volumes[0].Name = "old"; g.Name = "group" }},
		{"a leg is renamed", "r r0rimage00", unrelated, func(g *disktest.VolumeGroup) {
			replace(g, "r", "r_rimage_0", "q_rimage_0")
			g.Volumes[slices.IndexFunc(g.Volumes, func(v disktest.Volume) bool { return v.Name == "r_rimage_0" })].Name = "q_rimage_0"
		}},
		{"a physical volume is added before the others", "var", unrelated, func(g *disktest.VolumeGroup) {
			g.Disks = slices.Insert(g.Disks, 0, id("pv9"))
			for _, name := range []string{"pv1", "pv0"} {
				for i := range g.Volumes {
					for n, s := range g.Volumes[i].Segments {
						g.Volumes[i].Segments[n] = strings.ReplaceAll(s, `"`+name+`"`, `"pv`+string(name[2]+1)+`"`)
					}
				}
			}
		}},
		{"a volume with the name of a type", "var", unrelated, func(g *disktest.VolumeGroup) {
			g.Volumes = append(g.Volumes, disktest.Volume{Name: "striped", ID: id("striped"), Segments: []string{disktest.Linear(0, 1, "pv0", 80)}})
		}},
		{"a volume with the name of a disk", "var", unrelated, func(g *disktest.VolumeGroup) {
			g.Volumes = append(g.Volumes, disktest.Volume{Name: "pv0", ID: id("evil"), Segments: []string{disktest.Linear(0, 1, "pv0", 80)}})
		}},
		{"a thin volume is made in the pool", "pool pool0tdata pool0tmeta thin", unrelated, func(g *disktest.VolumeGroup) {
			replace(g, "pool", "transaction_id = 3", "transaction_id = 4\nmessage1 {\ncreate = \"new\"\n}")
		}},
		{"what a thin volume is a snapshot of is removed", "thin", unrelated, func(g *disktest.VolumeGroup) {
			without(g, "gold")
			replace(g, "thin", "\norigin = \"gold\"", "")
		}},
		{"a thin volume is another", "thin", ours, func(g *disktest.VolumeGroup) { replace(g, "thin", "device_id = 1", "device_id = 7") }},
		{"the pool is extended", "pool pool0tdata", ours, func(g *disktest.VolumeGroup) { replace(g, "pool_tdata", "extent_count = 4", "extent_count = 8") }},
		{"moved to another disk", "var", ours, func(g *disktest.VolumeGroup) { replace(g, "var", `"pv0", 0`, `"pv2", 0`) }},
		{"moved on its disk", "var", ours, func(g *disktest.VolumeGroup) { replace(g, "var", `"pv1", 8`, `"pv1", 9`) }},
		{"being moved", "var", ours, func(g *disktest.VolumeGroup) {
			g.Volumes = append(g.Volumes, disktest.Volume{Name: "pvmove0", ID: id("pvmove0"), Segments: []string{disktest.Segment(4, "mirror", "mirror_count = 2", "mirrors = [", `"pv0", 0,`, `"pv2", 0`, "]")}})
			replace(g, "var", `"pv0", 0`, `"pvmove0", 0`)
		}},
		{"grown", "var", ours, func(g *disktest.VolumeGroup) {
			g.Volumes[0].Segments = append(g.Volumes[0].Segments, disktest.Linear(6, 1, "pv2", 0))
		}},
		{"shrunk", "var", ours, func(g *disktest.VolumeGroup) { g.Volumes[0].Segments = g.Volumes[0].Segments[:1] }},
		{"a leg is moved", "r r0rimage00 r0rmeta00", ours, func(g *disktest.VolumeGroup) { replace(g, "r_rimage_0", `"pv0", 21`, `"pv2", 21`) }},
		{"a mirror is split", "r r0rimage00 r0rmeta00", ours, func(g *disktest.VolumeGroup) { replace(g, "r", "device_count = 2", "device_count = 1") }},
		{"gone", "var r", ours, func(g *disktest.VolumeGroup) { without(g, "var") }},
		{"made again where it was", "var", ours, func(g *disktest.VolumeGroup) { g.Volumes[0].ID = id("new") }},
		{"a snapshot is made", "var", ours, func(g *disktest.VolumeGroup) {
			g.Volumes = append(g.Volumes,
				disktest.Volume{Name: "s", ID: id("s"), Segments: []string{disktest.Linear(0, 1, "pv1", 90)}},
				disktest.Volume{Name: "snapshot1", ID: id("snapshot1"), Segments: []string{disktest.Segment(6, "snapshot", "chunk_size = 8", `origin = "var"`, `cow_store = "s"`)}})
		}},
		{"a snapshot is removed", "org", ours, func(g *disktest.VolumeGroup) { without(g, "snap"); without(g, "snapshot0") }},
		{"a snapshot is extended", "org snap", ours, func(g *disktest.VolumeGroup) { replace(g, "snap", "extent_count = 1", "extent_count = 2") }},
		{"a snapshot is merged", "org snap", ours, func(g *disktest.VolumeGroup) { replace(g, "snapshot0", "cow_store", "merging_store") }},
		{"hidden", "var", ours, func(g *disktest.VolumeGroup) { g.Volumes[0].Hidden = true }},
		{"the extents begin elsewhere", "var", ours, func(g *disktest.VolumeGroup) { g.Start = 4096 }},
		{"extents of another size", "var", ours, func(g *disktest.VolumeGroup) { g.Extent = 4096 }},
		{"a disk is another", "var", ours, func(g *disktest.VolumeGroup) { g.Disks[1] = id("new") }},
		{"a disk that is not used is another", "var", unrelated, func(g *disktest.VolumeGroup) { g.Disks[2] = id("new") }},
	} {
		var ids []string
		for name := range strings.FieldsSeq(tt.volumes) {
			ids = append(ids, id(name))
		}
		slices.Sort(ids)
		sum := func(g *disktest.VolumeGroup) (string, int) {
			parsed, err := parseVolumeGroup(g.Text())
			if err != nil {
				t.Fatalf("%s: %v\n%s", tt.name, err, g.Text())
			}
			sum, gone, err := parsed.digest(ids)
			if err != nil || len(sum) != volumesSize {
				t.Fatalf("%s: digest %q, %v", tt.name, sum, err)
			}
			return sum, len(gone)
		}
		before, gone := sum(testGroup())
		if gone != 0 {
			t.Errorf("%s: %d volumes are not there", tt.name, gone)
		}
		g := testGroup()
		tt.change(g)
		if after, gone := sum(g); (after == before) != tt.same || (gone > 0) != (tt.name == "gone" || tt.name == "made again where it was") {
			t.Errorf("%s: the same: %v, gone: %d; want %v", tt.name, after == before, gone, tt.same)
		}
	}
}

func TestParseVolumeGroupRefuses(t *testing.T) {
	text := testGroup().Text()
	for _, tt := range [][3]string{
		{"Text Format Volume Group", "Text", `contents "Text"`},
		{"version = 1", "version = 2", "version 2"},
		{"# Generated", "x { }\n#", "2 sections"},
		{"seqno = 7", "seqno = \"7\"", "no seqno"},
		{"seqno = 7", "seqno = -7", "no seqno"},
		{"extent_size", "extents", "no extent_size"},
		{disktest.LVMID("vg")[26:] + `"`, `"`, "is no UUID"},
		{"pe_start = 2048", "", "no pe_start"},
		{"physical_volumes {", "physical_volumes {\nx = 1\n", "physical volume x"},
		{"logical_volumes {", "logical_volumes {\nx = 1\n", "logical volume x"},
		{lvmUUID(disktest.LVMID("other")), lvmUUID(disktest.LVMID("var")), "it is that of another"},
	} {
		changed := strings.Replace(text, tt[0], tt[1], 1)
		if g, err := parseVolumeGroup(changed); changed == text || err == nil || !strings.Contains(err.Error(), tt[2]) {
			t.Errorf("%q instead of %q: %v, %v; want an error with %q", tt[1], tt[0], g != nil, err, tt[2])
		}
	}
	g := testGroup()
	replace(g, "var", `"pv0"`, `"pv7"`)
	parsed, err := parseVolumeGroup(g.Text())
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := parsed.digest([]string{disktest.LVMID("var")}); err == nil || !strings.Contains(err.Error(), `stripes of "pv7"`) {
		t.Errorf("a segment on no disk: %v", err)
	}
}
