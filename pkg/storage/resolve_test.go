package storage

import (
	"errors"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/disktest"
	"github.com/gokexec/gokexec/pkg/capture"
)

const (
	dataUUID  = "11111111-2222-3333-4444-555555555555"
	otherUUID = "66666666-7777-8888-9999-aaaaaaaaaaaa"
	pci       = "pci0000:00/"
)

// What an administrator names, and what the capture kernel finds.
func TestResolve(t *testing.T) {
	const root = "fs:UUID=" + rootUUID
	fedora := func(b *bench) {
		b.disk(pci+"0000:00:05.0/virtio2/block/vda", disktest.Btrfs(dataUUID, 1, 1))
		b.mount("40 22 0:50 /root /mnt/top rw - btrfs /dev/vda rw,subvolid=256,subvol=/root")
		b.mkdir("mnt/top/var/crash")
	}
	for _, tt := range []struct {
		name, target, want, options string
		prepare                     func(*bench)
	}{
		{name: "a directory", target: "/var/crash", want: root + ":/var/crash"},
		{name: "a directory, called so", target: "dir:/var/crash", want: root + ":/var/crash"},
		{name: "a directory where a device is expected", target: "fs:/var/crash", want: root + ":/var/crash",
			prepare: func(b *bench) { b.mkdir("var/crash") }},
		{name: "a link", target: "/var/crash", want: root + ":/srv/dumps", prepare: func(b *bench) {
			b.mkdir("srv/dumps")
			b.link("var/crash", "../srv/dumps")
		}},
		{name: "a link on a filesystem's own path", target: root + ":/var/crash", want: root + ":/srv/dumps", prepare: func(b *bench) {
			b.mkdir("srv/dumps")
			b.link("var/crash", "/srv/dumps")
		}},
		{name: "a bind mount", target: "/var/crash", want: root + `:/srv/dumps/a\x20b`, prepare: func(b *bench) {
			b.mount(`30 22 8:2 /srv/dumps/a\040b /var/crash rw - ext4 /dev/sda1 rw`)
			b.mkdir("var/crash")
		}},
		{name: "ostree's /var", target: root + ":/var/crash", want: root + ":/ostree/deploy/fedora/var/crash", prepare: func(b *bench) {
			b.mount("30 22 8:2 /ostree/deploy/fedora/var /var rw - ext4 /dev/sda1 rw")
			b.mkdir("var")
		}},
		{name: "a filesystem mounted elsewhere", target: "fs:UUID=" + dataUUID + ":/crash", want: "fs:UUID=" + dataUUID + ":/crash", prepare: func(b *bench) {
			b.disk(pci+"0000:00:05.0/virtio2/block/vda", disktest.Ext4(dataUUID, ""))
			b.mount("30 22 8:3 / /data rw - ext4 /dev/vda rw")
			b.mkdir("data")
		}},
		{name: "its path as it is seen", target: "fs:UUID=" + dataUUID + ":/data/crash", want: "fs:UUID=" + dataUUID + ":/crash", prepare: func(b *bench) {
			b.disk(pci+"0000:00:05.0/virtio2/block/vda", disktest.Ext4(dataUUID, ""))
			b.mount("30 22 8:3 / /data rw - ext4 /dev/vda rw")
			b.mkdir("data")
		}},
		{name: "stacked mounts: the last is seen", target: "/data/crash", want: "fs:UUID=" + dataUUID + ":/crash", prepare: func(b *bench) {
			b.disk(pci+"0000:00:05.0/virtio2/block/vda", disktest.Ext4(dataUUID, ""))
			b.mount("30 22 8:2 /old /data rw - ext4 /dev/sda1 rw", "31 30 8:3 / /data rw - ext4 /dev/vda rw")
			b.mkdir("data")
		}},
		{name: "a mount that a later one hides", target: "/data/crash/x", want: "fs:UUID=" + dataUUID + ":/crash/x", prepare: func(b *bench) {
			b.disk(pci+"0000:00:05.0/virtio2/block/vda", disktest.Ext4(dataUUID, ""))
			b.mount("30 22 8:2 /old /data/crash rw - ext4 /dev/sda1 rw", "31 22 8:3 / /data rw - ext4 /dev/vda rw")
			b.mkdir("data")
		}},
		{name: "a subvolume", target: "/mnt/top/var/crash", want: "fs:UUID=" + dataUUID + ":/var/crash", options: "subvol=/root", prepare: fedora},
		{name: "a filesystem of which a subvolume is mounted", target: "fs:UUID=" + dataUUID + ":/var/crash", want: "fs:UUID=" + dataUUID + ":/var/crash", options: "subvol=/root", prepare: fedora},
		{name: "a subvolume with a comma", target: "/srv", want: "fs:UUID=" + dataUUID + ":/", options: "subvolid=300", prepare: func(b *bench) {
			b.disk(pci+"0000:00:05.0/virtio2/block/vda", disktest.Btrfs(dataUUID, 1, 1))
			b.mount(`40 22 0:50 /a,b /srv rw - btrfs /dev/vda rw,subvolid=300,subvol=/a,b`)
			b.mkdir("srv")
		}},
		{name: "a directory of a subvolume, bound", target: "/srv/x", want: "fs:UUID=" + dataUUID + ":/dumps/x", options: "subvol=/@/var", prepare: func(b *bench) {
			b.disk(pci+"0000:00:05.0/virtio2/block/vda", disktest.Btrfs(dataUUID, 1, 1))
			b.mount(`40 22 0:50 /@/var/dumps /srv rw - btrfs /dev/vda rw,subvolid=300,subvol=/@/var`)
			b.mkdir("srv")
		}},
		{name: "the top level", target: "/srv/x", want: "fs:UUID=" + dataUUID + ":/x", options: "subvolid=5", prepare: func(b *bench) {
			b.disk(pci+"0000:00:05.0/virtio2/block/vda", disktest.Btrfs(dataUUID, 1, 1))
			b.mount(`40 22 0:50 / /srv rw - btrfs /dev/vda rw,subvolid=5,subvol=/`)
			b.mkdir("srv")
		}},
		{name: "a device's name", target: "fs:/dev/sda1:/var/crash", want: root + ":/var/crash"},
		{name: "by-id", target: "fs:/dev/disk/by-id/ata-x-part1:/var/crash", want: root + ":/var/crash",
			prepare: func(b *bench) { b.link("dev/disk/by-id/ata-x-part1", "../../sda1") }},
		{name: "by-path", target: "raw:/dev/disk/by-path/pci-0000:00:1f.2-part2", want: "raw:PARTUUID=part-sda-2", prepare: func(b *bench) {
			b.partition("sda", 2)
			b.link("dev/disk/by-path/pci-0000:00:1f.2-part2", "../../sda2")
		}},
		{name: "a label with all that is special", target: `fs:LABEL=my\x20d"a/:/var/crash`, want: `fs:LABEL=my\x20d\x22a/:/var/crash`,
			prepare: func(b *bench) { b.disk(pci+"0000:00:05.0/virtio2/block/vda", disktest.Ext4(dataUUID, `my d"a/`)) }},
		{name: "a label that only udev reads", target: "raw:PARTLABEL=größe", want: "raw:PARTUUID=part-sda-2", prepare: func(b *bench) {
			b.partition("sda", 2)
			b.link("dev/disk/by-partlabel/größe", "../../sda2")
		}},
		{name: "an NVMe disk without partitions", target: "raw:/dev/nvme0n1", want: "raw:WWID=eui.0025", prepare: func(b *bench) {
			b.disk(pci + "0000:00:06.0/nvme/nvme0/nvme0n1")
			b.file("sys/devices/"+pci+"0000:00:06.0/nvme/nvme0/transport", "pcie\n")
			b.file("sys/class/block/nvme0n1/wwid", "eui.0025\n")
		}},
		{name: "a SCSI disk without partitions", target: "raw:/dev/sdb", want: `raw:WWID=t10.ATA\x20\x20QEMU`, prepare: func(b *bench) {
			b.disk(pci + "0000:00:07.0/host1/target1:0:0/1:0:0:0/block/sdb")
			b.link("sys/devices/"+pci+"0000:00:07.0/host1/target1:0:0/1:0:0:0/block/sdb/device", "../..")
			b.file("sys/devices/"+pci+"0000:00:07.0/host1/target1:0:0/1:0:0:0/wwid", "t10.ATA  QEMU   \n")
		}},
		{name: "a virtio disk with a serial number", target: "raw:/dev/vda", want: "raw:SERIAL=dump", prepare: func(b *bench) {
			b.disk(pci + "0000:00:05.0/virtio2/block/vda")
			b.file("sys/class/block/vda/serial", "dump")
		}},
		{name: "an empty disk by a filesystem's UUID", target: "raw:UUID=" + dataUUID, want: "raw:SERIAL=dump", prepare: func(b *bench) {
			b.disk(pci+"0000:00:05.0/virtio2/block/vda", func(i []byte) {
				copy(i[0x438:], "\x53\xef")
				disktest.Ext4(dataUUID, "")(i)
			})
			b.file("sys/class/block/vda/serial", "dump")
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			if tt.prepare != nil {
				tt.prepare(b)
			}
			target, err := capture.ParseTarget(tt.target)
			if err != nil {
				t.Fatal(err)
			}
			target.Overwrite = strings.HasPrefix(tt.name, "an empty disk by")
			r, err := b.Resolve(t.Context(), target)
			if err != nil {
				t.Fatalf("Resolve(%s): %v", tt.target, err)
			}
			if got := r.Target.String(); got != tt.want || r.Target.MountOptions != tt.options {
				t.Errorf("Resolve(%s) = %s, options %q; want %s, %q", tt.target, got, r.Target.MountOptions, tt.want, tt.options)
			}
			if changed := tt.want != target.String() || tt.options != ""; changed != (len(r.Notes) == 1) {
				t.Errorf("notes = %q; want one exactly if the target is called otherwise", r.Notes)
			}
		})
	}
}

