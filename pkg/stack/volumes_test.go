package stack

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/disktest"
)

const pvSpace = 20 << 10 // of a physical volume's label and metadata, in bytes

// put writes a label and the metadata of a group to the disks below a layer: none if the text is "".
func (w *world) put(layer int, id, text string) {
	var areas []disktest.MetadataArea
	if text != "" {
		areas = append(areas, disktest.MetadataArea{Start: 4096, Size: pvSpace - 4096, Text: text})
	}
	w.putAreas(layer, id, areas...)
}

func (w *world) putAreas(layer int, id string, areas ...disktest.MetadataArea) {
	b := image(pvSpace, disktest.PhysicalVolume(disktest.LVMID(id), areas...))
	for _, d := range w.below(layer) {
		d.data = map[int64][]byte{0: b}
	}
}

func (w *world) below(layer int) []*fakeDisk {
	l := &w.s.Layers[layer]
	if l.Disk != nil {
		return []*fakeDisk{w.layerDisk(layer)}
	}
	var all []*fakeDisk
	for _, n := range l.Uses() {
		all = append(all, w.below(n)...)
	}
	return all
}

// groupPV is a disk that is a physical volume of that name.
func (w *world) groupPV(id string) int {
	return w.disk(8*mib, Content{Type: lvmMember, UUID: lvmUUID(disktest.LVMID(id))}, nil)
}

// volume is a map of a volume of the group vg.
func (w *world) volume(name, suffix string, size int64, typ, format string, args ...any) int {
	i := w.dm("vg-"+name+suffix, size, typ, format, args...)
	w.s.Layers[i].Map.UUID = "LVM-" + disktest.LVMID("vg") + disktest.LVMID(name) + suffix
	return i
}

// record does what pkg/storage does.
func (w *world) record() error {
	return w.s.RecordVolumes(func(l *Layer) (Device, error) {
		i := slices.IndexFunc(w.s.Layers, func(o Layer) bool { return o.Name == l.Name })
		d := w.below(i)[0]
		return &fakeDevice{w.k, d.number}, nil
	})
}

// recorded is a world with the volume var of testGroup on two disks, recorded.
func recorded(t *testing.T) (w *world, pv0, pv1 int) {
	w = newWorld(t)
	pv0, pv1 = w.groupPV("pv0"), w.groupPV("pv1")
	w.put(pv0, "pv0", testGroup().Text())
	w.put(pv1, "pv1", testGroup().Text())
	w.linear(pv0, pv1)
	return w, pv0, pv1
}

// linear adds var, and records it.
func (w *world) linear(pv0, pv1 int) {
	i := w.volume("var", "", 4*mib, "linear", "@%d 2048", pv0)
	w.s.Layers[i].Map.Table = []Row{{0, 4096, "linear", fmt.Sprintf("@%d 2048", pv0)}, {4096, 4096, "linear", fmt.Sprintf("@%d 2048", pv1)}}
	if err := w.top(i).record(); err != nil {
		w.t.Fatal(err)
	}
	w.top(i)
}

// changed is the text of testGroup after a change.
func changed(change func(g *disktest.VolumeGroup)) string {
	g := testGroup()
	g.Seqno++
	change(g)
	return g.Text()
}

func movedVar(g *disktest.VolumeGroup) { replace(g, "var", `"pv0", 0`, `"pv2", 0`) }
func snapshotVar(g *disktest.VolumeGroup) {
	replace(g, "snapshot0", `"org"`, `"var"`)
	replace(g, "snapshot0", `"snap"`, `"other"`)
}

