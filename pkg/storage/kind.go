package storage

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// kind is a kind of block device that does not exist in a capture kernel, since a capture
// initramfs does not set it up. Remove it from the table when that becomes possible.
type kind struct {
	// names are patterns (see fits) of the kernel's names of such devices, for other machines; ""
	// if the name does not tell.
	names string
	// is examines a device of this machine for a mark; nil if the name alone tells.
	is   func(m *Machine, b block, mark string) bool
	mark string
	// what it is, and what to use instead.
	what, instead string
}

const (
	takeDisk    = "name a plain disk or partition: raw:DEVICE, or fs:DEVICE with a filesystem directly on it"
	takeElse    = takeDisk + "; or build the capture initramfs by the distribution's tool with gokexec's hook, which sets it up"
	inMemory    = "the capture kernel has its own memory; what was there is a part of the dump"
	overNetwork = "nothing connects to it in the capture kernel, which has no network"
)

// kinds is that table; the first match counts.
var kinds = []kind{
	{"", dmIs, "LVM-", "an LVM logical volume: nothing activates it in the capture kernel", takeElse},
	{"", dmIs, "CRYPT-", "an encrypted volume (LUKS, dm-crypt): nothing unlocks it in the capture kernel", takeElse},
	{"", dmIs, "mpath-", "a multipath device: nothing assembles it in the capture kernel", takeElse},
	{"", dmIs, "part", "a partition mapped by kpartx: nothing maps it in the capture kernel", takeElse},
	{"", dmIs, "DMRAID-", "a RAID of device mapper: nothing assembles it in the capture kernel", takeElse},
	{"dm-# mapper!*", has, "dm", "a device-mapper device (LVM, LUKS, multipath and the like): nothing sets it up in the capture kernel", takeElse},
	{"md# md#p# md_d# md_d#p# md!*", has, "md", "an md RAID: nothing assembles it in the capture kernel", takeElse},
	{"bcache# bcache#p#", nil, "", "a bcache device: nothing registers it in the capture kernel", takeElse},
	{"drbd# drbd#p# drbd!*", nil, "", "a DRBD device: nothing brings it up in the capture kernel", takeElse},
	{"zd# zd#p# zvol!*", nil, "", "a volume of ZFS: nothing imports its pool in the capture kernel", takeElse},
	{"loop# loop#p#", nil, "", "a loop device: nothing sets it up in the capture kernel", "name the filesystem that holds its file, or a disk: fs:DEVICE:PATH"},
	{"zram#", nil, "", "compressed memory (zram): " + inMemory, takeDisk},
	{"ram#", nil, "", "a RAM disk: " + inMemory, takeDisk},
	{"nullb# nullb#p#", nil, "", "a null block device, which keeps nothing or keeps it in memory", takeDisk},
	{"nbd# nbd#p#", nil, "", "a network block device: " + overNetwork, takeDisk},
	{"rbd# rbd#p# rbd!*", nil, "", "a Ceph block device (rbd): " + overNetwork, takeDisk},
	{"etherd!*", nil, "", "an ATA-over-Ethernet disk: " + overNetwork, takeDisk},
	{"rnbd# rnbd#p#", nil, "", "an RNBD disk: " + overNetwork, takeDisk},
	{"ublkb# ublkb#p#", nil, "", "a block device that a program serves (ublk): it does not run in the capture kernel", takeDisk},
	{"sr#", nil, "", "an optical disc", takeDisk},
	{"", fabric, "", "an NVMe disk over a fabric (TCP, RDMA or Fibre Channel): " + overNetwork, takeDisk},
	// drivers/scsi/scsi_transport_iscsi.c, iscsi_add_session: "session%u".
	{"", below, "session#", "an iSCSI disk: " + overNetwork, takeDisk},
	// drivers/scsi/fcoe/fcoe_sysfs.c: "ctlr_%d".
	{"", below, "ctlr_#", "a disk over Fibre Channel over Ethernet: " + overNetwork, takeDisk},
	{"", virtual, "", "made by software while the system runs: nothing makes it in the capture kernel", takeDisk},
}

// absentKind finds out why a device does not exist in a capture kernel.
func (m *Machine) absentKind(b block) (kind, bool) {
	for _, k := range kinds {
		if k.is != nil && k.is(m, b, k.mark) || k.named(b.disk) {
			return k, true
		}
	}
	return kind{}, false
}

// absentName is absentKind for another machine's device, of which only the name
// is known: a path.
func absentName(device string) (kind, bool) {
	name, ok := strings.CutPrefix(path.Clean(device), "/dev/")
	if !ok {
		return kind{}, false
	}
	name = strings.ReplaceAll(name, "/", "!")
	for _, k := range kinds {
		if k.named(name) {
			return k, true
		}
	}
	return kind{}, false
}

// named reports whether a device of the kind has such a name.
func (k kind) named(name string) bool {
	return slices.ContainsFunc(strings.Fields(k.names), func(p string) bool { return fits(p, name) })
}

// fits matches a name with a pattern, in which # stands for a decimal number, and * at the end for
// anything.
func fits(pattern, name string) bool {
	for i, c := range []byte(pattern) {
		switch {
		case c == '*':
			return true
		case c == '#':
			rest := strings.TrimLeft(name, "0123456789")
			return len(rest) < len(name) && fits(pattern[i+1:], rest)
		case name == "" || name[0] != c:
			return false
		}
		name = name[1:]
	}
	return name == ""
}

// has tells a device by a directory in sysfs.
func has(m *Machine, b block, dir string) bool { return m.there(b.diskDir() + "/" + dir) }

// dmIs tells a device-mapper device by the beginning of its UUID, which the
// program that made it chose.
func dmIs(m *Machine, b block, prefix string) bool {
	return strings.HasPrefix(m.attribute(b.diskDir()+"/dm/uuid"), prefix)
}

// fabric tells an NVMe disk none of whose paths is local.
func fabric(m *Machine, b block, _ string) bool {
	far := func(t string) bool { return t == "tcp" || t == "rdma" || t == "fc" || t == "loop" }
	ways := m.transports(b)
	return len(ways) > 0 && !slices.ContainsFunc(ways, func(t string) bool { return !far(t) })
}

// below tells a device by a directory above it.
func below(_ *Machine, b block, pattern string) bool {
	return slices.ContainsFunc(strings.Split(b.dir, "/"), func(dir string) bool { return fits(pattern, dir) })
}

// virtual tells a disk that hangs on no bus. The disk of an NVMe subsystem
// with several paths hangs on none either, but its controllers do.
func virtual(_ *Machine, b block, _ string) bool {
	return strings.HasPrefix(b.dir, "sys/devices/virtual/") && !strings.HasPrefix(b.dir, "sys/devices/virtual/nvme-subsystem/")
}

func (k kind) refuse(device string) error {
	return &Refusal{What: fmt.Sprintf("%s is %s", device, k.what), Instead: k.instead}
}
