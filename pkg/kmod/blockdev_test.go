package kmod

import (
	"io/fs"
	"slices"
	"strings"
	"testing"
)

// sysTree is a machine: a virtio disk, a SCSI disk on AHCI, an NVMe disk with
// two paths, RAID 1 of partitions, LVM on it.
func sysTree(t *testing.T) fs.FS {
	const pci = "sys/devices/pci0000:00/"
	files := map[string]string{
		pci + "0000:00:01.0/modalias":                                 "pci:v00001AF4d00001001sv\n",
		pci + "0000:00:01.0/driver":                                   "-> ../../../bus/pci/drivers/virtio-pci",
		"sys/bus/pci/drivers/virtio-pci/x":                            "",
		pci + "0000:00:01.0/virtio0/modalias":                         "virtio:d00000002v00001AF4\n",
		pci + "0000:00:01.0/virtio0/driver":                           "-> ../../../../bus/virtio/drivers/virtio_blk",
		"sys/bus/virtio/drivers/virtio_blk/module":                    "-> ../../../../module/virtio_blk",
		"sys/module/virtio_blk/x":                                     "",
		pci + "0000:00:01.0/virtio0/block/vda/dev":                    "254:0\n",
		pci + "0000:00:01.0/virtio0/block/vda/vda1/dev":               "254:1\n",
		"sys/class/block/vda":                                         "-> ../../devices/pci0000:00/0000:00:01.0/virtio0/block/vda",
		"sys/class/block/vda1":                                        "-> ../../devices/pci0000:00/0000:00:01.0/virtio0/block/vda/vda1",
		"sys/dev/block/254:1":                                         "-> ../../devices/pci0000:00/0000:00:01.0/virtio0/block/vda/vda1",
		pci + "0000:00:02.0/ata1/host0/0:0:0:0/modalias":              "scsi:t-0x00\n",
		pci + "0000:00:02.0/ata1/host0/0:0:0:0/block/sda/x":           "",
		"sys/class/block/sda":                                         "-> ../../devices/pci0000:00/0000:00:02.0/ata1/host0/0:0:0:0/block/sda",
		"sys/class/block/cciss!c0d0":                                  "-> ../../devices/pci0000:00/0000:00:02.0/ata1/host0/0:0:0:0/block/sda",
		pci + "0000:00:03.0/driver/module":                            "-> /sys/module/nvme",
		pci + "0000:00:03.0/nvme/nvme0/x":                             "",
		"sys/module/nvme/x":                                           "",
		"sys/devices/virtual/nvme-subsystem/nvme-subsys0/nvme0":       "-> ../../../pci0000:00/0000:00:03.0/nvme/nvme0",
		"sys/devices/virtual/nvme-subsystem/nvme-subsys0/nvme0n1/x":   "",
		"sys/class/block/nvme0n1":                                     "-> ../../devices/virtual/nvme-subsystem/nvme-subsys0/nvme0n1",
		"sys/devices/virtual/block/md0/md/level":                      "raid1\n",
		"sys/devices/virtual/block/md0/slaves/vda1":                   "-> ../../../../pci0000:00/0000:00:01.0/virtio0/block/vda/vda1",
		"sys/devices/virtual/block/md0/slaves/sda":                    "-> ../../../../pci0000:00/0000:00:02.0/ata1/host0/0:0:0:0/block/sda",
		"sys/class/block/md0":                                         "-> ../../devices/virtual/block/md0",
		"sys/devices/virtual/block/dm-0/dm/uuid":                      "LVM-abc\n",
		"sys/devices/virtual/block/dm-0/slaves/md0":                   "-> ../../md0",
		"sys/class/block/dm-0":                                        "-> ../../devices/virtual/block/dm-0",
		"sys/devices/platform/soc/1.mmc/supplier:platform:2":          "-> ../../../virtual/devlink/platform:2--platform:1",
		"sys/devices/virtual/devlink/platform:2--platform:1/supplier": "-> ../../../platform/soc/2.clk",
		"sys/devices/platform/soc/2.clk/driver/module":                "-> ../../../../../module/crc16",
		"sys/module/crc16/x":                                          "",
		"sys/devices/platform/soc/1.mmc/block/mmcblk0/x":              "",
		"sys/class/block/mmcblk0":                                     "-> ../../devices/platform/soc/1.mmc/block/mmcblk0",
		"sys/class/block/loose/dev":                                   "1:1\n",
		"dev/mapper/vg-root":                                          "-> ../dm-0",
		"dev/dm-0":                                                    "",
		"dev/disk/by-uuid/11-22":                                      "-> ../../vda1",
		`dev/disk/by-label/my\x20data\x2fx`:                           "-> ../../vda1",
		"dev/vda1":                                                    "",
		"dev/out":                                                     "-> ../etc/passwd",
		"etc/passwd":                                                  "",
		"dev/loop":                                                    "-> loop",
	}
	return onDisk(t, files)
}

