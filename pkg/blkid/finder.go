package blkid

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Errors of [Finder.Find].
var (
	// ErrMember means that a device is a part of something else.
	ErrMember = errors.New("only the whole may write to it; name that or another device (wipefs removes what is left over from earlier use)")
	// ErrAmbiguous means that several devices bear a name, and that they are not
	// known to be one.
	ErrAmbiguous = errors.New("which of them is meant can't be told; detach the copy or give it another name")
)

// restTimeout bounds the look at the remaining devices when one was found: they
// only matter if they bear the same name.
const restTimeout = 2 * time.Second

// Device is a block device, or an image file, and what it holds.
type Device struct {
	// Node is the path of its node.
	Node string
	Contents
	// PartUUID and PartLabel are those of a partition.
	PartUUID, PartLabel string
	// Others are the nodes of the other devices of a filesystem that is on
	// several (btrfs), as far as Find saw them.
	Others []string

	member error
}

// MemberOf is an error that wraps [ErrMember] and says what the device is a
// part of, by its own signature, its disk's, or by what uses it now (md, device mapper,
// and so on); nil if it is a part of nothing.
func (d *Device) MemberOf() error { return d.member }

// Finder finds block devices by name.
type Finder struct {
	// Root is the tree that sys/class/block is read from.
	Root fs.FS
	// Probe opens a device by the path of its node and calls [Probe]. It bounds
	// the time that this takes, as a broken disk must not keep the others from
	// being found.
	Probe func(ctx context.Context, node string) (Contents, error)
}

// Find looks once for the one device that bears a name and is no member of something.
// For a device on several paths that are known to lead to one disk, it returns
// the first.
func (f *Finder) Find(ctx context.Context, ref Ref) (*Device, error) {
	if ref.Key == "" {
		d, err := f.Device(ctx, ref.Value)
		if err == nil {
			err = d.member
		}
		if err != nil {
			return nil, err
		}
		return d, nil
	}
	entries, err := fs.ReadDir(f.Root, "sys/class/block")
	if err != nil {
		var pe *fs.PathError
		if errors.As(err, &pe) {
			err = pe.Err
		}
		return nil, fmt.Errorf("list /sys/class/block: %w", err)
	}
	look := f.look()
	var matches []*Device
	var seen []string
	var failed error
	for _, e := range entries {
		name := e.Name()
		if look.number(name+"/hidden") == 1 || look.has(name+"/size") && look.number(name+"/size") == 0 {
			continue // a path of an NVMe disk; an empty slot, such as an unused loop device
		}
		seen = append(seen, name)
		d, err := look.candidate(ctx, ref, name)
		switch {
		case err != nil && len(matches) == 0:
			failed = err
		case err == nil && ref.names(d):
			if d.member != nil {
				failed = d.member
				continue
			}
			if matches = append(matches, d); len(matches) == 1 {
				rest, cancel := context.WithTimeout(ctx, restTimeout)
				defer cancel()
				ctx = rest
			}
		}
	}
	switch {
	case len(matches) > 0:
		return look.choose(ref, matches)
	case len(seen) == 0:
		return nil, errors.New("there are no block devices; is the disk's driver loaded?")
	}
	err = fmt.Errorf("not among %s", strings.Join(seen[:min(len(seen), 20)], ", "))
	if failed != nil {
		err = fmt.Errorf("%w (%w)", err, failed)
	}
	return nil, err
}

// Device looks at the device of a path. That it is a member of something is no
// error here.
func (f *Finder) Device(ctx context.Context, name string) (*Device, error) {
	look := f.look()
	d := &Device{Node: name}
	var err error
	if d.Contents, err = look.probe(ctx, name); err != nil {
		return nil, err
	}
	look.partition(ctx, d, kernelName(name))
	look.membership(ctx, d, kernelName(name))
	return d, nil
}

func (f *Finder) look() *look { return &look{Finder: f, probed: make(map[string]probed)} }

// look is one look at the machine; it probes each device once.
type look struct {
	*Finder
	probed map[string]probed
}

type probed struct {
	Contents
	err error
}

func (l *look) probe(ctx context.Context, node string) (Contents, error) {
	p, ok := l.probed[node]
	if !ok {
		p.Contents, p.err = l.Probe(ctx, node)
		l.probed[node] = p
	}
	return p.Contents, p.err
}

// candidate reads no more of a device than the name asks for.
func (l *look) candidate(ctx context.Context, ref Ref, name string) (*Device, error) {
	d := &Device{Node: node(name)}
	byPartition := ref.Key == "PARTUUID" || ref.Key == "PARTLABEL"
	if byPartition {
		if l.partition(ctx, d, name); !ref.names(d) {
			return d, nil
		}
	}
	var err error
	if d.Contents, err = l.probe(ctx, d.Node); err != nil {
		return nil, err
	}
	if ref.names(d) {
		if !byPartition {
			l.partition(ctx, d, name)
		}
		l.membership(ctx, d, name)
	}
	return d, nil
}

// choose makes one device of all that bear a name, if they are one.
func (l *look) choose(ref Ref, matches []*Device) (*Device, error) {
	var disks []*Device
	for _, d := range matches {
		if !slices.ContainsFunc(disks, func(o *Device) bool { return l.same(o, d) }) {
			disks = append(disks, d)
		}
	}
	first := disks[0]
	if len(disks) > 1 && !oneFilesystem(disks) {
		names := make([]string, len(disks))
		for i, d := range disks {
			names[i] = d.Node
		}
		return nil, fmt.Errorf("%s is on %s: %w", ref, strings.Join(names, " and "), ErrAmbiguous)
	}
	for _, d := range disks[1:] {
		first.Others = append(first.Others, d.Node)
	}
	return first, nil
}

