package storage

import (
	"bufio"
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"

	"github.com/gokexec/gokexec/pkg/blkid"
	"github.com/gokexec/gokexec/pkg/capture"
)

const btrfs = "btrfs"

// unwritable is why nothing can be saved to a filesystem of a type; "" where that is possible.
func unwritable(fstype string) string {
	switch fstype {
	case "squashfs", "iso9660", "erofs", "cramfs", "romfs":
		return "is read-only by design"
	case "gfs2", "ocfs2":
		return "needs the lock manager of a cluster"
	}
	return ""
}

// CheckFSType refuses a filesystem on which no dump can be saved, whatever
// device it is on.
func CheckFSType(fstype string) error {
	if why := unwritable(fstype); why != "" {
		return refuse("choose another filesystem, or a disk: raw:DEVICE", "filesystem %s %s", fstype, why)
	}
	return nil
}

// filesystem checks what a device holds, and for a btrfs that all of its devices can
// exist in the capture kernel.
func (m *Machine) filesystem(ctx context.Context, r *Resolved, d device) error {
	const instead = "choose a device with a filesystem directly on it, or a whole disk: raw:DEVICE"
	r.tops = []top{{block: d.block}}
	v, asked := d.Verdict(), r.Target.FSType
	if v.Kind != blkid.Filesystem && asked == "" {
		return refuse(instead, "%s holds no filesystem, but a %s", d.node(), orNothing(d))
	}
	found := v.Signature
	if v.Kind != blkid.Filesystem {
		found = blkid.Signature{Type: asked}
	}
	if err := errors.Join(CheckFSType(found.Type), CheckFSType(asked)); err != nil {
		return err
	}
	switch {
	case d.Needs != "" && found.Type == "xfs":
		if err := m.xfsDevices(ctx, r, d); err != nil {
			return err
		}
	case d.Journal != "":
		if err := m.extJournal(ctx, r, d); err != nil {
			return err
		}
	case d.Needs != "":
		return refuse("choose another filesystem: the kernel finds that by a device name or number, which may be another device's in the capture kernel", "the %s of %s has %s", found.Type, d.node(), d.Needs)
	case !found.Mountable && asked == "":
		return refuse("name the type to mount it as, if the kernel can write it: --fstype TYPE", "%s holds a %s; gokexec does not know whether it can save a dump there", d.node(), found)
	case asked != "" && asked != found.Type && found.Mountable && !slices.Contains(found.MountTypes(), asked):
		return refuse("leave --fstype out", "%s holds a %s, not a %s", d.node(), found, asked)
	}
	drivers, err := capture.MountTypes(asked, d.node(), &d.Contents)
	if err != nil {
		return refuse(instead, "%v", err)
	}
	r.FSType, r.Drivers = found.Type, drivers
	if d.Btrfs != nil {
		return m.members(ctx, r, d)
	}
	return nil
}

// members checks the devices of a btrfs.
func (m *Machine) members(ctx context.Context, r *Resolved, d device) error {
	if d.Btrfs.Seed {
		return refuse("choose another filesystem", "the btrfs on %s is a seed, which is read-only", d.node())
	}
	if d.Btrfs.Devices <= 1 {
		return nil
	}
	all, err := m.finder.Btrfs(ctx)
	if err != nil {
		return err
	}
	ids := map[uint64]string{d.Btrfs.ID: d.name}
	for _, member := range all {
		if member.Btrfs.FSID != d.Btrfs.FSID {
			continue
		}
		b, err := m.blockByNode(member.Node)
		if err != nil {
			return err
		}
		if b.name == d.name || !m.inBtrfs(d.Btrfs.FSID, b) {
			continue
		}
		// The disks below an array or a mirror show what that holds.
		if seen, err := m.finder.Device(ctx, b.node()); err == nil && seen.MemberOf() != nil {
			continue
		}
		if _, err := m.look(ctx, b); err != nil {
			return err
		}
		if other, twice := ids[member.Btrfs.ID]; twice {
			return refuse("detach the copy", "%s and %s are the same device of one btrfs", nodeOf(other), b.node())
		}
		ids[member.Btrfs.ID] = b.name
		r.tops = append(r.tops, top{block: b, option: "device"})
	}
	if uint64(len(ids)) < d.Btrfs.Devices {
		return refuse("connect the others again, or remove them from the filesystem: btrfs device remove missing; gokexec does not mount it degraded",
			"only %d of the %d devices of the btrfs on %s are present", len(ids), d.Btrfs.Devices, d.node())
	}
	return nil
}

// inBtrfs reports whether a device is one of those of a btrfs: of those of the mounted one (fs/btrfs/sysfs.c), where
// it is mounted.
func (m *Machine) inBtrfs(fsid string, b block) bool {
	dir := "sys/fs/btrfs/" + fsid + "/devices"
	return !m.there(dir) || m.there(dir+"/"+b.name)
}

// raw checks that a device may be overwritten.
func (m *Machine) raw(ctx context.Context, r *Resolved, d device) error {
	r.tops = []top{{block: d.block}}
	mounts, err := m.mounts()
	if err != nil {
		return err
	}
	for _, b := range append(m.parts(d.block), d.block) {
		for _, c := range mounts {
			if m.isOn(c, []string{b.name}) {
				return refuse("save to its filesystem, or choose a disk that nothing uses: fs:"+c.Point, "%s is mounted on %s: a dump would destroy its filesystem", b.node(), c.Point)
			}
		}
		if m.ofMountedBtrfs(b) {
			return refuse("choose a disk that nothing uses", "%s is a member of a btrfs that is mounted", b.node())
		}
		swap, err := m.swapsOn(b)
		if err != nil {
			return err
		}
		if swap && !r.Target.Overwrite {
			return refuse("--overwrite allows it, but the swap space must be created again after a dump; or choose a disk that nothing uses", "%s is swap space in use", b.node())
		}
	}
	if err := capture.CheckRaw(ctx, m.sys, d.node(), r.Target.Overwrite); err != nil {
		return refuse("--overwrite lets a dump destroy that; otherwise choose an empty disk or partition", "%v", err)
	}
	return nil
}

// ofMountedBtrfs looks for a device among those of the btrfs that the kernel has
// mounted (fs/btrfs/sysfs.c): mountinfo names but one of them.
func (m *Machine) ofMountedBtrfs(b block) bool {
	found, _ := fs.Glob(m.sys.FS(), "sys/fs/btrfs/*/devices/"+b.name)
	return len(found) > 0
}

// swapsOn reports whether a device is swap space in use.
func (m *Machine) swapsOn(b block) (bool, error) {
	f, err := m.sys.FS().Open("proc/swaps")
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil // a kernel without swap
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		name, _, _ := strings.Cut(s.Text(), " ")
		if used, err := m.blockByNode(unescapeOctal(name)); strings.HasPrefix(name, "/dev/") && err == nil && used.name == b.name {
			return true, nil
		}
	}
	return false, nil
}
