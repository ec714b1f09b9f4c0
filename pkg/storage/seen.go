package storage

import (
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/gokexec/gokexec/internal/rootfs"
)

// seen is a path of the running machine, and where it lies.
type seen struct {
	real   string // without links
	mount  Mount
	inside string // in the filesystem; for btrfs from its top level
}

// mounts reads this machine's mounts.
func (m *Machine) mounts() (Mounts, error) {
	f, err := m.sys.FS().Open("proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("read the mounts of this machine: %w", err)
	}
	defer f.Close()
	mounts, err := ParseMountinfo(f)
	if err != nil {
		return nil, fmt.Errorf("/proc/self/mountinfo: %w", err)
	}
	return mounts, nil
}

// see follows a path as the kernel would here. Its last element need not exist.
func (m *Machine) see(name string) (seen, error) {
	mounts, err := m.mounts()
	if err != nil {
		return seen{}, err
	}
	rel := strings.TrimPrefix(path.Clean(name), "/")
	if rel == "" {
		rel = "."
	}
	real, err := rootfs.ResolveNew(m.sys.FS(), rel)
	if err != nil {
		return seen{}, err
	}
	s := seen{real: path.Join("/", real)}
	if info, err := fs.Lstat(m.sys.FS(), real); err == nil && !info.IsDir() {
		return s, refuse("name a directory", "%s is no directory", s.real)
	}
	var found bool
	if s.mount, found = mounts.At(s.real); !found {
		return s, refuse("name the filesystem itself, fs:UUID=...:/PATH; outside of the chroot or container, findmnt shows it",
			"%s: what is mounted at / can't be told here", name)
	}
	s.inside = s.mount.within(s.real)
	return s, nil
}

// noDisk is what a filesystem of a type lies on instead of a block device, so that no dump can be
// saved there; "" if it lies on one.
func noDisk(fstype string) string {
	switch fstype {
	case "overlay":
		return "an overlay, whose changes lie in a directory of another filesystem (upperdir=)"
	case "tmpfs":
		return "memory (tmpfs), which is gone after a crash"
	case "ramfs":
		return "memory (ramfs), which is gone after a crash"
	case "rootfs":
		return "memory (the initramfs), which is gone after a crash"
	case "devtmpfs":
		return "memory (devtmpfs), which is gone after a crash"
	case "nfs", "nfs4":
		return "a filesystem of the network (NFS)"
	case "cifs", "smb3":
		return "a filesystem of the network (SMB)"
	case "ceph":
		return "a filesystem of the network (Ceph)"
	case "9p":
		return "a directory of the host (9p)"
	case "virtiofs":
		return "a directory of the host (virtiofs)"
	case "zfs":
		return "a ZFS dataset, whose pool is not imported in the capture kernel"
	}
	return ""
}

const elsewhereOnDisk = "name a directory of a filesystem on a plain disk, or a disk: raw:DEVICE"

// onDisk refuses a directory that is on no block device.
func (s seen) onDisk(name string) error {
	if why := noDisk(s.mount.FSType); why != "" {
		return refuse(elsewhereOnDisk, "%s is on %s", name, why)
	}
	if strings.HasPrefix(s.mount.FSType, "fuse") && s.mount.FSType != "fuseblk" {
		return refuse(elsewhereOnDisk, "%s is on a filesystem that a program serves (%s): it does not run in the capture kernel", name, s.mount.FSType)
	}
	if strings.HasSuffix(s.mount.Root, "//deleted") {
		return refuse(elsewhereOnDisk, "%s is a mount of a directory that was deleted since", name)
	}
	return nil
}

// options are what mount(2) has to be told to find a path that is inside of the
// filesystem, and the path from what is mounted then. Without them a btrfs shows
// its default subvolume, which another one may be by then.
func (s seen) options() (data, inside string) {
	if s.mount.FSType != "btrfs" {
		return "", s.inside
	}
	name, id, ok := s.mount.subvolume()
	if name == "/" || !ok || s.inside != name && !strings.HasPrefix(s.inside, name+"/") {
		return "subvolid=5", s.inside // the top level
	}
	inside = path.Join("/", strings.TrimPrefix(s.inside, name))
	if strings.Contains(name, ",") {
		return "subvolid=" + id, inside
	}
	return "subvol=" + name, inside
}