// A stack whose volumes are not where they were is refused before one of them is made.
func TestAssembleChangedGroup(t *testing.T) {
	both := func(text string) func(w *world, a, b int) {
		return func(w *world, a, b int) { w.put(a, "pv0", text); w.put(b, "pv1", text) }
	}
	one := func(w *world, layer int, id string, change func(b []byte)) {
		d := w.layerDisk(layer)
		b := slices.Clone(d.data[0])
		change(b)
		d.data = map[int64][]byte{0: b}
	}
	damage := func(b []byte) { b[4096+600] ^= 1 }
	ignore := func(id, text string) func(b []byte) {
		return disktest.PhysicalVolume(disktest.LVMID(id), disktest.MetadataArea{Start: 4096, Size: pvSpace - 4096, Text: text, Ignored: true})
	}
	moved, same := changed(movedVar), testGroup().Text()
	for _, tt := range []struct {
		name   string
		change func(w *world, a, b int)
		want   string // "" if it is assembled
	}{
		{"nothing", func(*world, int, int) {}, ""},
		{"an unrelated change", both(changed(func(g *disktest.VolumeGroup) { without(g, "other") })), ""},
		{"moved", both(moved), "the volume group vg is not what was recorded: it was changed after the crash kernel was loaded (gokexec reload takes such changes over), and vg-var is not where it was"},
		{"gone", both(changed(func(g *disktest.VolumeGroup) { without(g, "var") })), "vg-var is gone"},
		{"a snapshot", both(changed(snapshotVar)), "vg-var has the snapshot other"},
		{"moved, which one disk does not know", func(w *world, a, b int) { w.put(b, "pv1", moved) }, "vg-var is not where it was"},
		{"a disk that was away when it was moved to and fro", func(w *world, a, b int) {
			w.put(a, "pv0", moved)
			w.put(b, "pv1", changed(func(g *disktest.VolumeGroup) { g.Seqno++ }))
		}, ""},
		{"a disk of no group now", func(w *world, a, b int) { w.putAreas(a, "pv0", disktest.MetadataArea{Start: 4096, Size: 8192}) }, "the volume group of vg-var is not what was recorded: it was changed after the crash kernel was loaded (gokexec reload takes such changes over); sda (WWID=naa.0000, now /dev/sdz) belongs to no volume group now"},
		{"a disk of another group now", func(w *world, a, b int) {
			w.put(b, "pv1", changed(func(g *disktest.VolumeGroup) { g.Name, g.ID = "new", disktest.LVMID("new") }))
		}, "now /dev/sdy) belongs to the volume group new, "},
		{"one damaged", func(w *world, a, b int) { one(w, a, "pv0", damage) }, ""},
		{"one damaged, moved", func(w *world, a, b int) { both(moved)(w, a, b); one(w, a, "pv0", damage) }, "vg-var is not where it was"},
		{"both damaged", func(w *world, a, b int) { one(w, a, "pv0", damage); one(w, b, "pv1", damage) }, "nothing can be read that says where it is: sda (WWID=naa.0000, now /dev/sdz): metadata area at 4096: text with checksum"},
		{"one ignored", func(w *world, a, b int) { one(w, a, "pv0", ignore("pv0", moved)) }, ""},
		{"both ignored", func(w *world, a, b int) {
			one(w, a, "pv0", ignore("pv0", same))
			one(w, b, "pv1", ignore("pv1", same))
		}, "nothing can be read"},
		{"metadata that make no sense", func(w *world, a, b int) { w.put(a, "pv0", "vg {"); w.put(b, "pv1", "vg {") }, "the end within a section"},
	} {
		bubble(t, tt.name, func(t *testing.T) {
			w, a, b := recorded(t)
			tt.change(w, a, b)
			x, err := w.assemble()
			if tt.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				w.closed(x)
				return
			}
			if !errors.Is(err, ErrChanged) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v; want %q", err, tt.want)
			}
			if slices.ContainsFunc(w.k.calls, func(c string) bool { return strings.HasPrefix(c, "create") }) {
				t.Errorf("a map was made: %v", w.k.calls)
			}
		})
	}
}

// onPaths is a world with a group on two multipath devices, and a volume on each; the second device is made last.
func onPaths(t *testing.T) *world {
	w := newWorld(t)
	first := w.multipath(2)
	w.put(first, "pv0", testGroup().Text())
	a := w.volume("var", "", 4*mib, "linear", "@%d 2048", first)
	second := w.multipath(1)
	w.put(second, "pv1", testGroup().Text())
	b := w.volume("snap", "", 4*mib, "linear", "@%d 2048", second)
	if err := w.top(a, b).record(); err != nil {
		t.Fatal(err)
	}
	return w.top(a, b)
}

// What lies on made devices is looked at when these are there.
func TestAssembleChangedGroupOnPaths(t *testing.T) {
	bubble(t, "whole", func(t *testing.T) {
		w := onPaths(t)
		if h := w.s.Layers[2].Holds; h.UUID != lvmUUID(disktest.LVMID("pv0")) || h.Volumes == "" || w.s.Layers[0].Disk.Holds.Volumes != "" {
			t.Errorf("recorded: %+v", h)
		}
		x, err := w.assemble()
		if err != nil {
			t.Fatal(err)
		}
		w.closed(x)
	})
	for _, tt := range []struct {
		name, want string
		change     func(w *world)
	}{
		{"the second knows", "vg-var, vg-snap is not where it was", func(w *world) { w.put(5, "pv1", changed(movedVar)) }},
		{"another one", "it holds LVM2_member " + lvmUUID(disktest.LVMID("pv7")) + "; want LVM2_member " + lvmUUID(disktest.LVMID("pv1")), func(w *world) { w.put(5, "pv7", testGroup().Text()) }},
		{"none", "there is none", func(w *world) { w.k.disks[2].data = nil }},
	} {
		bubble(t, tt.name, func(t *testing.T) {
			w := onPaths(t)
			tt.change(w)
			_, err := w.assemble()
			if !errors.Is(err, ErrChanged) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v; want %q", err, tt.want)
			}
			if slices.Contains(w.k.calls, "create vg-var") || slices.Contains(w.k.calls, "create vg-snap") || len(w.k.remains()) > 0 {
				t.Errorf("made: %v; remains %v", w.k.calls, w.k.remains())
			}
		})
	}
}

