package storage

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/disktest"
	"github.com/gokexec/gokexec/pkg/capture"
	"github.com/gokexec/gokexec/pkg/stack"
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

// What can't be made again is refused, with the reason and what to do instead.
func TestStackRefused(t *testing.T) {
	thinState := func(state string) func(*bench) {
		return func(b *bench) {
			thin(b)
			b.state("v-pool-tpool", "0 4096 thin-pool "+state)
		}
	}
	md := func(file, value string) func(*bench) {
		return func(b *bench) {
			twoMembers(b)
			b.array("md0", "raid1", []string{"sda2", "sdb1"}, ext4())
			b.file("sys/class/block/md0/md/"+file, value+"\n")
			onData(b, "md0")
		}
	}
	one := func(table string) func(*bench) {
		return func(b *bench) {
			b.pvs(1)
			b.mapped(0, "x", lvm, []string{table}, ext4())
			onData(b, "dm-0")
		}
	}
	for _, tt := range []struct {
		name, says string
		prepare    func(*bench)
	}{
		{"an encrypted volume with an option that is not known", "crypt: gokexec cannot read its table", one("0 4096 crypt aes-xts-plain64 " + secret + " 0 {sda2} 32768 1 no_such_option")},
		{"cache", "cache", one("0 4096 cache {sda2} {sda2} {sda2} 128 0 smq 0")},
		{"a disk that is gone", "the device 8:99, which is not there", one("0 4096 linear 8:99 2048")},
		{"no table", "has no table", func(b *bench) {
			b.mapped(0, "x", lvm, nil, ext4())
			onData(b, "dm-0")
		}},
		{"a loop device below", "a loop device", func(b *bench) {
			b.disk("virtual/block/loop0", pv('l'))
			b.mapped(0, "x", lvm, []string{"0 4096 linear {loop0} 2048"}, ext4())
			onData(b, "dm-0")
		}},
		{"an iSCSI disk below", "iSCSI", func(b *bench) {
			b.disk("platform/host3/session1/target3:0:0/3:0:0:1/block/sdb", pv('l'))
			b.mapped(0, "x", lvm, []string{"0 4096 linear {sdb} 2048"}, ext4())
			onData(b, "dm-0")
		}},
		{"a thin pool out of space", "takes no new data", thinState("2 20/128 1000/1000 - out_of_data_space discard_passdown error_if_no_space - 1024")},
		{"a thin pool that is full", "is full", thinState("2 20/128 1000/1000 - rw discard_passdown error_if_no_space - 1024")},
		{"a read-only thin pool", "it is ro", thinState("2 20/128 10/1000 - ro discard_passdown error_if_no_space - 1024")},
		{"a thin pool to be checked", "needs a check", thinState("2 20/128 10/1000 - rw discard_passdown error_if_no_space needs_check 1024")},
		{"a thin pool that failed", "has failed", thinState("Fail")},
		{"a snapshot that is lost", "can't be used any more", func(b *bench) {
			snapshots(b)
			onData(b, "dm-6")
		}},
		{"a dm-raid that is reshaped", "reshaped", func(b *bench) {
			raid1(b)
			b.state("v-r1", "0 4096 raid raid1 2 AA 4096/4096 reshape 0 0 -")
		}},
		{"a dm-raid without disks", "all of its disks", func(b *bench) {
			raid1(b)
			b.state("v-r1", "0 4096 raid raid1 2 DD 4096/4096 idle 0 0 -")
		}},
		{"IMSM", "mdmon", md("metadata_version", "external:/md127/0")},
		{"md without superblocks", "no superblocks", md("metadata_version", "none")},
		{"md, reshaped", "reshaped", md("reshape_position", "1024")},
		{"md with a journal", "a journal", md("dev-sda2/state", "in_sync,journal")},
		{"md with a partial parity log", "ppl", md("consistency_policy", "ppl")},
		{"md, not running", "inactive", md("array_state", "inactive")},
		{"md multipath", "of level", md("level", "multipath")},
		{"a btrfs twice", "the same device", func(b *bench) {
			b.pvs(3)
			b.mapped(0, "a", lvm+"a", []string{"0 4096 linear {sda2} 2048"}, disktest.Btrfs(dataUUID, 1, 2))
			b.mapped(1, "b", lvm+"b", []string{"0 4096 linear {sda3} 2048"}, disktest.Btrfs(dataUUID, 2, 2))
			b.mapped(2, "c", lvm+"c", []string{"0 4096 linear {sda4} 2048"}, disktest.Btrfs(dataUUID, 2, 2))
			b.mount("40 22 0:50 / /data rw - btrfs /dev/mapper/a rw,subvolid=5,subvol=/")
			b.mkdir("data/crash")
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			tt.prepare(b)
			r, err := b.Resolve(t.Context(), capture.Target{Type: capture.TargetDirectory, Path: "/data/crash"})
			var refusal *Refusal
			if !errors.As(err, &refusal) || !strings.Contains(err.Error(), tt.says) || refusal.Instead == "" {
				t.Errorf("Resolve = %+v, %v; want a refusal that says %q, and what to do instead", r, err, tt.says)
			}
			if err != nil && strings.Contains(err.Error(), secret) {
				t.Error("the key is in the error")
			}
		})
	}
}

