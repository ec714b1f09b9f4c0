package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/gokexec/gokexec/pkg/blkid"
	"github.com/gokexec/gokexec/pkg/capture"
)

// Resolved is a target as a capture kernel finds it.
type Resolved struct {
	// Target names its device by what stays the same; a directory is a
	// filesystem target.
	Target capture.Target
	// FSType is the type of the filesystem; "" for a raw target. Drivers are the
	// names of those that mount it, the best first.
	FSType  string
	Drivers []string
	// Devices are the kernel names of the disks and partitions whose drivers are
	// needed: several for a btrfs of several, and below volumes and arrays.
	Devices []string
	// Modules are the kernel modules that make Target.Stack or Target.Network, by the names that modprobe(8) takes. Kernels may have
	// them built in.
	Modules []string
	// Interfaces are the kernel names of the network interfaces whose drivers are needed.
	Interfaces []string
	// Optional are kernel modules that may be needed, by the names that modprobe(8) takes.
	Optional []string
	// Ciphers are names of what the kernel may look for to decrypt, as modprobe(8) takes them: crypto-xts. It is built
	// in where no module answers to one.
	Ciphers []string
	// Keys are those of encrypted volumes, which Target.Stack does not have.
	Keys []Key
	// Notes say where the result differs from the name that was given, and Warnings what
	// may go wrong, one line each.
	Notes, Warnings []string

	// tops are the devices that it lies on, the one to mount first; nodes are what these are made of, if that was
	// recorded, and room bounds what can be saved there, in bytes, if it is not 0.
	tops  []top
	nodes []node
	room  int64
}

// top is a device that a filesystem lies on, and the mount option that names it to the filesystem.
type top struct {
	block
	option string
}

// on are the kernel names of the devices that the target lies on.
func (r *Resolved) on() []string {
	var names []string
	for _, t := range r.tops {
		names = append(names, t.name)
	}
	return names
}

func (r *Resolved) note(format string, args ...any) {
	r.Notes = append(r.Notes, fmt.Sprintf(format, args...))
}

func (r *Resolved) warn(format string, args ...any) {
	r.Warnings = append(r.Warnings, fmt.Sprintf(format, args...))
}

// device is a block device of this machine and what it holds.
type device struct {
	block
	*blkid.Device
}

// Resolve checks a target of this machine. The error is a [Refusal] if the target can't
// exist in a capture kernel, or if a dump would destroy something; other errors say what
// could not be checked.
func (m *Machine) Resolve(ctx context.Context, t capture.Target) (*Resolved, error) {
	r, err := m.resolver(t.Place())(ctx, t)
	if err != nil {
		return nil, fmt.Errorf("target %s: %w", t, err)
	}
	if err := r.Target.Validate(); err != nil {
		return nil, fmt.Errorf("target %s: %w", t, err)
	}
	if t.Stack != nil && (r.Target.Stack == nil || t.Stack.Validate() != nil || r.Target.Stack.Digest() != t.Stack.Digest()) {
		r.warn("what %s lies on has changed since it was recorded: a capture would not find it so; arm again, or build the initramfs again", t)
	}
	if before, after := t.String(), r.Target.String(); before != after || t.MountOptions != r.Target.MountOptions {
		how := r.FSType
		if r.Target.MountOptions != "" {
			how += ", " + r.Target.MountOptions
		}
		if how != "" {
			how = " (" + how + ")"
		}
		r.note("%s is taken as %s%s", before, after, how)
	}
	return r, nil
}

// resolver finds on this machine what a target lies on.
func (m *Machine) resolver(p capture.TargetPlace) func(context.Context, capture.Target) (*Resolved, error) {
	switch p {
	case capture.InDirectory:
		return func(ctx context.Context, t capture.Target) (*Resolved, error) { return m.directory(ctx, t, t.Path) }
	case capture.OnFilesystem:
		return m.onFilesystem
	case capture.OnDevice:
		return m.onDevice
	case capture.OverNetwork:
		return m.overNetwork
	}
	return func(_ context.Context, t capture.Target) (*Resolved, error) {
		return nil, fmt.Errorf("it is not known what a target of type %q lies on", t.Type)
	}
}

// directory finds the filesystem that a directory lies on.
func (m *Machine) directory(ctx context.Context, t capture.Target, dir string) (*Resolved, error) {
	s, err := m.see(dir)
	if err != nil {
		return nil, err
	}
	if err := s.onDisk(dir); err != nil {
		return nil, err
	}
	b, err := m.blockOf(s.mount)
	if err != nil {
		return nil, refuse(elsewhereOnDisk, "%s is on %s (%s), which is no block device of this machine: %v", dir, s.mount.Source, s.mount.FSType, err)
	}
	d, err := m.look(ctx, b)
	if err != nil {
		return nil, err
	}
	r := &Resolved{Target: capture.Target{Type: capture.TargetFilesystem, FSType: t.FSType, MountOptions: t.MountOptions}}
	if err := m.filesystem(ctx, r, d); err != nil {
		return nil, err
	}
	if err := m.describe(ctx, r); err != nil {
		return nil, err
	}
	if err := m.identify(ctx, r, d, "UUID"); err != nil {
		return nil, err
	}
	r.Target.MountOptions, r.Target.Path = join(r.Target.MountOptions, s)
	r.readOnly(s)
	return r, nil
}

