package blkid

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"
)

// Errors of [Finder.Find].
var (
	// ErrMember means that a device is a part of something else.
	ErrMember = errors.New("only the whole may write to it; name that or another device (wipefs removes signatures left from earlier use)")
	// ErrAmbiguous means that several devices have the same name and are not known to be
	// one device.
	ErrAmbiguous = errors.New("the name is ambiguous; detach the copy or give it another name")
)

// restTimeout bounds the probing of the remaining devices once one was found: they only
// matter if they have the same name.
const restTimeout = 2 * time.Second

// Device is a block device, or an image file, and what it holds.
type Device struct {
	// Node is the path of its node.
	Node string
	Contents
	// PartUUID and PartLabel are those of a partition.
	PartUUID, PartLabel string
	// WWID and Serial are what sysfs knows the disk by, with -partN for a
	// partition; "" when it has none, or the finder was not asked for it.
	WWID, Serial string

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

// Find looks once for the one device that has a name and is no member of something. If
// several paths are known to lead to the same disk, it returns the first.
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
	found, err := f.scan(ctx, ref, false)
	if err != nil {
		return nil, err
	}
	switch {
	case len(found.matches) > 0:
		return choose(ref, found.matches)
	case len(found.seen) == 0:
		return nil, errors.New("there are no block devices; is the disk's driver loaded?")
	}
	err = fmt.Errorf("not among %s", strings.Join(found.seen[:min(len(found.seen), 20)], ", "))
	if found.failed != nil {
		err = fmt.Errorf("%w (%w)", err, found.failed)
	}
	return nil, err
}

// All looks once for all devices that have a name, members of something among them. A device that can't be read
// is left out.
func (f *Finder) All(ctx context.Context, ref Ref) ([]*Device, error) {
	if ref.Key == "" {
		d, err := f.Device(ctx, ref.Value)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		return []*Device{d}, nil
	}
	found, err := f.scan(ctx, ref, true)
	return found.matches, err
}

// scanned is what a scan of the block devices has found.
type scanned struct {
	matches []*Device
	seen    []string // names of all that were looked at
	failed  error    // the last of a candidate
}

// scan looks at all block devices for those that have a name. Without members these only count as failed.
func (f *Finder) scan(ctx context.Context, ref Ref, members bool) (scanned, error) {
	var s scanned
	entries, err := fs.ReadDir(f.Root, "sys/class/block")
	if err != nil {
		var pe *fs.PathError
		if errors.As(err, &pe) {
			err = pe.Err
		}
		return s, fmt.Errorf("list /sys/class/block: %w", err)
	}
	look := f.look()
	for _, e := range entries {
		name := e.Name()
		if look.empty(name) {
			continue
		}
		s.seen = append(s.seen, name)
		d, err := look.candidate(ctx, ref, name)
		switch {
		case err != nil && len(s.matches) == 0:
			s.failed = err
		case err == nil && ref.Names(d):
			if d.member != nil && !members {
				s.failed = d.member
				continue
			}
			if s.matches = append(s.matches, d); len(s.matches) == 1 {
				rest, cancel := context.WithTimeout(ctx, restTimeout)
				defer cancel()
				ctx = rest
			}
		}
	}
	return s, nil
}

// Device probes the device of a path. It may be a member of something.
func (f *Finder) Device(ctx context.Context, name string) (*Device, error) {
	look := f.look()
	d := &Device{Node: name}
	var err error
	if d.Contents, err = look.probe(ctx, name); err != nil {
		return nil, err
	}
	look.identify(ctx, d, look.kernelName(name))
	return d, nil
}

// choose returns the device if all that have the name are the same one.
func choose(ref Ref, matches []*Device) (*Device, error) {
	var disks []*Device
	for _, d := range matches {
		if !slices.ContainsFunc(disks, d.Same) {
			disks = append(disks, d)
		}
	}
	if len(disks) > 1 && !oneFilesystem(disks) {
		names := make([]string, len(disks))
		for i, d := range disks {
			names[i] = d.Node
		}
		return nil, fmt.Errorf("%s is on %s: %w", ref, strings.Join(names, " and "), ErrAmbiguous)
	}
	return disks[0], nil
}

// Same reports whether two devices are known to be one, on two paths: the same
// partition of disks with the same worldwide identifier, of a kind that no maker
// may give twice.
func (d *Device) Same(o *Device) bool {
	unique := strings.HasPrefix(d.WWID, "naa.") || strings.HasPrefix(d.WWID, "eui.") || strings.HasPrefix(d.WWID, "uuid.")
	return unique && d.WWID == o.WWID && d.Size == o.Size
}

// oneFilesystem reports whether the devices are those of one btrfs on several.
func oneFilesystem(devices []*Device) bool {
	var ids []uint64
	for _, d := range devices {
		b := d.Btrfs
		if b == nil || b.FSID != devices[0].Btrfs.FSID || b.Devices < uint64(len(devices)) || slices.Contains(ids, b.ID) {
			return false
		}
		ids = append(ids, b.ID)
	}
	return true
}