// luks is a LUKS2 volume on sda2, open as dm-0, that holds something.
func luks(b *bench, content func([]byte)) {
	b.partition("sda", 2, bytesAt(0, "LUKS\xba\xbe\x00\x02"), bytesAt(168, otherUUID))
	b.mapped(0, "luks-x", "CRYPT-LUKS2-x", []string{"0 4096 crypt aes-xts-plain64 " + secret + " 0 {sda2} 32768"}, content)
}

// secret is a key.
const secret = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

// An encrypted volume is taken if the caller has its key: without that in the table.
func TestStackCrypt(t *testing.T) {
	b := newBench(t)
	luks(b, ext4())
	onData(b, "dm-0")
	r, err := b.Resolve(t.Context(), capture.Target{Type: capture.TargetDirectory, Path: "/data/crash"})
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "crypt", r.Target)
	if text := fmt.Sprintf("%+v %#v %s", r, r.Keys, text(t, r)); strings.Contains(text, secret) {
		t.Error("the key shows in what is resolved")
	}
	if got := strings.Join(r.Modules, " "); got != "dm-mod dm-crypt" {
		t.Errorf("modules %s", got)
	}
	if got := strings.Join(r.Ciphers, " "); got != "crypto-aes crypto-xts crypto-plain64" {
		t.Errorf("ciphers %s", got)
	}
	if len(r.Keys) != 1 || r.Keys[0].Map != "luks-x" || r.Keys[0].Device != "sda2" {
		t.Fatalf("keys %v; want that of luks-x on sda2", r.Keys)
	}
	if key, err := b.Secret(r.Keys[0]); err != nil || hex.EncodeToString(key) != secret {
		t.Errorf("the key is %d bytes, %v; want that of the table", len(key), err)
	}
}

// Without udev /dev/mapper has nodes, and not links to those of the kernel's names.
func TestStackNode(t *testing.T) {
	b := newBench(t)
	b.pvs(1)
	b.mapped(0, "vg-other", lvm+"o", []string{"0 4096 linear {sda2} 8192"})
	b.mapped(1, "vg-var", lvm, []string{"0 4096 linear {sda2} 2048"}, disktest.Btrfs(dataUUID, 1, 1))
	node := filepath.Join(b.dir, "dev/mapper/vg-var")
	if err := os.Remove(node); err != nil {
		t.Fatal(err)
	}
	b.file("dev/mapper/vg-var", "")
	b.mount("40 22 0:50 / /data rw - btrfs /dev/mapper/vg-var rw,subvolid=5,subvol=/")
	b.mkdir("data/crash")
	r, err := b.Resolve(t.Context(), capture.Target{Type: capture.TargetDirectory, Path: "/data/crash"})
	if err != nil || len(r.on()) != 1 || r.on()[0] != "dm-1" {
		t.Errorf("Resolve = %+v, %v; want dm-1", r, err)
	}
	if _, err := b.blockByNode("/dev/mapper/gone"); err == nil {
		t.Error("a map that is not there is found")
	}
}