// A btrfs of several devices needs the drivers of all.
func TestResolveBtrfsMembers(t *testing.T) {
	b := newBench(t)
	b.disk(pci+"0000:00:05.0/virtio2/block/vda", disktest.Btrfs(dataUUID, 1, 2))
	b.disk(pci+"0000:00:06.0/virtio3/block/vdb", disktest.Btrfs(otherUUID, 1, 1))
	b.disk(pci+"0000:00:07.0/virtio4/block/vdc", disktest.Btrfs(dataUUID, 2, 2))
	r, err := b.Resolve(t.Context(), capture.Target{Type: capture.TargetFilesystem, Device: "/dev/vdc", Path: "/"})
	if err != nil || strings.Join(r.Devices, " ") != "vda vdc" || r.Target.Device != "UUID="+dataUUID || r.FSType != "btrfs" {
		t.Fatalf("Resolve = %+v, %v; want vda and vdc by UUID", r, err)
	}
	b.disk("virtual/block/dm-0", disktest.Btrfs(otherUUID, 2, 3))
	b.file("sys/class/block/dm-0/dm/uuid", "LVM-x\n")
	var refusal *Refusal
	if _, err := b.Resolve(t.Context(), capture.Target{Type: capture.TargetFilesystem, Device: "LABEL=none"}); !errors.As(err, &refusal) {
		t.Errorf("Resolve of an absent label: %v; want a refusal", err)
	}
}

