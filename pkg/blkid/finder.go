package blkid

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// Errors of [Finder.Find].
var (
	// ErrMember means that a device is a part of something else, which is what
	// may be written to; the device itself may not.
	ErrMember = errors.New("a member is not to be written to")
	// ErrAmbiguous means that several devices bear a name.
	ErrAmbiguous = errors.New("several devices bear that name")
)

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
}

// Finder finds block devices by name.
type Finder struct {
	// Root is the tree that sys/class/block is read from.
	Root fs.FS
	// Probe opens a device by the path of its node and calls [Probe]. It bounds
	// the time that this takes, as a broken disk must not keep the others from
	// being found.
	Probe func(ctx context.Context, node string) (Contents, error)
}

// Find looks once for the device that bears a name.
func (f *Finder) Find(ctx context.Context, ref Ref) (*Device, error) {
	if ref.Key == "" {
		return f.Device(ctx, ref.Value)
	}
	entries, err := fs.ReadDir(f.Root, "sys/class/block")
	if err != nil {
		var pe *fs.PathError
		if errors.As(err, &pe) {
			err = pe.Err
		}
		return nil, fmt.Errorf("list /sys/class/block: %w", err)
	}
	seen := make([]string, 0, len(entries))
	var failed error
	for _, e := range entries {
		if size, err := f.number("sys/class/block/" + e.Name() + "/size"); err == nil && size == 0 {
			continue // an empty slot, such as an unused loop device
		}
		d, err := f.candidate(ctx, ref, e.Name())
		if err != nil {
			failed = err
		} else if ref.names(d) {
			return d, nil
		}
		seen = append(seen, e.Name())
	}
	if len(seen) == 0 {
		return nil, errors.New("there are no block devices; is the disk's driver loaded?")
	}
	err = fmt.Errorf("not among %s", strings.Join(seen[:min(len(seen), 20)], ", "))
	if failed != nil {
		err = fmt.Errorf("%w (%w)", err, failed)
	}
	return nil, err
}

// candidate reads no more of a device than the name asks for.
func (f *Finder) candidate(ctx context.Context, ref Ref, name string) (*Device, error) {
	d := &Device{Node: node(name)}
	switch ref.Key {
	case "PARTUUID", "PARTLABEL":
		f.partition(ctx, d, name)
	case "WWID", "SERIAL":
		d.WWID, d.Serial = f.hardware(name)
	}
	if ref.Key != "UUID" && ref.Key != "LABEL" && !ref.names(d) {
		return d, nil
	}
	var err error
	d.Contents, err = f.Probe(ctx, d.Node)
	return d, err
}

// Device looks at the device of a path.
func (f *Finder) Device(ctx context.Context, name string) (*Device, error) {
	d := &Device{Node: name}
	var err error
	if d.Contents, err = f.Probe(ctx, name); err != nil {
		return nil, err
	}
	f.partition(ctx, d, kernelName(name))
	d.WWID, d.Serial = f.hardware(kernelName(name))
	return d, nil
}

// node is the path of a block device's node; a '!' in sysfs is a '/' in /dev
// (kernel: drivers/base/core.c, device_get_devnode).
func node(name string) string { return "/dev/" + strings.ReplaceAll(name, "!", "/") }

func kernelName(node string) string {
	return strings.ReplaceAll(strings.TrimPrefix(node, "/dev/"), "/", "!")
}

// partition fills in the PARTUUID and PARTLABEL of a block device by its sysfs
// name: what the kernel says (since 6.9 in uevent), else from the partition
// table.
func (f *Finder) partition(ctx context.Context, d *Device, name string) {
	if uevent, err := fs.ReadFile(f.Root, "sys/class/block/"+name+"/uevent"); err == nil {
		for line := range strings.Lines(string(uevent)) {
			switch key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "="); key {
			case "PARTUUID":
				d.PartUUID = value
			case "PARTNAME":
				d.PartLabel = value
			}
		}
	}
	if d.PartUUID != "" {
		return
	}
	number, err := f.number("sys/class/block/" + name + "/partition")
	disk := f.disk(name)
	if err != nil || disk == "" {
		return
	}
	c, err := f.Probe(ctx, node(disk))
	if err != nil || c.Table == nil {
		return
	}
	if p, ok := c.Table.Partition(uint32(number)); ok {
		d.PartUUID, d.PartLabel = p.UUID, p.Label
	}
}

// wwidFiles are where sysfs has what tells a disk from all others: NVMe, SCSI,
// DASD, MMC (kernel: nvme/host/sysfs.c, scsi/scsi_sysfs.c,
// s390/block/dasd_devmap.c, mmc/core/mmc.c).
var wwidFiles = []string{"wwid", "device/wwid", "device/uid", "device/cid"}

// hardware reads what sysfs knows a disk by. The serial is that of virtio
// (block/virtio_blk.c), where whoever made the machine chose it.
func (f *Finder) hardware(name string) (wwid, serial string) {
	disk, part := name, ""
	if n, err := f.number("sys/class/block/" + name + "/partition"); err == nil {
		disk, part = f.disk(name), fmt.Sprintf("-part%d", n)
	}
	read := func(file string) string {
		b, err := fs.ReadFile(f.Root, "sys/class/block/"+disk+"/"+file)
		if text := strings.TrimSpace(strings.Trim(string(b), "\x00")); err == nil && text != "" {
			return text + part
		}
		return ""
	}
	for _, file := range wwidFiles {
		if wwid = read(file); wwid != "" {
			break
		}
	}
	return wwid, read("serial")
}

// disk is the sysfs name of a partition's disk, "" for none: the device that has
// the partition's directory in its own.
func (f *Finder) disk(partition string) string {
	disks, _ := fs.Glob(f.Root, "sys/class/block/*/"+partition+"/partition")
	if len(disks) == 0 {
		return ""
	}
	return path.Base(path.Dir(path.Dir(disks[0])))
}

func (f *Finder) number(name string) (uint64, error) {
	b, err := fs.ReadFile(f.Root, name)
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
}
