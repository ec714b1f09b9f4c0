package storage

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/disktest"
	"github.com/gokexec/gokexec/pkg/capture"
)

var update = flag.Bool("update", false, "write the golden files")

// lvm is the UUID of a logical volume's map.
const lvm = "LVM-VGVGVGVGVGVGVGVGVGVGVGVGVGVGVGVGLVLVLVLVLVLVLVLVLVLVLVLVLVLVLVLV"

func ext4() func([]byte) { return disktest.Ext4(dataUUID, "") }

func onData(b *bench, kernel string) {
	b.mount("40 22 " + b.number(kernel) + " / /data rw - ext4 /dev/mapper/x rw")
	b.mkdir("data/crash")
}

// layouts are storage stacks as the tools make them (tables as measured on LVM 2.03, mdadm 4.4, multipath-tools), with
// the modules and disks that they need.
var layouts = []struct {
	name, target     string
	modules, devices string
	warns            string
	room             int64
	prepare          func(*bench)
}{
	{name: "linear", target: "/data/crash", modules: "dm-mod", devices: "sda2 sda3", prepare: func(b *bench) {
		b.pvs(2)
		b.mapped(0, "vg-var", lvm, []string{"0 2048 linear {sda3} 2048", "2048 2048 linear {sda2} 2048"}, ext4())
		onData(b, "dm-0")
	}},
	{name: "volume-group", target: "/data/crash", modules: "dm-mod", devices: "sda3", prepare: inGroup},
	{name: "striped", target: "fs:/dev/vg/var:/crash", modules: "dm-mod", devices: "sda2 sda3", prepare: func(b *bench) {
		b.pvs(2)
		b.mapped(0, "vg-var", lvm, []string{"0 4096 striped 2 128 {sda3} 100352 {sda2} 2048"}, ext4())
		b.link("dev/vg/var", "../dm-0")
		onData(b, "dm-0")
	}},
	{name: "raw", target: "raw:/dev/vg/dump", modules: "dm-mod", devices: "sda2", prepare: func(b *bench) {
		b.pvs(1)
		b.mapped(0, "vg-dump", lvm, []string{"0 4096 linear {sda2} 2048"})
		b.link("dev/vg/dump", "../mapper/vg-dump")
	}},
	{name: "mirror", target: "/data/crash", modules: "dm-mod dm-mirror", devices: "sda2 sda3 sda4", prepare: func(b *bench) {
		b.pvs(3)
		b.mapped(7, "v-mir_mlog", lvm+"-mlog", []string{"0 4096 linear {sda2} 2048"})
		b.mapped(8, "v-mir_mimage_0", lvm+"-mimage0", []string{"0 4096 linear {sda3} 2048"}, ext4())
		b.mapped(9, "v-mir_mimage_1", lvm+"-mimage1", []string{"0 4096 linear {sda4} 2048"}, ext4())
		b.mapped(10, "v-mir", lvm, []string{"0 4096 mirror disk 2 {dm-7} 1024 2 {dm-8} 0 {dm-9} 0 1 handle_errors"}, ext4())
		onData(b, "dm-10")
	}},
	{name: "dm-raid", target: "/data/crash", modules: "dm-mod dm-raid", devices: "sda2 sda3", prepare: func(b *bench) {
		raid1(b)
		b.state("v-r1", "0 4096 raid raid1 2 AA 4096/4096 idle 0 0 -")
	}},
	{name: "dm-raid-degraded", target: "/data/crash", modules: "dm-mod dm-raid", devices: "sda3", warns: "1 of the 2 disks", prepare: func(b *bench) {
		raid1(b)
		b.state("v-r1", "0 4096 raid raid1 2 DA 4096/4096 idle 0 0 -")
	}},
	{name: "origin", target: "/data/crash", modules: "dm-mod dm-snapshot", devices: "sda2 sda3 sda4", warns: "room for 1 MB", room: 3000 * 512 * 9 / 10, prepare: func(b *bench) {
		snapshots(b)
		onData(b, "dm-4")
	}},
	{name: "snapshot", target: "/data/crash", modules: "dm-mod dm-snapshot", devices: "sda2 sda3 sda4", warns: "room for 1 MB", room: 3000 * 512 * 9 / 10, prepare: func(b *bench) {
		snapshots(b)
		onData(b, "dm-2")
	}},
	{name: "thin", target: "/data/crash", modules: "dm-mod dm-thin-pool", devices: "sda2 sda3", room: 600 * 128 * 512, prepare: func(b *bench) {
		thin(b)
		b.state("v-pool-tpool", "0 4096 thin-pool 2 20/128 400/1000 - rw discard_passdown queue_if_no_space - 1024")
	}},
	{name: "lvm-on-md", target: "/data/crash", modules: "md-mod raid1 dm-mod", devices: "sda2 sdb1", prepare: func(b *bench) {
		twoMembers(b)
		b.array("md127", "raid1", []string{"sda2", "sdb1"}, pv('x'))
		b.mapped(0, "vg-root", lvm, []string{"0 4096 linear {md127} 2048"}, ext4())
		onData(b, "dm-0")
	}},
	{name: "md-faulty", target: "/data/crash", modules: "md-mod raid456", devices: "sda2 sdb1", warns: "has thrown out /dev/sdc", prepare: func(b *bench) {
		twoMembers(b)
		b.disk(pci+"0000:00:09.0/host4/target4:0:0/4:0:0:0/block/sdc", superblock(3))
		b.array("md0", "raid5", []string{"sda2", "sdb1", "sdc"}, ext4())
		b.file("sys/class/block/md0/md/dev-sdc/state", "faulty\n")
		b.file("sys/class/block/md0/md/degraded", "1\n")
		onData(b, "md0")
	}},
	{name: "md-partition", target: "raw:/dev/md0p2", modules: "md-mod raid1", devices: "sda2 sdb1", prepare: func(b *bench) {
		twoMembers(b)
		b.array("md0", "raid1", []string{"sda2", "sdb1"}, gpt)
		b.disk("virtual/block/md0/md0p2")
		b.file("sys/class/block/md0p2/partition", "2\n")
	}},
	{name: "multipath", target: "/data/crash", modules: "dm-mod dm-multipath dm-service-time", devices: "sdb sdc", prepare: func(b *bench) {
		multipath(b, pv('m'))
		b.mapped(1, "vg-var", lvm, []string{"0 4096 linear {dm-0} 2048"}, ext4())
		onData(b, "dm-1")
	}},
	{name: "kpartx", target: "/data/crash", modules: "dm-mod dm-multipath dm-service-time", devices: "sdb sdc", prepare: func(b *bench) {
		multipath(b, gpt)
		b.mapped(1, "mpatha-part1", "part1-mpath-36000", []string{"0 4096 linear {dm-0} 2048"}, ext4())
		onData(b, "dm-1")
	}},
	{name: "btrfs", target: "/data/crash", modules: "dm-mod", devices: "sda2 sda3", prepare: func(b *bench) {
		b.pvs(2)
		b.mapped(0, "vg-a", lvm+"a", []string{"0 4096 linear {sda2} 2048"}, disktest.Btrfs(dataUUID, 1, 2))
		b.mapped(1, "vg-b", lvm+"b", []string{"0 4096 linear {sda3} 2048"}, disktest.Btrfs(dataUUID, 2, 2))
		b.file("sys/fs/btrfs/"+dataUUID+"/devices/dm-0", "")
		b.file("sys/fs/btrfs/"+dataUUID+"/devices/dm-1", "")
		b.mount("40 22 0:50 /@var /data rw - btrfs /dev/mapper/vg-b rw,subvolid=256,subvol=/@var")
		b.mkdir("data/crash")
	}},
	{name: "journal", target: "fs:UUID=" + dataUUID + ":/crash", devices: "sda2 sda3", prepare: func(b *bench) {
		b.partition("sda", 2, onJournal)
		b.partition("sda", 3, ofJournal)
		onData(b, "sda2")
	}},
	{name: "journal-volume", target: "/data/crash", modules: "dm-mod", devices: "sda2 sda3", prepare: func(b *bench) {
		b.partition("sda", 2, onJournal)
		b.partition("sda", 3, pv('b'))
		b.mapped(0, "vg-journal", lvm, []string{"0 4096 linear {sda3} 2048"}, ofJournal)
		onData(b, "sda2")
	}},
	{name: "xfs", target: "/data/crash", modules: "dm-mod", devices: "sda2 sda3", prepare: func(b *bench) {
		b.pvs(1)
		b.partition("sda", 3)
		b.mapped(0, "vg-var", lvm, []string{"0 4096 linear {sda2} 2048"}, xfs)
		b.mount("40 22 " + b.number("dm-0") + " / /data rw - xfs /dev/mapper/vg-var rw,attr2,logbufs=8,logdev=/dev/sda3,noquota")
		b.mkdir("data/crash")
	}},
}