func TestModulesForBlockDevice(t *testing.T) {
	root := sysTree(t)
	tree := open(t, packed(t))
	for _, tt := range []struct{ dev, want, wantErr string }{
		{"vda", "virtio_blk", ""},
		{"/dev/vda1", "virtio_blk", ""},
		{"254:1", "virtio_blk", ""},
		{"UUID=11-22", "virtio_blk", ""},
		{`UUID="11-22"`, "virtio_blk", ""},
		{"/dev/disk/by-uuid/11-22", "virtio_blk", ""},
		{"LABEL=my data/x", "virtio_blk", ""},
		{`LABEL=my\x20data\x2fx`, "virtio_blk", ""},
		{"sda", "sd_mod", ""},
		{"/dev/cciss/c0d0", "sd_mod", ""},
		{"nvme0n1", "nvme", ""},
		{"md0", "md_mod raid1 sd_mod virtio_blk", ""},
		{"/dev/mapper/vg-root", "dm_mod md_mod raid1 sd_mod virtio_blk", ""},
		{"mmcblk0", "crc16", ""},
		{"sdz", "", `block device "sdz": lstat /sys/class/block/sdz`},
		{"9:9", "", `block device "9:9": lstat /sys/dev/block/9:9`},
		{"UUID=33", "", `block device "UUID=33": lstat /dev/disk/by-uuid/33`},
		{"NAME=33", "", "unknown tag"},
		{"", "", "invalid argument"},
		{"..", "", "invalid argument"},
		{"/dev/out", "", "leads to /etc/passwd, outside of /dev"},
		{"/dev/mapper/none", "", "/dev/mapper/none"},
		{"loose", "", "/sys/class/block/loose is not below /sys/devices"},
	} {
		got, err := tree.ModulesForBlockDevice(root, tt.dev)
		checkErr(t, "ModulesForBlockDevice("+tt.dev+")", err, tt.wantErr)
		slices.Sort(got)
		if strings.Join(got, " ") != tt.want {
			t.Errorf("ModulesForBlockDevice(%s) = %s; want %s", tt.dev, strings.Join(got, " "), tt.want)
		}
	}
}

func TestBlockDeviceKinds(t *testing.T) {
	for _, tt := range []struct {
		file, content, want string
	}{
		{"dm/uuid", "CRYPT-LUKS2-x", "dm_mod dm_crypt"},
		{"dm/uuid", "mpath-36", "dm_mod dm_multipath dm_service_time dm_queue_length dm_round_robin"},
		{"dm/uuid", "", "dm_mod"},
		{"md/level", "raid6\n", "md_mod raid456"},
		{"md/level", "container\n", "md_mod"},
		{"size", "8\n", ""},
	} {
		w := &walker{root: onDisk(t, map[string]string{"sys/devices/b/" + tt.file: tt.content})}
		got, err := w.kind("sys/devices/b")
		if err != nil || strings.Join(got, " ") != tt.want {
			t.Errorf("kind(%s = %q) = %v, %v; want %s", tt.file, tt.content, got, err, tt.want)
		}
	}
}