// readOnly warns of a filesystem that can't be written to here, as after errors.
func (r *Resolved) readOnly(s seen) {
	if s.mount.Super == "ro" || strings.HasPrefix(s.mount.Super, "ro,") {
		r.warn("the filesystem of %s is mounted read-only here (%s): the capture will mount it for writing", s.real, s.mount.Source)
	}
}

// join adds the options that a path needs to those that were asked for, unless
// these name a subvolume themselves.
func join(options string, s seen) (string, string) {
	if strings.Contains(options, "subvol") {
		return options, s.inside
	}
	more, inside := s.options()
	if options != "" && more != "" {
		more = "," + more
	}
	return options + more, inside
}

// onDevice finds the device of a target that takes all of it.
func (m *Machine) onDevice(ctx context.Context, t capture.Target) (*Resolved, error) {
	ref, d, err := m.named(ctx, t)
	if err != nil {
		return nil, err
	}
	r := &Resolved{Target: t}
	if err := m.raw(ctx, r, d); err != nil {
		return nil, err
	}
	if err := m.describe(ctx, r); err != nil {
		return nil, err
	}
	// A dump destroys the filesystem's UUID and label.
	if r.Target.Stack != nil || ref.Key == "" || ref.Key == "UUID" || ref.Key == "LABEL" || m.same(ctx, ref, d) != nil {
		err = m.identify(ctx, r, d, "")
	}
	return r, err
}

// onFilesystem finds the device of a filesystem. It takes fs:PATH too, where a device is expected.
func (m *Machine) onFilesystem(ctx context.Context, t capture.Target) (*Resolved, error) {
	if path.IsAbs(t.Device) {
		if info, err := m.sys.Stat(t.Device); err == nil && info.IsDir() {
			return m.directory(ctx, t, path.Join(t.Device, t.Path))
		}
	}
	ref, d, err := m.named(ctx, t)
	if err != nil {
		return nil, err
	}
	r := &Resolved{Target: t}
	if err := m.filesystem(ctx, r, d); err != nil {
		return nil, err
	}
	if err := m.describe(ctx, r); err != nil {
		return nil, err
	}
	if r.Target.Stack != nil || ref.Key == "" || m.same(ctx, ref, d) != nil {
		if err := m.identify(ctx, r, d, "UUID"); err != nil {
			return nil, err
		}
	}
	return r, m.place(r)
}

// named finds the device that a target names.
func (m *Machine) named(ctx context.Context, t capture.Target) (blkid.Ref, device, error) {
	ref, err := blkid.ParseRef(t.Device)
	if err != nil {
		return ref, device{}, err
	}
	if t.Stack != nil {
		// A snapshot has the UUID of its origin.
		if b, ok := m.topOf(t.Stack); ok {
			d, err := m.look(ctx, b)
			return ref, d, err
		}
	}
	d, err := m.find(ctx, ref)
	return ref, d, err
}

// find looks for the device that has a name, and at what it holds.
func (m *Machine) find(ctx context.Context, ref blkid.Ref) (device, error) {
	b, err := m.findBlock(ctx, ref)
	if err != nil {
		return device{}, err
	}
	return m.look(ctx, b)
}

// findBlock looks for the device that has a name.
func (m *Machine) findBlock(ctx context.Context, ref blkid.Ref) (block, error) {
	if ref.Key == "" {
		b, err := m.blockByNode(ref.Value)
		if errors.Is(err, fs.ErrNotExist) {
			err = m.absent(ref, err)
		}
		return b, err
	}
	found, err := m.finder.Find(ctx, ref)
	if err == nil {
		return m.blockByNode(found.Node)
	}
	if errors.Is(err, blkid.ErrMember) || errors.Is(err, blkid.ErrAmbiguous) {
		return block{}, refuse("name the device itself, by /dev/disk/by-id or by-path; or what the members form", "%s: %v", ref, err)
	}
	// udev knows more filesystems than this package does.
	if b, linkErr := m.blockByNode(linkOf(ref)); linkErr == nil {
		return b, nil
	}
	return block{}, m.absent(ref, err)
}

// absent is the error for a name of no device of this machine.
func (m *Machine) absent(ref blkid.Ref, err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("can't look for %s: %w", ref, err)
	}
	instead := "lsblk -f shows the devices and their UUIDs"
	if ref.Key == "LABEL" && strings.Contains(ref.Value, ":") {
		instead = "if a path is meant, it begins with a slash: fs:LABEL=NAME:/PATH; " + instead
	}
	return refuse(instead, "%s is not on this machine: %v", ref, err)
}