// same reports whether two devices are known to be one, on two paths: the same
// partition of disks with the same worldwide identifier.
func (l *look) same(a, b *Device) bool {
	id := l.identity(kernelName(a.Node))
	return id != "" && id == l.identity(kernelName(b.Node)) && a.Size == b.Size
}

// identity is the worldwide identifier of a device's disk (nvme(4), scsi: VPD page 0x83), with the
// partition's number; "" where there is none that a maker must not give twice.
func (l *look) identity(name string) string {
	disk, number := name, l.text(name+"/partition")
	if number != "" {
		disk = l.disk(name)
	}
	for _, attribute := range []string{"/wwid", "/device/wwid"} {
		id := l.text(disk + attribute)
		for _, prefix := range []string{"naa.", "eui.", "uuid."} {
			if strings.HasPrefix(id, prefix) {
				return id + "-part" + number
			}
		}
	}
	return ""
}

// oneFilesystem reports whether the devices are those of one filesystem on several.
func oneFilesystem(devices []*Device) bool {
	var ids []string
	first := devices[0].Verdict().Signature
	for _, d := range devices {
		s := d.Verdict().Signature
		if s.Type != first.Type || s.UUID != first.UUID || s.Devices < len(devices) || s.DeviceUUID == "" || slices.Contains(ids, s.DeviceUUID) {
			return false
		}
		ids = append(ids, s.DeviceUUID)
	}
	return true
}

// membership finds out what a device is a part of: by its own signature, by what uses
// it, and, for a partition, by those of its disk: an array of whole disks may have
// partitions, which show on its members.
func (l *look) membership(ctx context.Context, d *Device, name string) {
	if v := d.Verdict(); v.Kind == Member {
		d.member = fmt.Errorf("%s is a part of %s (%s): %w", d.Node, v.memberOf(), v.Signature.Type, ErrMember)
		return
	}
	if holder := l.holder(name, false); holder != "" {
		d.member = fmt.Errorf("%s is a part of %s: %w", d.Node, holder, ErrMember)
		return
	}
	if l.text(name+"/partition") == "" {
		return
	}
	disk := l.disk(name)
	if disk == "" {
		return
	}
	if holder := l.holder(disk, true); holder != "" {
		d.member = fmt.Errorf("%s lies on %s, which is a part of %s: %w", d.Node, node(disk), holder, ErrMember)
		return
	}
	// A disk that can't be read to its end says nothing about it.
	c, err := l.probe(ctx, node(disk))
	if v := c.Verdict(); err == nil && v.Kind == Member {
		d.member = fmt.Errorf("%s lies on %s, which is a part of %s (%s): %w", d.Node, node(disk), v.memberOf(), v.Signature.Type, ErrMember)
	}
}

// holder names what uses a device (sysfs: holders), "" for nothing; of a disk
// only what takes all of it: a map may be of one partition.
func (l *look) holder(name string, whole bool) string {
	entries, _ := fs.ReadDir(l.Root, "sys/class/block/"+name+"/holders")
	for _, e := range entries {
		holder, kind, uuid := e.Name(), "", l.text(e.Name()+"/dm/uuid")
		switch {
		case strings.HasPrefix(uuid, "mpath-"):
			kind = "the multipath map "
		case strings.HasPrefix(uuid, "DMRAID-"):
			kind = "the firmware RAID "
		case strings.HasPrefix(holder, "md"):
			kind = "the array "
		case whole:
			continue
		}
		if mapped := l.text(holder + "/dm/name"); mapped != "" {
			holder = "mapper/" + mapped
		}
		return kind + node(holder)
	}
	return ""
}

// node is the path of a block device's node; a '!' in sysfs is a '/' in /dev
// (kernel: drivers/base/core.c, device_get_devnode).
func node(name string) string { return "/dev/" + strings.ReplaceAll(name, "!", "/") }

func kernelName(node string) string {
	return strings.ReplaceAll(strings.TrimPrefix(node, "/dev/"), "/", "!")
}

// partition fills in the PARTUUID and PARTLABEL of a block device by its sysfs
// name: what the kernel says (the first since 6.9), else from the partition
// table.
func (l *look) partition(ctx context.Context, d *Device, name string) {
	for line := range strings.Lines(l.text(name + "/uevent")) {
		switch key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "="); key {
		case "PARTUUID":
			d.PartUUID = value
		case "PARTNAME":
			d.PartLabel = strings.TrimRight(value, " ")
		}
	}
	if d.PartUUID != "" || !l.has(name+"/partition") {
		return
	}
	disk := l.disk(name)
	if disk == "" {
		return
	}
	c, err := l.probe(ctx, node(disk))
	if err != nil || c.Table == nil {
		return
	}
	if p, ok := c.Table.Partition(uint32(l.number(name + "/partition"))); ok {
		d.PartUUID, d.PartLabel = p.UUID, p.Label
	}
}

// disk is the sysfs name of a partition's disk, "" for none: the device that has
// the partition's directory in its own.
func (l *look) disk(partition string) string {
	disks, _ := fs.Glob(l.Root, "sys/class/block/*/"+partition+"/partition")
	if len(disks) == 0 {
		return ""
	}
	return path.Base(path.Dir(path.Dir(disks[0])))
}

// text is an attribute below sys/class/block, "" if it isn't there.
func (l *look) text(name string) string {
	b, err := fs.ReadFile(l.Root, "sys/class/block/"+name)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

func (l *look) has(name string) bool {
	_, err := fs.Stat(l.Root, "sys/class/block/"+name)
	return err == nil
}

// number is an attribute that is a number, 0 if it isn't.
func (l *look) number(name string) uint64 {
	n, _ := strconv.ParseUint(l.text(name), 10, 64)
	return n
}
