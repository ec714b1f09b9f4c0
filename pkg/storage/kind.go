package storage

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// kind is a kind of block device that does not exist in a capture kernel, since a capture
// initramfs does not set it up. Remove it from the table when that becomes possible.
type kind struct {
	// names are the kernel's names of such devices, for other machines; nil if the name
	// does not tell.
	names *regexp.Regexp
	// is examines a device of this machine; nil if the name alone tells.
	is func(m *Machine, b block) bool
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
	{nil, dmIs("LVM-"), "an LVM logical volume: nothing activates it in the capture kernel", takeElse},
	{nil, dmIs("CRYPT-"), "an encrypted volume (LUKS, dm-crypt): nothing unlocks it in the capture kernel", takeElse},
	{nil, dmIs("mpath-"), "a multipath device: nothing assembles it in the capture kernel", takeElse},
	{nil, dmIs("part"), "a partition mapped by kpartx: nothing maps it in the capture kernel", takeElse},
	{nil, dmIs("DMRAID-"), "a RAID of device mapper: nothing assembles it in the capture kernel", takeElse},
	{regexp.MustCompile(`^(dm-\d+|mapper!.*)$`), has("dm"), "a device-mapper device (LVM, LUKS, multipath and the like): nothing sets it up in the capture kernel", takeElse},
	{regexp.MustCompile(`^md(\d+|_d\d+|!.*)(p\d+)?$`), has("md"), "an md RAID: nothing assembles it in the capture kernel", takeElse},
	{regexp.MustCompile(`^bcache\d+(p\d+)?$`), nil, "a bcache device: nothing registers it in the capture kernel", takeElse},
	{regexp.MustCompile(`^drbd(\d+|!.*)(p\d+)?$`), nil, "a DRBD device: nothing brings it up in the capture kernel", takeElse},
	{regexp.MustCompile(`^(zd\d+(p\d+)?|zvol!.*)$`), nil, "a volume of ZFS: nothing imports its pool in the capture kernel", takeElse},
	{regexp.MustCompile(`^loop\d+(p\d+)?$`), nil, "a loop device: nothing sets it up in the capture kernel", "name the filesystem that holds its file, or a disk: fs:DEVICE:PATH"},
	{regexp.MustCompile(`^zram\d+$`), nil, "compressed memory (zram): " + inMemory, takeDisk},
	{regexp.MustCompile(`^ram\d+$`), nil, "a RAM disk: " + inMemory, takeDisk},
	{regexp.MustCompile(`^nullb\d+(p\d+)?$`), nil, "a null block device, which keeps nothing or keeps it in memory", takeDisk},
	{regexp.MustCompile(`^nbd\d+(p\d+)?$`), nil, "a network block device: " + overNetwork, takeDisk},
	{regexp.MustCompile(`^(rbd\d+(p\d+)?|rbd!.*)$`), nil, "a Ceph block device (rbd): " + overNetwork, takeDisk},
	{regexp.MustCompile(`^etherd!.*$`), nil, "an ATA-over-Ethernet disk: " + overNetwork, takeDisk},
	{regexp.MustCompile(`^rnbd\d+(p\d+)?$`), nil, "an RNBD disk: " + overNetwork, takeDisk},
	{regexp.MustCompile(`^ublkb\d+(p\d+)?$`), nil, "a block device that a program serves (ublk): it does not run in the capture kernel", takeDisk},
	{regexp.MustCompile(`^sr\d+$`), nil, "an optical disc", takeDisk},
	{nil, fabric, "an NVMe disk over a fabric (TCP, RDMA or Fibre Channel): " + overNetwork, takeDisk},
	// drivers/scsi/scsi_transport_iscsi.c, iscsi_add_session: "session%u".
	{nil, below(`/session\d+/`), "an iSCSI disk: " + overNetwork, takeDisk},
	// drivers/scsi/fcoe/fcoe_sysfs.c: "ctlr_%d".
	{nil, below(`/ctlr_\d+/`), "a disk over Fibre Channel over Ethernet: " + overNetwork, takeDisk},
	{nil, virtual, "made by software while the system runs: nothing makes it in the capture kernel", takeDisk},
}

// absentKind finds out why a device does not exist in a capture kernel.
func (m *Machine) absentKind(b block) (kind, bool) {
	for _, k := range kinds {
		if k.is != nil && k.is(m, b) || k.names != nil && k.names.MatchString(b.disk) {
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
		if k.names != nil && k.names.MatchString(name) {
			return k, true
		}
	}
	return kind{}, false
}

// has tells a device by a directory in sysfs.
func has(dir string) func(*Machine, block) bool {
	return func(m *Machine, b block) bool { return m.there(b.diskDir() + "/" + dir) }
}

// dmIs tells a device-mapper device by the beginning of its UUID, which the
// program that made it chose.
func dmIs(prefix string) func(*Machine, block) bool {
	return func(m *Machine, b block) bool {
		return strings.HasPrefix(m.attribute(b.diskDir()+"/dm/uuid"), prefix)
	}
}

// fabric tells an NVMe disk none of whose paths is local.
func fabric(m *Machine, b block) bool {
	far := func(t string) bool { return t == "tcp" || t == "rdma" || t == "fc" || t == "loop" }
	ways := m.transports(b)
	return len(ways) > 0 && !slices.ContainsFunc(ways, func(t string) bool { return !far(t) })
}

func below(pattern string) func(*Machine, block) bool {
	is := regexp.MustCompile(pattern)
	return func(_ *Machine, b block) bool { return is.MatchString(b.dir + "/") }
}

// virtual tells a disk that hangs on no bus. The disk of an NVMe subsystem
// with several paths hangs on none either, but its controllers do.
func virtual(_ *Machine, b block) bool {
	return strings.HasPrefix(b.dir, "sys/devices/virtual/") && !strings.HasPrefix(b.dir, "sys/devices/virtual/nvme-subsystem/")
}

func (k kind) refuse(device string) error {
	return &Refusal{What: fmt.Sprintf("%s is %s", device, k.what), Instead: k.instead}
}