const journalUUID = "99999999-8888-7777-6666-555555555555"

// onJournal is an ext4 with an external journal, and ofJournal that.
func onJournal(disk []byte) {
	ext4()(disk)
	id := disktest.UUIDBytes(journalUUID)
	disk[0x4e0] = 0
	copy(disk[0x4d0:], id[:])
}

func ofJournal(disk []byte) {
	disktest.Ext4(journalUUID, "")(disk)
	disk[0x460] = 8
}

func xfs(disk []byte) {
	id := disktest.UUIDBytes(dataUUID)
	copy(disk, "XFSB")
	copy(disk[32:], id[:])
}

func raid1(b *bench) {
	b.pvs(2)
	b.mapped(2, "v-r1_rmeta_0", lvm+"-rmeta_0", []string{"0 4096 linear {sda2} 2048"})
	b.mapped(3, "v-r1_rimage_0", lvm+"-rimage_0", []string{"0 4096 linear {sda2} 10240"}, ext4())
	b.mapped(4, "v-r1_rmeta_1", lvm+"-rmeta_1", []string{"0 4096 linear {sda3} 2048"})
	b.mapped(5, "v-r1_rimage_1", lvm+"-rimage_1", []string{"0 4096 linear {sda3} 10240"}, ext4())
	b.mapped(6, "v-r1", lvm, []string{"0 4096 raid raid1 3 0 region_size 1024 2 {dm-2} {dm-3} {dm-4} {dm-5}"}, ext4())
	onData(b, "dm-6")
}

