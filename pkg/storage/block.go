package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/gokexec/gokexec/internal/rootfs"
)

// maxAttribute bounds what is read of a file of sysfs, in bytes.
const maxAttribute = 64 << 10

// block is a block device as sysfs shows it.
type block struct {
	name string // the kernel's, with '!' for '/'
	dir  string // below sys/devices
	disk string // name of the disk of a partition; its own for a disk
}

// node is the path of its node.
func (b block) node() string { return nodeOf(b.name) }

// nodeOf is the path of a block device's node; a '!' in sysfs is a '/' in /dev
// (kernel: drivers/base/core.c, device_get_devnode).
func nodeOf(name string) string { return "/dev/" + strings.ReplaceAll(name, "!", "/") }

// partition reports whether it is a part of a disk.
func (b block) partition() bool { return b.name != b.disk }

// blockByNode finds the block device of a node, through whatever links lead to it.
func (m *Machine) blockByNode(node string) (block, error) {
	root := m.sys.FS()
	real, err := rootfs.Resolve(root, strings.TrimPrefix(path.Clean(node), "/"))
	if kernel, ok := strings.CutPrefix(path.Clean(node), "/dev/"); ok && errors.Is(err, fs.ErrNotExist) {
		// Without its node it still may be known what it is.
		if b, sysErr := m.block(strings.ReplaceAll(kernel, "/", "!")); sysErr == nil {
			return b, nil
		}
	}
	if err != nil {
		return block{}, err
	}
	name, ok := strings.CutPrefix(real, "dev/")
	if !ok {
		return block{}, refuse("name a device: fs:/dev/NAME, raw:/dev/NAME", "%s leads to /%s, outside of /dev", node, real)
	}
	b, err := m.block(strings.ReplaceAll(name, "/", "!"))
	if mapped, ok := strings.CutPrefix(name, "mapper/"); ok && errors.Is(err, fs.ErrNotExist) {
		b, err = m.blockByMap(mapped)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return b, refuse("lsblk shows those that there are", "%s is no block device that the kernel knows", node)
	}
	return b, err
}

// block finds a block device by the kernel's name.
func (m *Machine) block(name string) (block, error) {
	dir, err := rootfs.Resolve(m.sys.FS(), "sys/class/block/"+name)
	if err != nil {
		return block{}, err
	}
	b := block{name: name, dir: dir, disk: name}
	if m.attribute(dir+"/partition") != "" {
		b.disk = path.Base(path.Dir(dir))
	}
	return b, nil
}

// blockByMap finds the block device of a map by its name: without udev /dev/mapper has nodes instead of links.
func (m *Machine) blockByMap(name string) (block, error) {
	found, _ := fs.Glob(m.sys.FS(), "sys/class/block/dm-*")
	for _, dir := range found {
		if m.attribute(dir+"/dm/name") == name {
			return m.block(path.Base(dir))
		}
	}
	return block{}, fmt.Errorf("map %s: %w", name, fs.ErrNotExist)
}

// blockByNumber finds a block device by MAJOR:MINOR.
func (m *Machine) blockByNumber(number string) (block, error) {
	dir, err := rootfs.Resolve(m.sys.FS(), "sys/dev/block/"+number)
	if err != nil {
		return block{}, err
	}
	return m.block(path.Base(dir))
}

// parts are a disk's partitions.
func (m *Machine) parts(disk block) []block {
	entries, _ := fs.ReadDir(m.sys.FS(), disk.dir)
	var parts []block
	for _, e := range entries {
		if m.attribute(disk.dir+"/"+e.Name()+"/partition") != "" {
			parts = append(parts, block{name: e.Name(), dir: disk.dir + "/" + e.Name(), disk: disk.name})
		}
	}
	return parts
}

// diskDir is the directory of the disk that a device is, or is a part of.
func (b block) diskDir() string {
	if b.partition() {
		return path.Dir(b.dir)
	}
	return b.dir
}

// attribute reads a file of sysfs of one line; a missing one is "".
func (m *Machine) attribute(name string) string {
	real, err := rootfs.Resolve(m.sys.FS(), name)
	if err != nil {
		return ""
	}
	b, err := fs.ReadFile(m.sys.FS(), real)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b[:min(len(b), maxAttribute)]))
}

// there reports whether a name leads to something.
func (m *Machine) there(name string) bool {
	_, err := rootfs.Resolve(m.sys.FS(), name)
	return err == nil
}

// transports are how the controllers of an NVMe disk are reached: pcie, tcp,
// rdma, fc, loop. The disk of a subsystem with several paths hangs below the
// subsystem, which has links to its controllers (drivers/nvme/host/core.c,
// nvme_init_subsystem); another below its controller.
func (m *Machine) transports(b block) []string {
	var found []string
	above := path.Dir(b.diskDir())
	if t := m.attribute(above + "/transport"); t != "" {
		found = append(found, t)
	}
	if path.Base(path.Dir(above)) == "nvme-subsystem" {
		entries, _ := fs.ReadDir(m.sys.FS(), above)
		for _, e := range entries {
			if t := m.attribute(above + "/" + e.Name() + "/transport"); t != "" && strings.HasPrefix(e.Name(), "nvme") {
				found = append(found, t)
			}
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}
