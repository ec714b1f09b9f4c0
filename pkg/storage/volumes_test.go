package storage

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/disktest"
	"github.com/gokexec/gokexec/pkg/capture"
	"github.com/gokexec/gokexec/pkg/stack"
)

// varGroup is a group with the volume of the map lvm on its second disk, and another one.
func varGroup() *disktest.VolumeGroup {
	two := func(s string) string { return strings.Repeat(s, 16) }
	return &disktest.VolumeGroup{
		Name: "vg", ID: two("VG"), Seqno: 4, Extent: 8192, Start: 2048, Disks: []string{two("aa"), two("bb")},
		Volumes: []disktest.Volume{
			{Name: "other", ID: two("OO"), Segments: []string{disktest.Linear(0, 1, "pv0", 0)}},
			{Name: "var", ID: two("LV"), Segments: []string{disktest.Linear(0, 1, "pv1", 0)}},
		},
	}
}

// grouped is the content of physical volume 'a' or 'b' of a group.
func grouped(c byte, text string) func([]byte) {
	return disktest.PhysicalVolume(strings.Repeat(string(rune(c)), 32), disktest.MetadataArea{Start: 4096, Size: 16 << 10, Text: text})
}

// inGroup has /data on the volume var.
func inGroup(b *bench) {
	text := varGroup().Text()
	b.partition("sda", 2, grouped('a', text))
	b.partition("sda", 3, grouped('b', text))
	b.mapped(0, "vg-var", lvm, []string{"0 4096 linear {sda3} 2048"}, ext4())
	onData(b, "dm-0")
}

// rewrite changes what a disk holds.
func (b *bench) rewrite(name string, content func([]byte)) {
	b.t.Helper()
	file := filepath.Join(b.dir, "dev", name)
	image, err := os.ReadFile(file)
	if err != nil {
		b.t.Fatal(err)
	}
	content(image)
	b.file("dev/"+name, string(image))
}

// What is recorded of a group changes with the volumes of the target, and not with others: status and check say so.
func TestStackVolumes(t *testing.T) {
	b := newBench(t)
	inGroup(b)
	dir := capture.Target{Type: capture.TargetDirectory, Path: "/data/crash"}
	first, err := b.Resolve(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	volumes := first.Target.Stack.Layers[0].Disk.Holds.Volumes
	if len(volumes) != 32 || len(first.Warnings) > 0 {
		t.Fatalf("volumes %q, warnings %q", volumes, first.Warnings)
	}
	for _, tt := range []struct {
		name   string
		warns  string
		change func(g *disktest.VolumeGroup)
	}{
		{"another volume is moved", "", func(g *disktest.VolumeGroup) { g.Volumes[0].Segments[0] = disktest.Linear(0, 1, "pv1", 7) }},
		{"moved", "has changed since it was recorded", func(g *disktest.VolumeGroup) { g.Volumes[1].Segments[0] = disktest.Linear(0, 1, "pv1", 7) }},
	} {
		g := varGroup()
		g.Seqno++
		tt.change(g)
		b.rewrite("sda3", grouped('b', g.Text()))
		again, err := b.Resolve(t.Context(), first.Target)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(again.Warnings, "\n"); !strings.Contains(got, tt.warns) || tt.warns == "" && got != "" {
			t.Errorf("%s: warnings %q; want %q", tt.name, got, tt.warns)
		}
		if now := again.Target.Stack.Layers[0].Disk.Holds.Volumes; (now == volumes) != (tt.warns == "") {
			t.Errorf("%s: volumes %s; they were %s", tt.name, now, volumes)
		}
	}
}

func TestStackVolumesRefused(t *testing.T) {
	for says, change := range map[string]func(b *bench){
		"do not fit: vg has no vg-var": func(b *bench) {
			g := varGroup()
			g.Volumes = g.Volumes[:1]
			b.rewrite("sda3", grouped('b', g.Text()))
		},
		"do not fit: sda3 belongs to the volume group vg, ": func(b *bench) {
			g := varGroup()
			g.ID = strings.Repeat("N", 32)
			b.rewrite("sda3", grouped('b', g.Text()))
		},
		"can't be read, so that a later change of it would not be noticed: sda3: metadata area at 4096: checksum": func(b *bench) {
			b.rewrite("sda3", func(disk []byte) { disk[4096+20]++ })
		},
	} {
		b := newBench(t)
		inGroup(b)
		change(b)
		_, err := b.Resolve(t.Context(), capture.Target{Type: capture.TargetDirectory, Path: "/data/crash"})
		var refusal *Refusal
		if !errors.As(err, &refusal) || !strings.Contains(err.Error(), says) || refusal.Instead == "" {
			t.Errorf("Resolve: %v; want a refusal that says %q", err, says)
		}
	}
}

// changing is device mapper while LVM changes a volume: the first tables that are read are older than the metadata.
type changing struct {
	*fakeMaps
	old  []stack.Row
	left int
}

func (c *changing) Table(name string) ([]stack.Row, error) {
	if c.left--; c.left >= 0 {
		return c.old, nil
	}
	return c.fakeMaps.Table(name)
}

// A table that was read before a change is not recorded with the metadata after it.
func TestStackVolumesChanging(t *testing.T) {
	b := newBench(t)
	inGroup(b)
	dir := capture.Target{Type: capture.TargetDirectory, Path: "/data/crash"}
	want, err := b.Resolve(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	old := []stack.Row{{Length: 4096, Type: "linear", Args: b.number("sda3") + " 8192"}}
	stale := 1
	b.Machine = New(Options{Root: b.dir, Maps: func() (Maps, error) {
		maps := &changing{b.maps, old, stale}
		stale = 0
		return maps, nil
	}})
	got, err := b.Resolve(t.Context(), dir)
	if err != nil || text(t, got.Target) != text(t, want.Target) {
		t.Errorf("while the volume changes: %+v, %v", got, err)
	}
	b.file("sys/class/block/dm-0/dm/suspended", "1\n")
	if _, err := b.Resolve(t.Context(), dir); !errors.Is(err, errBusy) {
		t.Errorf("while the volume is suspended: %v", err)
	}
}

// late is device mapper on a machine where something happens when a table is read again.
type late struct {
	*fakeMaps
	read    map[string]bool
	happens func()
}

func (l *late) Table(name string) ([]stack.Row, error) {
	if l.read[name] {
		l.happens()
	}
	l.read[name] = true
	return l.fakeMaps.Table(name)
}

// A snapshot that is made while its origin is looked at is not left out.
func TestStackVolumesNewSnapshot(t *testing.T) {
	b := newBench(t)
	snapshots(b)
	onData(b, "dm-4")
	dir := capture.Target{Type: capture.TargetDirectory, Path: "/data/crash"}
	// The first walk does not see it.
	hidden := filepath.Join(b.dir, "sys/class/block/dm-0/holders/dm-2")
	if err := os.Remove(hidden); err != nil {
		t.Fatal(err)
	}
	r, err := b.Resolve(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	tries := 0
	b.Machine = New(Options{Root: b.dir, Maps: func() (Maps, error) {
		tries++
		return &late{b.maps, map[string]bool{}, func() { b.hold("dm-0", "dm-2") }}, nil
	}})
	again, err := b.Resolve(t.Context(), dir)
	if err != nil || len(again.Target.Stack.Layers) <= len(r.Target.Stack.Layers) || tries != 2 {
		t.Errorf("after %d tries: %+v, %v; want more than %d layers", tries, again, err, len(r.Target.Stack.Layers))
	}
}
