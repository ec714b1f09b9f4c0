package storage

import (
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/disktest"
	"github.com/gokexec/gokexec/pkg/capture"
)

// What can't be there in a capture kernel, or would be spoilt, is refused with
// the reason and what to do instead.
func TestResolveRefuses(t *testing.T) {
	virtual := func(name string, files ...string) func(*bench) {
		return func(b *bench) {
			b.disk("virtual/block/"+name, disktest.Ext4(dataUUID, ""))
			for i := 0; i+1 < len(files); i += 2 {
				b.file("sys/class/block/"+name+"/"+files[i], files[i+1])
			}
		}
	}
	holding := func(content ...func([]byte)) func(*bench) {
		return func(b *bench) { b.disk(pci+"0000:00:05.0/virtio2/block/vda", content...) }
	}
	mounted := func(fields string) func(*bench) {
		return func(b *bench) {
			b.mount("30 22 0:60 / /data rw - " + fields + " rw")
			b.mkdir("data")
		}
	}
	raw := func(device string) capture.Target { return capture.Target{Type: capture.TargetRaw, Device: device} }
	fsOn := func(device, dir string) capture.Target {
		return capture.Target{Type: capture.TargetFilesystem, Device: device, Path: dir}
	}
	dir := func(name string) capture.Target { return capture.Target{Type: capture.TargetDirectory, Path: name} }
	for _, tt := range []struct {
		name    string
		target  capture.Target
		says    string
		prepare func(*bench)
	}{
		{"loop", raw("/dev/loop0"), "a loop device", virtual("loop0")},
		{"zram", raw("/dev/zram0"), "zram", virtual("zram0")},
		{"RAM disk", raw("/dev/ram0"), "a RAM disk", virtual("ram0")},
		{"nbd", raw("/dev/nbd0"), "a network block device", virtual("nbd0")},
		{"rbd", raw("/dev/rbd0"), "Ceph", virtual("rbd0")},
		{"drbd", raw("/dev/drbd0"), "DRBD", virtual("drbd0")},
		{"bcache", raw("/dev/bcache0"), "bcache", virtual("bcache0")},
		{"zvol", raw("/dev/zd0"), "ZFS", virtual("zd0")},
		{"something else made by software", raw("/dev/foo0"), "made by software", virtual("foo0")},
		{"iSCSI", raw("/dev/sdb"), "an iSCSI disk", func(b *bench) { b.disk("platform/host3/session1/target3:0:0/3:0:0:1/block/sdb") }},
		{"FCoE", raw("/dev/sdb"), "over Ethernet", func(b *bench) {
			b.disk("pci0000:00/0000:00:03.0/net/eth0/ctlr_0/host3/rport-3:0-0/target3:0:0/3:0:0:1/block/sdb")
		}},
		{"NVMe over TCP", raw("/dev/nvme1n1"), "over a fabric", func(b *bench) {
			b.disk("virtual/nvme-fabrics/ctl/nvme1/nvme1n1")
			b.file("sys/devices/virtual/nvme-fabrics/ctl/nvme1/transport", "tcp\n")
		}},
		{"NVMe over TCP with several paths", raw("/dev/nvme1n1"), "over a fabric", func(b *bench) {
			b.disk("virtual/nvme-subsystem/nvme-subsys1/nvme1n1")
			b.file("sys/devices/virtual/nvme-fabrics/ctl/nvme1/transport", "rdma\n")
			b.link("sys/devices/virtual/nvme-subsystem/nvme-subsys1/nvme1", "../../nvme-fabrics/ctl/nvme1")
		}},
		{"a disk that has a holder", raw("/dev/vda"), "md0", func(b *bench) {
			holding()(b)
			b.file("sys/class/block/vda/holders/md0", "")
		}},
		{"a disk whose partition has a holder", raw("/dev/sda"), "dm-0", func(b *bench) { b.file("sys/class/block/sda1/holders/dm-0", "") }},
		{"a partition whose disk has a holder", raw("/dev/sda1"), "md0", func(b *bench) { b.file("sys/class/block/sda/holders/md0", "") }},
		{"something else that is on no disk", dir("/data/crash"), "no block device of this machine", mounted("ecryptfs /home/.x")},
		{"a read-only disk", raw("/dev/vda"), "is read-only", func(b *bench) {
			holding()(b)
			b.file("sys/class/block/vda/ro", "1\n")
		}},
		{"an absent UUID", fsOn("UUID=ffff", "/"), "is not on this machine", nil},
		{"an absent label", fsOn("LABEL=x:var", "/"), "is not on this machine", nil},
		{"an absent PARTUUID", raw("PARTUUID=ffff"), "is not on this machine", nil},
		{"an absent name", raw("/dev/sdz"), "is not on this machine", nil},
		{"a character device", raw("/dev/null"), "no block device that the kernel knows", func(b *bench) { b.file("dev/null", "") }},
		{"an image file", raw("/srv/image"), "outside of /dev", func(b *bench) { b.file("srv/image", "") }},
		{"an absent link", raw("/dev/disk/by-id/x"), "is not on this machine", nil},
		{"an LVM member", fsOn("/dev/vda", "/"), "(LVM2_member)", holding(bytesAt(0x218, "LVM2 001"))},
		{"a LUKS member with a filesystem inside", fsOn("/dev/vda", "/"), "(crypto_LUKS)", holding(disktest.Ext4(dataUUID, ""), bytesAt(0, "LUKS\xba\xbe"))},
		{"a member of an md RAID, by its filesystem's UUID", fsOn("UUID="+dataUUID, "/"), "linux_raid_member", holding(disktest.Ext4(dataUUID, ""), bytesAt(0x1000, "\xfc\x4e\x2b\xa9"))},
		{"squashfs", fsOn("/dev/vda", "/"), "read-only by design", holding(bytesAt(0, "hsqs"))},
		{"erofs", fsOn("/dev/vda", "/"), "read-only by design", holding(bytesAt(0x400, "\xe2\xe1\xf5\xe0"))},
		{"iso9660", fsOn("/dev/vda", "/"), "read-only by design", holding(bytesAt(0x8001, "CD001"))},
		{"no filesystem", fsOn("/dev/vda", "/"), "holds no filesystem", holding()},
		{"swap as a filesystem", fsOn("/dev/vda", "/"), "holds no filesystem, but a swap", holding(bytesAt(4086, "SWAPSPACE2"))},
		{"two filesystems at once", fsOn("/dev/vda", "/"), "can't be told", holding(disktest.Ext4(dataUUID, ""), disktest.Btrfs(otherUUID, 1, 1))},
		{"a disk with partitions as a filesystem", fsOn("/dev/sda", "/"), "holds no filesystem", nil},
		{"another type than it holds", capture.Target{Type: capture.TargetFilesystem, Device: "/dev/sda1", FSType: "xfs"}, "not a xfs", nil},
		{"ext4 with an external journal", fsOn("/dev/vda", "/"), "an external journal", holding(disktest.Ext4(dataUUID, ""), func(i []byte) { i[0x4e0] = 0 })},
		{"ext4 whose external journal is gone", fsOn("/dev/vda", "/"), "UUID=" + journalUUID + " is not on this machine", holding(onJournal)},
		{"ext4 with another journal", capture.Target{Type: capture.TargetFilesystem, Device: "/dev/vda", MountOptions: "journal_path=/dev/sda1"}, "is not the journal of /dev/vda", holding(onJournal)},
		{"xfs with an external log that is not mounted", fsOn("/dev/vda", "/"), "an external log, and it is not known where", holding(bytesAt(0, "XFSB"))},
		{"xfs with a realtime device", fsOn("/dev/vda", "/"), "a realtime device", holding(bytesAt(0, "XFSB"), func(i []byte) { i[23], i[55] = 1, 1 })},
		{"a btrfs that lacks a device", fsOn("/dev/vda", "/"), "only 1 of the 2 devices", holding(disktest.Btrfs(dataUUID, 1, 2))},
		{"a btrfs seed", fsOn("/dev/vda", "/"), "a seed", holding(disktest.Btrfs(dataUUID, 1, 1), func(i []byte) { binary.LittleEndian.PutUint64(i[0x10038:], 1<<32) })},
		{"raw on what is mounted", raw("/dev/sda1"), "is mounted on /", nil},
		{"raw on a disk a partition of which is mounted", raw("/dev/sda"), "sda1 is mounted on /", nil},
		{"overwriting what is mounted", capture.Target{Type: capture.TargetRaw, Device: "/dev/sda1", Overwrite: true}, "is mounted on /", nil},
		{"raw on a filesystem", raw("/dev/vda"), "it holds ext4", holding(disktest.Ext4(dataUUID, ""))},
		{"raw on a member of a mounted btrfs", capture.Target{Type: capture.TargetRaw, Device: "/dev/vda", Overwrite: true}, "a member of a btrfs that is mounted", func(b *bench) {
			holding(disktest.Btrfs(dataUUID, 1, 2))(b)
			b.link("sys/fs/btrfs/x/devices/vda", "../../../../devices/"+pci+"0000:00:05.0/virtio2/block/vda")
		}},
		{"raw on swap in use", raw("/dev/vda"), "is swap space in use", func(b *bench) {
			holding(bytesAt(4086, "SWAPSPACE2"))(b)
			b.file("proc/swaps", "Filename\tType\n/dev/vda                               partition\t1048572\t0\t-2\n")
		}},
		{"a file", dir("/etc/passwd"), "is no directory", func(b *bench) { b.file("etc/passwd", "") }},
		{"an overlay", dir("/data/crash"), "an overlay", mounted("overlay overlay")},
		{"tmpfs", dir("/data/crash"), "memory (tmpfs)", mounted("tmpfs tmpfs")},
		{"NFS", dir("/data/crash"), "of the network (NFS)", mounted("nfs4 server:/x")},
		{"ZFS", dir("/data/crash"), "ZFS", mounted("zfs pool/data")},
		{"FUSE", dir("/data/crash"), "a program serves", mounted("fuse.sshfs user@host:")},
		{"a directory that was deleted", dir("/data/crash"), "deleted since", func(b *bench) {
			b.mount("30 22 8:2 /x//deleted /data rw - ext4 /dev/sda1 rw")
			b.mkdir("data")
		}},
		{"a link to another filesystem", fsOn("UUID="+dataUUID, "/crash"), "leads to another filesystem", func(b *bench) {
			holding(disktest.Ext4(dataUUID, ""))(b)
			b.mount("30 22 8:3 / /data rw - ext4 /dev/vda rw")
			b.mkdir("data")
			b.link("data/crash", "/var/crash")
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			if tt.prepare != nil {
				tt.prepare(b)
			}
			r, err := b.Resolve(t.Context(), tt.target)
			var refusal *Refusal
			if !errors.As(err, &refusal) || !strings.Contains(err.Error(), tt.says) || refusal.Instead == "" {
				t.Errorf("Resolve(%s) = %+v, %v; want a refusal that says %q, and what to do instead", tt.target, r, err, tt.says)
			}
		})
	}
}

