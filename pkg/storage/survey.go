package storage

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/gokexec/gokexec/pkg/blkid"
	"github.com/gokexec/gokexec/pkg/capture"
	"github.com/gokexec/gokexec/pkg/stack"
)

// Survey is what a target lies on, down to the disks, and whether that can be there in a capture kernel. It holds no
// keys.
type Survey struct {
	Target string `json:"target"` // as it was named
	OK     bool   `json:"ok"`     // it can be there in a capture kernel
	// Reason is why it can't be, and Instead what to do.
	Reason  string `json:"reason,omitempty"`
	Instead string `json:"instead,omitempty"`
	// As is the target as a capture kernel is told it.
	As     string          `json:"as,omitempty"`
	Mount  *SurveyMount    `json:"mount,omitempty"` // none if it is a device that is not mounted
	Holds  *stack.Content  `json:"holds,omitempty"` // what the first top holds
	Tops   []stack.Top     `json:"tops"`            // their layers are indices of Layers
	Layers []SurveyedLayer `json:"layers"`          // each is made of earlier ones
	// Modules are the kernel modules that make the layers, apart from the disks' drivers.
	Modules  []string `json:"modules,omitempty"`
	Warnings []string `json:"warnings,omitempty"`
}

// SurveyMount is where the filesystem of a target is mounted.
type SurveyMount struct {
	Point     string `json:"point"`
	Type      string `json:"type"`
	Source    string `json:"source"`
	Subvolume string `json:"subvolume,omitempty"` // of btrfs
	Root      string `json:"root,omitempty"`      // the directory of the filesystem that is mounted, if it is not all of it
	Path      string `json:"path,omitempty"`      // of the target, in the filesystem
}

// SurveyedLayer is a device that a target lies on.
type SurveyedLayer struct {
	Name string `json:"name"` // the kernel's
	Map  string `json:"map,omitempty"`
	Kind string `json:"kind"`
	Size int64  `json:"size"` // bytes
	// Identity is what tells it from others: a name of the disk, the UUID of a map or of an array.
	Identity string         `json:"identity,omitempty"`
	Holds    *stack.Content `json:"holds,omitempty"`
	Uses     []int          `json:"uses,omitempty"` // layers
	// Table is that of a map, with what may be secret left out.
	Table []stack.Row `json:"table,omitempty"`
	// How it will be there in the capture kernel, or the reason why it can't be, and what to do instead.
	How     string `json:"how,omitempty"`
	Reason  string `json:"reason,omitempty"`
	Instead string `json:"instead,omitempty"`
}

// Survey finds out what a target lies on. The error is for what can't be looked at; a target that can't be there in
// a capture kernel is none.
func (m *Machine) Survey(ctx context.Context, t capture.Target) (*Survey, error) {
	s := &Survey{Target: t.String(), Tops: []stack.Top{}, Layers: []SurveyedLayer{}}
	r, err := m.Resolve(ctx, t)
	var refusal *Refusal
	if err != nil && !errors.As(err, &refusal) {
		return nil, err
	}
	var tops []top
	if err != nil {
		s.Reason, s.Instead = err.Error(), refusal.Instead
		if b, err := m.lowest(ctx, t); err == nil {
			tops = []top{{block: b}}
		}
	} else {
		s.OK, s.As, s.Modules, s.Warnings, tops = true, r.Target.String(), r.Modules, r.Warnings, r.tops
	}
	w := m.walk(ctx)
	defer w.close()
	for _, top := range tops {
		at, err := w.down(top.block)
		if err != nil && !errors.As(err, &refusal) {
			return nil, err
		}
		if err == nil {
			s.Tops = append(s.Tops, stack.Top{Layer: at, Option: top.option})
		}
	}
	for i := range w.nodes {
		s.Layers = append(s.Layers, w.nodes[i].surveyed())
		if s.OK && r.Target.Stack == nil {
			s.Layers[i].How = "found by " + firstOf(r.Target.Device, "=", "its name")
		}
	}
	if len(tops) > 0 {
		s.Mount = m.mountOf(t, tops)
		if d, err := m.finder.Device(ctx, tops[0].node()); err == nil && d.Verdict().Kind != blkid.Blank && d.Verdict().Signature.Type != "" {
			h := holds(d)
			s.Holds = &h
		}
	}
	return s, nil
}