func TestResolve(t *testing.T) {
	root := onDisk(t, map[string]string{
		"usr/lib/f": "x", "lib": "-> usr/lib", "abs": "-> /lib/f", "up": "-> ../../../usr/lib", "a/b/c": "-> ../../lib/./f",
		"one": "-> two", "two": "-> one", "gone": "-> nowhere",
	})
	for _, tt := range []struct{ name, want, wantErr string }{
		{"lib/f", "usr/lib/f", ""},
		{"abs", "usr/lib/f", ""},
		{"up/f", "usr/lib/f", ""},
		{"a/b/c", "usr/lib/f", ""},
		{".", ".", ""},
		{"one", "", "resolve /one: more than 40 symbolic links"},
		{"gone", "", "lstat /nowhere"},
		{"../x", "", "invalid argument"},
		{"/x", "", "invalid argument"},
	} {
		got, err := resolve(root, tt.name)
		checkErr(t, "resolve("+tt.name+")", err, tt.wantErr)
		if got != tt.want {
			t.Errorf("resolve(%s) = %s; want %s", tt.name, got, tt.want)
		}
	}
}

func TestModulesForFilesystem(t *testing.T) {
	for _, tt := range []struct{ fstype, want, wantErr string }{
		{"ext4", "ext4 |", ""},
		{"ext3", "ext4 |", ""},
		{"xfs", " |", ""},
		{"vfat", "vfat | nls_ascii", ""},
		{"binfmt-script", " |", ""},
		{"btrfs", "", "filesystem btrfs: module \"btrfs\": no such module"},
		{"a b", "", "not a filesystem type"},
	} {
		required, optional, err := open(t, packed(t)).ModulesForFilesystem(tt.fstype)
		checkErr(t, "ModulesForFilesystem("+tt.fstype+")", err, tt.wantErr)
		got := strings.TrimSpace(strings.Join(required, " ") + " | " + strings.Join(optional, " "))
		if err == nil && got != strings.TrimSpace(tt.want) {
			t.Errorf("ModulesForFilesystem(%s) = %q; want %q", tt.fstype, got, tt.want)
		}
	}
}

func TestSet(t *testing.T) {
	tree := open(t, packed(t))
	for _, tt := range []struct{ name, want, wantErr string }{
		{"nvme", "nvme", ""},
		{"virtio-blk", "virtio_blk", ""},
		{"sd", "sd_mod", ""},
		{"virtio_console", "", ""}, // its transport is built in
		{"xen", "", "set xen: no such module in kernel 6.12.0-test: none of xen_blkfront"},
		{"floppy", "", `no set of modules is named "floppy"; there are ec2, `},
	} {
		got, err := tree.Set(tt.name)
		checkErr(t, "Set("+tt.name+")", err, tt.wantErr)
		if strings.Join(got, " ") != tt.want {
			t.Errorf("Set(%s) = %v; want %s", tt.name, got, tt.want)
		}
	}
	names := SetNames()
	if len(names) != len(sets) || !slices.IsSorted(names) || len(slices.Compact(names)) != len(sets) {
		t.Errorf("SetNames() = %v; want the %d names, sorted, each once", names, len(sets))
	}
	for _, s := range sets {
		for _, m := range s.members {
			if NormalizeName(m) != m || !validName(m) {
				t.Errorf("set %s: %q is not a normalised name", s.name, m)
			}
		}
	}
}

// What makes a device may be a module, built in, or missing.
func TestModulesFor(t *testing.T) {
	for _, tt := range []struct{ name, want, wantErr string }{
		{"ext4", "ext4", ""},
		{"fs-xfs", "", ""}, // built in
		{"dm-raid", "", "module \"dm-raid\": no such module"},
	} {
		names, err := open(t, packed(t)).ModulesFor(tt.name)
		checkErr(t, "ModulesFor("+tt.name+")", err, tt.wantErr)
		if got := strings.Join(names, " "); err == nil && got != tt.want {
			t.Errorf("ModulesFor(%s) = %q; want %q", tt.name, got, tt.want)
		}
	}
}
