package storage

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// kind is a kind of block device that does not exist in a capture kernel: no driver finds it there, and it is not
// made of disks in a way that can be recorded (see walk). Remove it from the table when that becomes possible.
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
	inMemory    = "the capture kernel has its own memory; what was there is a part of the dump"
	overNetwork = "nothing connects to it in the capture kernel"
)

// kinds is that table; the first match counts.
var kinds = []kind{
	{"bcache# bcache#p#", nil, "", "a bcache device: nothing registers it in the capture kernel", takeDisk},
	{"drbd# drbd#p# drbd!*", nil, "", "a DRBD device: nothing brings it up in the capture kernel", takeDisk},
	{"zd# zd#p# zvol!*", nil, "", "a volume of ZFS: nothing imports its pool in the capture kernel", takeDisk},
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

// stackedNames are the kernel's names of devices whose stack only their own machine knows.
var stackedNames = []kind{
	{"dm-# mapper!*", nil, "", "a device-mapper device (LVM, LUKS, multipath and the like): what it is made of is recorded on its own machine only", recordThere},
	{"md# md#p# md_d# md_d#p# md!*", nil, "", "an md RAID: what it is made of is recorded on its own machine only", recordThere},
}

const recordThere = "build the initramfs on that machine, as gokexec arm does; or " + takeDisk

// absentKind finds out why a device that is not made of others does not exist in a capture kernel.
func (m *Machine) absentKind(b block) (kind, bool) {
	if m.stacked(b) {
		return kind{}, false
	}
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
	for _, table := range [][]kind{kinds, stackedNames} {
		for _, k := range table {
			if k.named(name) {
				return k, true
			}
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