// What a stack is recorded of must be true of it.
func TestRecordVolumes(t *testing.T) {
	for _, tt := range []struct {
		name, a, b, want string // texts of the two physical volumes
		volumes          bool
	}{
		{"whole", testGroup().Text(), testGroup().Text(), "", true},
		{"one has none", testGroup().Text(), "", "", true},
		{"none has any", "", "", "", false},
		{"one can't be parsed", testGroup().Text(), "vg {", "", true},
		{"none can be parsed", "vg {", "", "the end within a section", false},
		{"the volume is not there", changed(func(g *disktest.VolumeGroup) { without(g, "var") }), "", "do not fit: vg has no vg-var", false},
		{"another group", changed(func(g *disktest.VolumeGroup) { g.ID = disktest.LVMID("new") }), "", "do not fit: sda belongs to the volume group vg, ", false},
		{"a segment on no disk", changed(func(g *disktest.VolumeGroup) { replace(g, "var", `"pv0"`, `"pv7"`) }), "", "neither a physical nor a logical", false},
	} {
		w := newWorld(t)
		a, b := w.groupPV("pv0"), w.groupPV("pv1")
		w.put(a, "pv0", tt.a)
		w.put(b, "pv1", tt.b)
		w.top(w.volume("var", "", 4*mib, "striped", "2 128 @%d 2048 @%d 2048", a, b))
		before := w.s.Digest()
		err := w.record()
		if tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) || tt.want == "" && err != nil {
			t.Errorf("%s: %v; want %q", tt.name, err, tt.want)
		}
		ha, hb := w.s.Layers[a].Disk.Holds.Volumes, w.s.Layers[b].Disk.Holds.Volumes
		if (ha != "") != tt.volumes || hb != "" && hb != ha || (w.s.Digest() != before) != tt.volumes {
			t.Errorf("%s: volumes %q and %q; want some: %v", tt.name, ha, hb, tt.volumes)
		}
		if err := w.s.Validate(); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func TestValidateVolumes(t *testing.T) {
	for want, spoil := range map[string]func(s *Stack){
		"with volumes":      func(s *Stack) { s.Layers[0].Disk.Holds.Volumes = "7" },
		"are those of no":   func(s *Stack) { s.Layers[0].Disk.Holds.Volumes = strings.Repeat("0", 32) },
		"a disk; what it":   func(s *Stack) { s.Layers[0].Holds = Content{Type: lvmMember} },
		"it holds ext4":     func(s *Stack) { s.Layers[2].Holds = Content{Type: "ext4", UUID: "x"} },
		"LVM2_member x; ":   func(s *Stack) { s.Layers[2].Holds = Content{Type: lvmMember, UUID: "x"} },
		"it holds btrfs y ": func(s *Stack) { s.Layers[0].Disk.Holds.Type, s.Layers[0].Disk.Holds.UUID = "btrfs", "y" },
	} {
		w, _, _ := recorded(t)
		if err := w.s.Validate(); err != nil {
			t.Fatal(err)
		}
		spoil(w.s)
		if err := w.s.Validate(); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %q", err, want)
		}
	}
}

// All physical volumes of a group come before its volumes, and each layer after what it is made of.
func TestOrder(t *testing.T) {
	w := newWorld(t)
	d := w.groupPV("pv0")
	a := w.dm("c0", mib, "crypt", "@%d", d)
	v := w.volume("var", "", mib, "linear", "@%d 0", a)
	own := w.dm("c1", mib, "crypt", "@%d", v) // a physical volume on a volume of its own group
	b := w.dm("c2", mib, "crypt", "@%d", d)
	x := w.volume("x", "", mib, "linear", "@%d 0", own)
	y := w.volume("y", "", mib, "linear", "@%d 0", b)
	if got, want := w.s.order(), []int{d, a, b, v, own, x, y}; !slices.Equal(got, want) {
		t.Errorf("order %v; want %v", got, want)
	}
	// Two groups that lie on each other.
	v2 := w.dm("v2", mib, "linear", "@%d 0 @%d 0", x, b)
	w.s.Layers[v2].Map.UUID = "LVM-" + disktest.LVMID("g2") + disktest.LVMID("v2")
	z := w.volume("z", "", mib, "linear", "@%d 0", v2)
	order := w.s.order()
	for at, i := range order {
		for _, n := range w.s.Layers[i].Uses() {
			if !slices.Contains(order[:at], n) {
				t.Errorf("%v: %d comes before %d", order, i, n)
			}
		}
	}
	if len(order) != z+1 {
		t.Errorf("%v: want %d layers", order, z+1)
	}
	for uuid, want := range map[string]bool{
		"LVM-" + disktest.LVMID("vg") + disktest.LVMID("var"):            true,
		"LVM-" + disktest.LVMID("vg") + disktest.LVMID("var") + "-tpool": true,
		"LVM-" + disktest.LVMID("vg") + disktest.LVMID("var") + "x":      false,
		"LVM-" + disktest.LVMID("vg") + disktest.LVMID("-r"):             false,
		"LVM-" + disktest.LVMID("vg"):                                    false,
		"CRYPT-" + disktest.LVMID("vg") + disktest.LVMID("var"):          false,
	} {
		if _, _, ok := lvmIDs(uuid); ok != want {
			t.Errorf("%s is of LVM: %v", uuid, ok)
		}
	}
}