// lowest is the block device that a target lies on, whether it can be used or not.
func (m *Machine) lowest(ctx context.Context, t capture.Target) (block, error) {
	dir := t.Path
	if t.Place() != capture.InDirectory {
		info, err := m.sys.Stat(t.Device)
		if !path.IsAbs(t.Device) || err != nil || !info.IsDir() {
			ref, err := blkid.ParseRef(t.Device)
			if err != nil {
				return block{}, err
			}
			return m.findBlock(ctx, ref)
		}
		dir = path.Join(t.Device, t.Path)
	}
	s, err := m.see(dir)
	if err != nil {
		return block{}, err
	}
	return m.blockOf(s.mount)
}

// mountOf is the mount of what lies on devices: that of the target's directory, or the first.
func (m *Machine) mountOf(t capture.Target, tops []top) *SurveyMount {
	on := (&Resolved{tops: tops}).on()
	dir := t.Path
	if t.Place() == capture.OnFilesystem && path.IsAbs(t.Device) {
		dir = path.Join(t.Device, t.Path)
	}
	if s, err := m.see(dir); err == nil && m.isOn(s.mount, on) {
		found := surveyMount(s.mount)
		found.Path = s.inside
		return found
	}
	mounts, _ := m.mounts()
	for _, c := range mounts {
		if at, ok := mounts.At(c.Point); ok && at.ID == c.ID && m.isOn(c, on) {
			return surveyMount(c)
		}
	}
	return nil
}

func surveyMount(c Mount) *SurveyMount {
	found := &SurveyMount{Point: c.Point, Type: c.FSType, Source: c.Source}
	if name, _, ok := c.subvolume(); ok && c.FSType == btrfs {
		found.Subvolume = name
	}
	if c.Root != "/" && c.Root != found.Subvolume {
		found.Root = c.Root
	}
	return found
}

// surveyed is a node for people and programs.
func (n *node) surveyed() SurveyedLayer {
	l := SurveyedLayer{Name: n.name, Kind: n.kind, Size: n.layer.Size, Uses: n.uses}
	switch {
	case n.layer.Disk != nil:
		l.Identity = n.layer.Disk.Ref
		l.How = "found by " + firstOf(l.Identity, "=", "its name")
		if h := n.layer.Disk.Holds; h != (stack.Content{}) {
			l.Holds = &h
			l.How += ", if it holds that"
		}
	case n.layer.Part != nil:
		l.Identity, l.How = fmt.Sprintf("number %d", n.layer.Part.Number), "found by the kernel in the array"
	case n.layer.Array != nil:
		a := n.layer.Array
		l.Identity, l.How = "UUID="+a.UUID, fmt.Sprintf("assembled of %d of %d members, metadata %s", len(a.Members), a.Disks, a.Metadata)
	case n.layer.Map != nil:
		l.Map, l.Identity, l.How = n.layer.Map.Name, n.layer.Map.UUID, "made again with its table"
		for _, row := range n.layer.Map.Table {
			l.Table = append(l.Table, public(row))
		}
		if n.key != nil {
			l.How += " and its key, if [Capture] DiskKeys=kernel or memory lets gokexec arm put that into the crash memory"
		}
	}
	if n.refusal != nil {
		l.How, l.Reason, l.Instead = "", n.refusal.What, n.refusal.Instead
	}
	return l
}

// public is a row of which only what is known to be no secret is left.
func public(row stack.Row) stack.Row {
	if slices.Contains([]string{"linear", "striped", "mirror", "raid", "snapshot", "snapshot-origin", "thin", "thin-pool", "multipath"}, row.Type) {
		return row
	}
	var layers []string
	for word := range strings.FieldsSeq(row.Args) {
		if _, ok := stack.Referenced(word); ok {
			layers = append(layers, word)
		}
	}
	row.Args = strings.Join(layers, " ")
	return row
}

// firstOf is what is before a separator; without one, otherwise.
func firstOf(s, sep, otherwise string) string {
	if before, _, ok := strings.Cut(s, sep); ok {
		return before
	}
	return otherwise
}