// A path that does not answer is described by another one to the same disk.
func TestStackDeadPath(t *testing.T) {
	b := newBench(t)
	multipath(b, pv('m'))
	b.mapped(1, "vg-var", lvm, []string{"0 4096 linear {dm-0} 2048"}, ext4())
	onData(b, "dm-1")
	for _, dead := range []string{"sdb", "sdc"} {
		if err := os.Rename(filepath.Join(b.dir, "dev", dead), filepath.Join(b.dir, "dead")); err != nil {
			t.Fatal(err)
		}
		r, err := b.Resolve(t.Context(), capture.Target{Type: capture.TargetDirectory, Path: "/data/crash"})
		if err != nil || !strings.Contains(strings.Join(r.Warnings, " "), dead+" does not answer") || r.Target.Stack.Layers[0].Disk.Ref != "WWID=naa.6000" || r.Target.Stack.Layers[1].Disk.Ref != "WWID=naa.6000" {
			t.Errorf("without %s: %+v, %v", dead, r, err)
		}
		if err := os.Rename(filepath.Join(b.dir, "dead"), filepath.Join(b.dir, "dev", dead)); err != nil {
			t.Fatal(err)
		}
	}
}

// A disk without a name of its own is found by what it holds, if no other holds that.
func TestStackIdentity(t *testing.T) {
	for _, tt := range []struct {
		name, want string
		warned     bool
		more       func(*bench)
	}{
		{"by its contents", "UUID=vvvvvv-vvvv-vvvv-vvvv-vvvv-vvvv-vvvvvv", false, func(*bench) {}},
		{"a copy", "/dev/vda", true, func(b *bench) { b.disk(pci+"0000:00:06.0/virtio3/block/vdb", pv('v')) }},
		{"a serial number", "SERIAL=one", false, func(b *bench) { b.file("sys/class/block/vda/serial", "one") }},
		{"a serial number, twice", "UUID=vvvvvv-vvvv-vvvv-vvvv-vvvv-vvvv-vvvvvv", false, func(b *bench) {
			b.disk(pci+"0000:00:06.0/virtio3/block/vdb", pv('w'))
			b.file("sys/class/block/vda/serial", "one")
			b.file("sys/class/block/vdb/serial", "one")
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			b.disk(pci+"0000:00:05.0/virtio2/block/vda", pv('v'))
			tt.more(b)
			b.mapped(0, "vg-var", lvm, []string{"0 4096 linear {vda} 2048"}, ext4())
			onData(b, "dm-0")
			r, err := b.Resolve(t.Context(), capture.Target{Type: capture.TargetDirectory, Path: "/data/crash"})
			if err != nil || r.Target.Stack.Layers[0].Disk.Ref != tt.want || (len(r.Warnings) > 0) != tt.warned {
				t.Errorf("Resolve = %+v, %v; want %s", r, err, tt.want)
			}
		})
	}
}

func TestModulesOf(t *testing.T) {
	for _, tt := range []struct {
		row  stack.Row
		want string
	}{
		{stack.Row{Type: "linear", Args: "@0 0"}, ""},
		{stack.Row{Type: "thin", Args: "@0 1"}, "dm-thin-pool"},
		{stack.Row{Type: "multipath", Args: "0 0 2 1 service-time 0 1 2 @0 1 1 service-time 0 1 2 @1 1 1"}, "dm-multipath dm-service-time"},
		{stack.Row{Type: "multipath", Args: "0 0 1 1 round-robin 0 1 1 @0 1000"}, "dm-multipath dm-round-robin"},
	} {
		if got := strings.Join(modulesOf(tt.row), " "); got != tt.want {
			t.Errorf("modules of %v: %q; want %q", tt.row, got, tt.want)
		}
	}
}

func TestAlgorithm(t *testing.T) {
	for _, tt := range []struct {
		row  stack.Row
		want string
	}{
		{stack.Row{Type: "crypt", Args: "aes-cbc-essiv:sha256 $k 0 @0 4096"}, "aes-cbc-essiv:sha256"},
		{stack.Row{Type: "integrity", Args: "@0 0 4 J 2 block_size:4096 internal_hash:crc32c"}, "crc32c"},
		{stack.Row{Type: "linear", Args: "@0 0"}, ""},
	} {
		if got := algorithm(tt.row); got != tt.want {
			t.Errorf("algorithm of %v: %q; want %q", tt.row, got, tt.want)
		}
	}
}