// Of another machine's target only the name is known.
func TestElsewhere(t *testing.T) {
	for _, tt := range []struct{ target, says string }{
		{"raw:/dev/mapper/vg-root", "device-mapper"}, {"raw:/dev/dm-3", "device-mapper"}, {"raw:/dev/md0", "md RAID"}, {"raw:/dev/md/home", "md RAID"}, {"raw:/dev/md127p2", "md RAID"},
		{"raw:/dev/loop0", "loop"}, {"raw:/dev/zram0", "zram"}, {"raw:/dev/nbd0p1", "network"}, {"raw:/dev/rbd/pool/image", "Ceph"}, {"raw:/dev/drbd/by-res/x/0", "DRBD"},
		{"raw:/dev/disk/by-id/ata-x", "a link made by udev"}, {"raw:/dev/disk/by-path/pci-x", "a link made by udev"},
		{"/var/crash", "only its own machine knows"}, {"fs:/var/crash", "no device"},
		{"raw:/dev/sda", ""}, {"raw:/dev/nvme0n1p2", ""}, {"fs:UUID=x:/y", ""}, {"fs:/dev/disk/by-uuid/x", ""}, {"raw:/dev/cciss/c0d0", ""},
	} {
		target, err := capture.ParseTarget(tt.target)
		if err != nil {
			t.Fatal(err)
		}
		r, err := Elsewhere(t.Context(), target)
		if tt.says == "" {
			if err != nil || r.Target != target || len(r.Warnings) == 0 {
				t.Errorf("Elsewhere(%s) = %+v, %v; want it, with a warning", tt.target, r, err)
			}
			continue
		}
		var refusal *Refusal
		if !errors.As(err, &refusal) || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("Elsewhere(%s): %v; want a refusal that says %q", tt.target, err, tt.says)
		}
	}
	if _, err := Elsewhere(t.Context(), capture.Target{Type: capture.TargetFilesystem, Device: "UUID=x", FSType: "squashfs"}); err == nil {
		t.Error("Elsewhere takes a squashfs")
	}
}