// look reads what a device holds, and refuses one that can't exist in a capture kernel,
// or is a part of something else.
func (m *Machine) look(ctx context.Context, b block) (device, error) {
	if k, absent := m.absentKind(b); absent {
		return device{}, k.refuse(b.node())
	}
	if m.attribute(b.dir+"/ro") == "1" {
		return device{}, refuse("name another device, or make it writable: blockdev --setrw", "%s is read-only", b.node())
	}
	d, err := m.finder.Device(ctx, b.node())
	if err != nil {
		return device{}, err
	}
	if err := d.MemberOf(); err != nil {
		return device{}, refuse("name what it is a part of, or another device", "%v", err)
	}
	return device{b, d}, nil
}

// identify names a target's device by the first of its identities by which a capture
// kernel finds this device only.
func (m *Machine) identify(ctx context.Context, r *Resolved, d device, first string) error {
	if r.Target.Stack != nil {
		m.identifyTop(r, d)
		return nil
	}
	var ids []blkid.Ref
	if v := d.Verdict(); first == "UUID" && v.Kind == blkid.Filesystem {
		ids = append(ids, blkid.Ref{Key: "UUID", Value: v.Signature.UUID})
	}
	ids = append(ids, blkid.Ref{Key: "PARTUUID", Value: d.PartUUID}, blkid.Ref{Key: "WWID", Value: d.WWID}, blkid.Ref{Key: "SERIAL", Value: d.Serial})
	for _, id := range ids {
		// A DOS disk without a signature gives its partitions no identity.
		if id.Value != "" && !unsignedDOS(id.Value) && m.same(ctx, id, d) == nil {
			r.Target.Device = id.String()
			return nil
		}
	}
	if r.Target.Place() == capture.OnFilesystem && r.Target.Device != "" && !path.IsAbs(r.Target.Device) {
		return refuse("name the device: fs:/dev/NAME", "the capture kernel can't find %s by %s: gokexec does not read that of a %s", d.node(), r.Target.Device, orNothing(d))
	}
	r.Target.Device = d.node()
	r.warn("%s has neither a UUID nor a serial number; under its name the capture kernel may find another disk: create a partition table, or give the virtual disk a serial number", d.node())
	return nil
}

// same returns an error if a name does not lead to the device, or leads to several.
func (m *Machine) same(ctx context.Context, ref blkid.Ref, d device) error {
	found, err := m.finder.Find(ctx, ref)
	if err != nil {
		return err
	}
	b, err := m.blockByNode(found.Node)
	if err != nil {
		return err
	}
	v := d.Verdict()
	if b.name != d.name && !(v.Signature.Type == btrfs && strings.EqualFold(v.Signature.UUID, ref.Value)) {
		return fmt.Errorf("%s is %s, not %s", ref, found.Node, d.node())
	}
	return nil
}

// place finds out where a path lies on a filesystem that is mounted here. If the path,
// seen from /, is on that filesystem, it is taken so; otherwise it counts from the mount
// point.
func (m *Machine) place(r *Resolved) error {
	t := &r.Target
	mounts, err := m.mounts()
	if err != nil {
		return err
	}
	here := slices.DeleteFunc(slices.Clone(mounts), func(c Mount) bool {
		at, ok := mounts.At(c.Point)
		return !m.isOn(c, r.on()) || !ok || at.ID != c.ID
	})
	if len(here) == 0 {
		if t.Path != "" && t.Path != "/" {
			r.warn("%s is not mounted here: its path was not checked for symbolic links", *t)
		}
		return nil
	}
	s, err := m.see(path.Join("/", t.Path))
	if err != nil || !m.isOn(s.mount, r.on()) {
		// The whole filesystem rather than a directory of it.
		at := slices.MinFunc(here, func(a, b Mount) int { return len(a.Root) - len(b.Root) })
		if at.Root != "/" && at.FSType != btrfs {
			return nil
		}
		if s, err = m.see(path.Join(at.Point, t.Path)); err != nil {
			return err
		}
		if !m.isOn(s.mount, r.on()) {
			return refuse("name that one", "%s leads to another filesystem, %s (%s)", path.Join(at.Point, t.Path), s.mount.Source, s.real)
		}
	}
	r.readOnly(s)
	if !strings.Contains(t.MountOptions, "subvol") {
		t.MountOptions, t.Path = join(t.MountOptions, s)
	}
	return nil
}

// isOn reports whether a mount is of a filesystem on these devices.
func (m *Machine) isOn(c Mount, devices []string) bool {
	b, err := m.blockOf(c)
	return err == nil && slices.Contains(devices, b.name)
}

// blockOf is the block device of a mounted filesystem, or one of its devices:
// btrfs and bcachefs have a number of their own.
func (m *Machine) blockOf(c Mount) (block, error) {
	b, err := m.blockByNumber(c.Dev)
	if err == nil {
		return b, nil
	}
	source, _, _ := strings.Cut(c.Source, ":/") // bcachefs lists all
	if !path.IsAbs(source) {
		return block{}, err
	}
	return m.blockByNode(source)
}

func orNothing(d device) string {
	if v := d.Verdict(); v.Kind != blkid.Blank {
		return v.Signature.String()
	}
	return "blank device"
}