// A disk that nothing but its name tells from others is a warning.
func TestResolveWarns(t *testing.T) {
	b := newBench(t)
	b.disk(pci + "0000:00:05.0/virtio2/block/vda")
	r, err := b.Resolve(t.Context(), capture.Target{Type: capture.TargetRaw, Device: "/dev/vda"})
	if err != nil || len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], "may find another disk") || r.Target.Device != "/dev/vda" {
		t.Errorf("Resolve = %+v, %v; want a warning about the name", r, err)
	}
}

// So is a filesystem that is read-only here.
func TestResolveWarnsOfReadOnly(t *testing.T) {
	b := newBench(t)
	b.file("proc/self/mountinfo", "22 1 8:2 / / rw - ext4 /dev/sda1 ro,errors=remount-ro\n")
	r, err := b.Resolve(t.Context(), capture.Target{Type: capture.TargetDirectory, Path: "/var/crash"})
	if err != nil || len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], "read-only here") {
		t.Errorf("Resolve = %+v, %v; want a warning", r, err)
	}
}

// A DOS disk without a signature tells its partitions from no others.
func TestResolveWithoutSignature(t *testing.T) {
	b := newBench(t)
	b.partition("sda", 2)
	b.file("sys/class/block/sda2/uevent", "PARTUUID=00000000-02\n")
	r, err := b.Resolve(t.Context(), capture.Target{Type: capture.TargetRaw, Device: "/dev/sda2"})
	if err != nil || r.Target.Device != "/dev/sda2" || len(r.Warnings) != 1 {
		t.Errorf("Resolve = %+v, %v; want the name, with a warning", r, err)
	}
}

// udev reads the UUIDs of more filesystems than a capture does: such a device is
// found by something else, or refused.
func TestResolveUnreadIdentity(t *testing.T) {
	b := newBench(t)
	b.partition("sda", 2, bytesAt(0x410, "\x7f\x13"))
	b.disk(pci+"0000:00:05.0/virtio2/block/vda", bytesAt(0x410, "\x7f\x13"))
	b.link("dev/disk/by-uuid/aa", "../../sda2")
	b.link("dev/disk/by-uuid/bb", "../../vda")
	target := capture.Target{Type: capture.TargetFilesystem, Device: "UUID=aa", FSType: "minix"}
	if r, err := b.Resolve(t.Context(), target); err != nil || r.Target.Device != "PARTUUID=part-sda-2" {
		t.Errorf("Resolve = %+v, %v; want the partition's", r, err)
	}
	target.Device = "UUID=bb"
	var refusal *Refusal
	if _, err := b.Resolve(t.Context(), target); !errors.As(err, &refusal) || !strings.Contains(err.Error(), "the capture kernel can't find /dev/vda by UUID=bb") {
		t.Errorf("Resolve: %v; want a refusal", err)
	}
}
