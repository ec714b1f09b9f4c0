package blkid

import (
	"context"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"github.com/gokexec/gokexec/internal/sysfs"
)

func (f *Finder) look() *look { return &look{Finder: f, probed: make(map[string]probed)} }

// look is one search of the machine; it probes each device once.
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
	switch ref.Key {
	case "PARTUUID", "PARTLABEL":
		l.partition(ctx, d, name)
	case "WWID", "SERIAL":
		l.hardware(d, name)
	}
	if ref.Key != "UUID" && ref.Key != "LABEL" && !ref.Names(d) {
		return d, nil
	}
	var err error
	if d.Contents, err = l.probe(ctx, d.Node); err != nil {
		return nil, err
	}
	if ref.Names(d) {
		l.identify(ctx, d, name)
	}
	return d, nil
}

// identify fills in what is known of a device apart from its contents.
func (l *look) identify(ctx context.Context, d *Device, name string) {
	l.partition(ctx, d, name)
	l.hardware(d, name)
	l.membership(ctx, d, name)
}

// membership finds out what a device is a part of: by its own signature, by what uses
// it, and, for a partition, by those of its disk, since an array of whole disks may have
// partitions, which its members show, too. Writing to a disk overwrites its partitions,
// so these count as well.
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
		l.partitionsMember(ctx, d, name)
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

// partitionsMember looks for a member among the partitions of a disk.
func (l *look) partitionsMember(ctx context.Context, d *Device, name string) {
	found, _ := fs.Glob(l.Root, "sys/class/block/"+name+"/*/partition")
	for _, f := range found {
		part := path.Base(path.Dir(f))
		c, err := l.probe(ctx, node(part))
		switch v := c.Verdict(); {
		case err == nil && v.Kind == Member:
			d.member = fmt.Errorf("%s has the partition %s, which is a part of %s (%s): %w", d.Node, node(part), v.memberOf(), v.Signature.Type, ErrMember)
			return
		case l.holder(part, false) != "":
			d.member = fmt.Errorf("%s has the partition %s, which is a part of %s: %w", d.Node, node(part), l.holder(part, false), ErrMember)
			return
		}
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

// kernelName is the sysfs name of the device of a path: udev's links lead there
// in one step.
func (l *look) kernelName(name string) string {
	if target, err := fs.ReadLink(l.Root, strings.TrimPrefix(name, "/")); err == nil {
		if !path.IsAbs(target) {
			target = path.Join(path.Dir(name), target)
		}
		name = target
	}
	return strings.ReplaceAll(strings.TrimPrefix(name, "/dev/"), "/", "!")
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

// wwidFiles are where sysfs has what tells a disk from all others: NVMe, SCSI,
// DASD, MMC (kernel: nvme/host/sysfs.c, scsi/scsi_sysfs.c,
// s390/block/dasd_devmap.c, mmc/core/mmc.c).
var wwidFiles = []string{"/wwid", "/device/wwid", "/device/uid", "/device/cid"}

// serialFiles are where sysfs has a disk's serial number: virtio, where whoever made the machine
// chose it, and the controllers of NVMe and MMC (kernel: block/virtio_blk.c, nvme/host/sysfs.c,
// mmc/core/mmc.c). The namespaces of an NVMe controller share one.
var serialFiles = []string{"/serial", "/device/serial"}

// hardware reads what sysfs knows a disk by.
func (l *look) hardware(d *Device, name string) {
	disk, part := name, ""
	if number := l.text(name + "/partition"); number != "" {
		disk, part = l.disk(name), "-part"+number
	}
	read := func(file string) string {
		if text := l.text(disk + file); text != "" {
			return text + part
		}
		return ""
	}
	for _, file := range wwidFiles {
		if d.WWID = read(file); d.WWID != "" {
			break
		}
	}
	for _, file := range serialFiles {
		if d.Serial = read(file); d.Serial != "" {
			return
		}
	}
	if serial := l.unitSerial(disk); serial != "" {
		d.Serial = serial + part
	}
}

// unitSerial reads a SCSI disk's serial number from its vital product data, page 0x80 (SPC-4, 7.8.15; kernel:
// drivers/scsi/scsi_sysfs.c, vpd_pg80): four bytes with the page's number and length, and text.
func (l *look) unitSerial(disk string) string {
	page, err := sysfs.ReadFile(l.Root, "sys/class/block/"+disk+"/device/vpd_pg80", 4+0xffff)
	if err != nil || len(page) < 4 || page[1] != 0x80 {
		return ""
	}
	length := int(page[2])<<8 | int(page[3])
	return strings.TrimSpace(cString(page[4:min(4+length, len(page))]))
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

// empty reports whether a name stands for no device: a path of an NVMe disk, which has no
// node, or an empty slot, such as an unused loop device.
func (l *look) empty(name string) bool {
	return l.number(name+"/hidden") == 1 || l.has(name+"/size") && l.number(name+"/size") == 0
}

// text is an attribute below sys/class/block, "" if it isn't there.
func (l *look) text(name string) string {
	text, err := sysfs.ReadString(l.Root, "sys/class/block/"+name)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(strings.Trim(text, "\x00"))
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
