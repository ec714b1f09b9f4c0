package storage

import (
	"context"
	"fmt"
	"path"
	"strings"

	"github.com/gokexec/gokexec/pkg/blkid"
	"github.com/gokexec/gokexec/pkg/capture"
)

// Where returns where a target is on this machine now: dir is the directory in which dumps have theirs, of a
// filesystem that is mounted; node is the device of a raw target. It takes the targets of a capture kernel's
// configuration, and those that an administrator names. A filesystem that is not mounted is [ErrNotMounted].
func (m *Machine) Where(ctx context.Context, t capture.Target) (dir, node string, err error) {
	fail := func(err error) (string, string, error) { return "", "", fmt.Errorf("target %s: %w", t, err) }
	if t.Place() == capture.InDirectory {
		return t.Path, "", nil
	}
	if t.Remote() {
		return fail(ErrNotMounted)
	}
	ref, err := blkid.ParseRef(t.Device)
	if err != nil {
		return fail(err)
	}
	if b, ok := m.topOf(t.Stack); ok && t.Place() == capture.OnFilesystem {
		if dir, err := m.mountedDir(t, []string{b.name}); err == nil {
			return dir, "", nil
		}
	}
	if t.Place() == capture.OnDevice {
		found, err := m.finder.Find(ctx, ref)
		if err != nil {
			return fail(err)
		}
		return "", found.Node, nil
	}
	// With udev's links no disk is read, which may sleep.
	if b, err := m.blockByNode(linkOf(ref)); err == nil {
		if dir, err := m.mountedDir(t, []string{b.name}); err == nil {
			return dir, "", nil
		}
	}
	_, d, err := m.named(ctx, t)
	if err != nil {
		return fail(err)
	}
	r := &Resolved{Target: t}
	if err := m.filesystem(ctx, r, d); err != nil {
		return fail(err)
	}
	if dir, err = m.mountedDir(t, r.on()); err != nil {
		return fail(err)
	}
	return dir, "", nil
}

// linkOf is the node of a device, or udev's link to it.
func linkOf(ref blkid.Ref) string {
	if ref.Key == "" {
		return ref.Value
	}
	return "/dev/disk/by-" + strings.ToLower(ref.Key) + "/" + blkid.LinkName(ref.Value)
}

// mountedDir finds the directory of a filesystem target where the filesystem is mounted.
func (m *Machine) mountedDir(t capture.Target, devices []string) (string, error) {
	mounts, err := m.mounts()
	if err != nil {
		return "", err
	}
	dir, longest := "", -1
	for _, c := range mounts {
		at, visible := mounts.At(c.Point)
		if !visible || at.ID != c.ID || !m.isOn(c, devices) {
			continue
		}
		inside := path.Join("/", t.Path)
		if c.FSType == btrfs {
			inside = path.Join("/", subvolumeOf(t.MountOptions, mounts), t.Path)
		}
		rest, below := strings.CutPrefix(inside+"/", strings.TrimSuffix(c.Root, "/")+"/")
		if below && len(c.Root) > longest {
			dir, longest = path.Join(c.Point, rest), len(c.Root)
		}
	}
	if longest < 0 {
		return "", ErrNotMounted
	}
	return dir, nil
}

// subvolumeOf is the path of the subvolume that mount options name; "" for the top level.
func subvolumeOf(options string, mounts Mounts) string {
	for _, option := range strings.Split(options, ",") {
		if name, ok := strings.CutPrefix(option, "subvol="); ok {
			return name
		}
		if id, ok := strings.CutPrefix(option, "subvolid="); ok {
			for _, c := range mounts {
				if name, own, ok := c.subvolume(); ok && own == id {
					return name
				}
			}
		}
	}
	return ""
}
