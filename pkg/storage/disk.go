package storage

import (
	"slices"
	"strconv"
	"strings"

	"github.com/gokexec/gokexec/pkg/blkid"
	"github.com/gokexec/gokexec/pkg/stack"
)

// disk describes a device that a driver finds: a disk or a partition of one.
func (w *walk) disk(n *node) error {
	n.kind, n.layer.Disk = "disk", &stack.Disk{Ref: n.node()}
	if n.partition() {
		n.kind = "partition"
	}
	if k, absent := w.absentKind(n.block); absent {
		n.refusal = &Refusal{What: n.node() + " is " + k.what, Instead: k.instead}
		return nil
	}
	d, err := w.finder.Device(w.ctx, n.node())
	if err != nil {
		return err
	}
	n.layer.Disk.Holds = holds(d)
	ref, strong, err := w.identity(d)
	if err != nil {
		return err
	}
	if n.layer.Disk.Ref = ref.String(); !strong {
		n.warn("%s has no name but the kernel's, which may be another disk's in the capture kernel; nothing is saved then: create a partition table, or give the virtual disk a serial number", n.node())
	}
	return nil
}

// holds is what a device must hold.
func holds(d *blkid.Device) stack.Content {
	s := d.Verdict().Signature
	c := stack.Content{Type: s.Type, UUID: s.UUID}
	if s.Type == btrfs && d.Btrfs != nil {
		c.Member = strconv.FormatUint(d.Btrfs.ID, 10)
	}
	return c
}

// identity is the best name by which a capture kernel finds a disk and no other: what its hardware or its partition
// table is called, or else what it holds. strong is false if there is only the kernel's name.
func (w *walk) identity(d *blkid.Device) (ref blkid.Ref, strong bool, err error) {
	s := d.Verdict().Signature
	for _, id := range []blkid.Ref{
		{Key: "PARTUUID", Value: d.PartUUID}, {Key: "WWID", Value: d.WWID}, {Key: "SERIAL", Value: d.Serial}, {Key: "UUID", Value: s.UUID},
	} {
		if id.Value == "" || unsignedDOS(id.Value) {
			continue
		}
		if _, err := blkid.ParseRef(id.String()); err != nil {
			continue
		}
		all, err := w.finder.All(w.ctx, id)
		if err != nil {
			return id, false, err
		}
		if slices.ContainsFunc(all, func(o *blkid.Device) bool { return o.Node == d.Node }) &&
			!slices.ContainsFunc(all, func(o *blkid.Device) bool { return o.Node != d.Node && !o.Same(d) && !w.made(o) && !w.paths(o, d) }) {
			return id, true, nil
		}
	}
	return blkid.Ref{Value: d.Node}, false, nil
}

// unsignedDOS tells the PARTUUID of a partition of a DOS disk without a signature, which is no identity.
func unsignedDOS(uuid string) bool {
	return strings.HasPrefix(uuid, "00000000-") && len(uuid) == len("00000000-01")
}

// paths reports whether two devices are paths of one multipath map.
func (w *walk) paths(a, b *blkid.Device) bool {
	x, err := w.blockByNode(a.Node)
	y, err2 := w.blockByNode(b.Node)
	if err != nil || err2 != nil {
		return false
	}
	others := w.holders(y)
	for _, h := range w.holders(x) {
		if strings.HasPrefix(w.attribute(h.dir+"/dm/uuid"), "mpath-") && slices.Contains(others, h) {
			return true
		}
	}
	return false
}

// made reports whether a device is made of others: a capture kernel has it only after these.
func (w *walk) made(d *blkid.Device) bool {
	b, err := w.blockByNode(d.Node)
	return err == nil && w.stacked(b)
}