func snapshots(b *bench) {
	b.pvs(3)
	b.mapped(0, "v-org-real", lvm+"-real", []string{"0 4096 linear {sda2} 2048"}, ext4())
	b.mapped(1, "v-snap-cow", lvm+"-cow", []string{"0 4096 linear {sda3} 2048"}, bytesAt(0, "SnAp"))
	b.mapped(2, "v-snap", lvm+"s", []string{"0 4096 snapshot {dm-0} {dm-1} P 8"}, ext4())
	b.mapped(3, "v-old-cow", lvm+"-cow2", []string{"0 4096 linear {sda4} 2048"}, bytesAt(0, "SnAp"))
	b.mapped(4, "v-org", lvm, []string{"0 4096 snapshot-origin {dm-0}"}, ext4())
	b.mapped(5, "v-old", lvm+"o", []string{"0 4096 snapshot {dm-0} {dm-3} P 8"}, ext4())
	b.mapped(6, "v-lost", lvm+"l", []string{"0 4096 snapshot {dm-0} {dm-3} P 8"}, ext4())
	b.state("v-snap", "0 4096 snapshot 96/4096 16")
	b.state("v-old", "0 4096 snapshot 1096/4096 16")
	b.state("v-lost", "0 4096 snapshot Invalid")
}

func thin(b *bench) {
	b.pvs(2)
	b.mapped(0, "v-pool_tmeta", lvm+"-tmeta", []string{"0 4096 linear {sda2} 2048"})
	b.mapped(1, "v-pool_tdata", lvm+"-tdata", []string{"0 4096 linear {sda3} 2048"})
	b.mapped(2, "v-pool-tpool", lvm+"-tpool", []string{"0 4096 thin-pool {dm-0} {dm-1} 128 0 0"})
	b.mapped(3, "v-pool", lvm+"-pool", []string{"0 4096 linear {dm-2} 0"})
	b.mapped(4, "v-thin", lvm, []string{"0 4096 thin {dm-2} 1"}, ext4())
	b.mapped(5, "v-other", lvm+"x", []string{"0 4096 thin {dm-2} 2"})
	onData(b, "dm-4")
}

func twoMembers(b *bench) {
	b.partition("sda", 2, superblock(1))
	b.disk(pci+"0000:00:08.0/host3/target3:0:0/3:0:0:0/block/sdb", gpt)
	b.partition("sdb", 1, superblock(2))
}

func multipath(b *bench, content func([]byte)) {
	for i, name := range []string{"sdb", "sdc"} {
		device := pci + "0000:00:0" + string(rune('5'+i)) + ".0/host1/target1:0:0/1:0:0:0"
		b.disk(device+"/block/"+name, content)
		b.link("sys/devices/"+device+"/block/"+name+"/device", "../..")
		b.file("sys/devices/"+device+"/wwid", "naa.6000\n")
	}
	b.mapped(0, "mpatha", "mpath-36000", []string{"0 4096 multipath 0 0 2 1 service-time 0 1 2 {sdb} 1 1 service-time 0 1 2 {sdc} 1 1"}, content)
}

// What is recorded of each layout is in testdata.
func TestStack(t *testing.T) {
	for _, tt := range layouts {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			tt.prepare(b)
			target, err := capture.ParseTarget(tt.target)
			if err != nil {
				t.Fatal(err)
			}
			r, err := b.Resolve(t.Context(), target)
			if err != nil {
				t.Fatalf("Resolve(%s): %v", tt.target, err)
			}
			if got := strings.Join(r.Modules, " "); got != tt.modules {
				t.Errorf("modules %s; want %s", got, tt.modules)
			}
			if got := strings.Join(r.Devices, " "); got != tt.devices {
				t.Errorf("devices %s; want %s", got, tt.devices)
			}
			if got := strings.Join(r.Warnings, "\n"); !strings.Contains(got, tt.warns) || tt.warns == "" && got != "" {
				t.Errorf("warnings %q; want %q", got, tt.warns)
			}
			if r.room != tt.room {
				t.Errorf("room for %d bytes; want %d", r.room, tt.room)
			}
			if b.maps.opened != b.maps.closed {
				t.Errorf("device mapper was opened %d times, and closed %d times", b.maps.opened, b.maps.closed)
			}
			golden(t, tt.name, r.Target)
			again, err := b.Resolve(t.Context(), r.Target)
			if err != nil || text(t, again.Target) != text(t, r.Target) || len(again.Warnings) != len(r.Warnings) {
				t.Errorf("what was recorded is resolved as %s (%v)", text(t, again.Target), err)
			}
		})
	}
}

func text(t *testing.T, v any) string {
	t.Helper()
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b) + "\n"
}

func golden(t *testing.T, name string, v any) {
	t.Helper()
	file, got := filepath.Join("testdata", name+".json"), text(t, v)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil || got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s(%v)", file, got, want, err)
	}
}
