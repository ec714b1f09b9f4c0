package storage

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// layout is a stack of devices with a filesystem on top. Scripts get its devices as $1, $2 and so on.
type layout struct {
	name  string
	parts []int    // MiB, of a partition on each of so many disks
	whole []string // instead: the buses of whole disks
	paths int      // instead: one SCSI disk by so many paths
	array bool     // which are those of a storage array

	make  string   // makes it and its filesystem, and mounts it at $top
	after string   // is run when it is there, has its first file and is mounted
	idle  bool     // it is not written to when the machine ends
	up    string   // makes the devices of what is on the disks
	mount string   // options of mount(8) and the device; $top follows
	down  string   // takes down what up made
	more  []string // other directories than /mnt/NAME that are written to: what is to be added to that

	late     string // is run when it was recorded already
	refused  string // what a capture then says of it before it takes the next target; "" if it takes this one
	without  int    // number of the device that it does without, since it had failed before; 0: of none
	handOver string // gives root the key, which the kernel keeps for itself

	verdicts []verdict // of what is up and not mounted
	mounted  []verdict // of what is mounted
}

// dir is where the filesystem is mounted.
func (l *layout) dir() string { return "/mnt/" + l.name }

// logical is a layout with an LV of the group g-NAME.
func logical(name string, parts []int, create string, verdicts ...verdict) *layout {
	return &layout{
		name: name, parts: parts,
		make:     "lvm vgcreate -q -y -s 4m g-$name \"$@\"; lvm lvcreate -q -y -Wy -n v " + create + " g-$name; ext /dev/g-$name/v",
		up:       "lvm vgchange -q -ay g-$name",
		mount:    "-t ext4 /dev/g-$name/v",
		down:     "lvm vgchange -q -an g-$name",
		verdicts: append([]verdict{wholeGroup, cleanExt("/dev/g-$name/v")}, verdicts...),
	}
}

// array is a layout with an md array. The disks are empty: what is on them is in agreement already.
func array(name string, parts []int, create string, verdicts ...verdict) *layout {
	return &layout{
		name: name, parts: parts,
		make:     "mdadm --create /dev/md/$name --quiet --run --assume-clean " + create + "; ext /dev/md/$name",
		up:       "mdadm --assemble --quiet /dev/md/$name \"$@\"",
		mount:    "-t ext4 /dev/md/$name",
		down:     "mdadm --stop --quiet /dev/md/$name",
		verdicts: append(verdicts, cleanExt("/dev/md/$name")),
	}
}

// encrypted is a layout with a LUKS volume, and something in it.
func encrypted(name, kind string) *layout {
	return &layout{
		name: name, parts: []int{64},
		make:     "echo -n secret >/run/key; cryptsetup luksFormat -q --type " + kind + " --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --key-file /run/key $1; " + unlock + "; ext /dev/mapper/c-$name",
		up:       unlock,
		mount:    "-t ext4 /dev/mapper/c-$name",
		down:     "cryptsetup close c-$name",
		verdicts: []verdict{cleanExt("/dev/mapper/c-$name")},
	}
}

// handOver makes the key of a LUKS2 volume one that root can read.
const handOver = "cryptsetup open --test-passphrase --key-file /run/key $1 --link-vk-to-keyring \"@u::%user:gokexec:c-$name\""

const unlock = "echo -n secret >/run/key; cryptsetup open --key-file /run/key $1 c-$name"

// all reports whether this run is to take its time.
func all() bool { return os.Getenv("GOKEXEC_VM_STORAGE") == "all" }

// onlyAll skips what other runs have no time for.
func onlyAll(t *testing.T) {
	t.Helper()
	if !all() {
		t.Skip("not in this run: it needs GOKEXEC_VM_STORAGE=all (make vm-storage)")
	}
}

// usualLayouts are all layouts, or those that GOKEXEC_VM_STORAGE names, separated by commas. Where there is no time for that
// they are one of each kind; without a matrix some of those.
func usualLayouts() []*layout {
	layouts := allLayouts()
	usual := []string{"lvm-xfs", "lvm-thin", "lvm-md", "lvm-moved", "lvm-others", "md-late", "luks2", "btrfs-raid1"}
	switch {
	case all():
		return layouts
	case os.Getenv("GOKEXEC_VM_STORAGE") != "":
		usual = strings.Split(os.Getenv("GOKEXEC_VM_STORAGE"), ",")
	case os.Getenv("GOKEXEC_VM_MATRIX") != "":
		usual = append(usual, "lvm-snapshot", "lvm-raid1", "lvm-whole", "md-raid5", "lvm-late", "lvm-resized", "lvm-new-snapshot", "lvm-full", "xfs-log", "ext4-journal", "multipath", "lvm-multipath")
	}
	return slices.DeleteFunc(layouts, func(l *layout) bool { return !slices.Contains(usual, l.name) })
}

// allLayouts lists what can be a dump target.
func allLayouts() []*layout {
	two, three, four := []int{64, 64}, []int{64, 64, 64}, []int{64, 64, 64, 64}
	onMirror := &layout{
		name: "lvm-md", parts: two,
		make: "mdadm --create /dev/md/$name --quiet --run --assume-clean --level 1 --raid-devices 2 \"$@\"; pvs=/dev/md/$name; " +
			"lvm vgcreate -q -y -s 4m g-$name $pvs; lvm lvcreate -q -y -n v -l 100%FREE g-$name; ext /dev/g-$name/v",
		up:       "mdadm --assemble --quiet /dev/md/$name \"$@\"; pvs=/dev/md/$name; lvm vgchange -q -ay g-$name",
		mount:    "-t ext4 /dev/g-$name/v",
		down:     "pvs=/dev/md/$name; lvm vgchange -q -an g-$name; mdadm --stop --quiet /dev/md/$name",
		verdicts: []verdict{arrayWhole(2), groupOn("/dev/md/$name"), cleanExt("/dev/g-$name/v")},
	}
	luks2 := encrypted("luks2", "luks2")
	luks2.handOver = handOver
	onLUKS := &layout{
		name: "lvm-luks", parts: []int{128}, handOver: handOver,
		make:     encrypted("", "luks2").make,
		up:       unlock + "; pvs=/dev/mapper/c-$name; lvm vgchange -q -ay g-$name",
		mount:    "-t ext4 /dev/g-$name/v",
		down:     "pvs=/dev/mapper/c-$name; lvm vgchange -q -an g-$name; cryptsetup close c-$name",
		verdicts: []verdict{groupOn("/dev/mapper/c-$name"), cleanExt("/dev/g-$name/v")},
	}
	onLUKS.make = "echo -n secret >/run/key; cryptsetup luksFormat -q --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --key-file /run/key $1; " + unlock +
		"; pvs=/dev/mapper/c-$name; lvm vgcreate -q -y -s 4m g-$name $pvs; lvm lvcreate -q -y -n v -l 100%FREE g-$name; ext /dev/g-$name/v"

	onXFS := logical("lvm-xfs", []int{320}, "-l 100%FREE")
	onXFS.make = strings.Replace(onXFS.make, "ext /dev/g-$name/v", "mkfs.xfs -q -f /dev/g-$name/v; mkdir -p $top; mount -t xfs /dev/g-$name/v $top", 1)
	onXFS.mount = "-t xfs /dev/g-$name/v"
	onXFS.verdicts = []verdict{wholeGroup, func(g *guest, l *layout) error {
		_, err := g.on(l, "mkdir -p $top; mount -t xfs /dev/g-$name/v $top; umount $top; xfs_repair -n /dev/g-$name/v 2>&1")
		return err
	}}

	whole := logical("lvm-whole", nil, "-l 100%FREE")
	whole.whole = []string{"nvme", "virtio"}

	snapshot := logical("lvm-snapshot", two, "-L 40m", keptSnapshot)
	snapshot.after = "guest write $top/kept kept 1048576; lvm lvcreate -q -y -s -n old -L 40m g-$name/v; guest write $top/later later 1048576"

	thin := logical("lvm-thin", two, "", secondThin)
	thin.make = "lvm vgcreate -q -y -s 4m g-$name \"$@\"; lvm lvcreate -q -y --type thin-pool -L 72m -n pool --poolmetadataspare n g-$name; " +
		"lvm lvcreate -q -y -V 80m -n v --thinpool pool g-$name; lvm lvcreate -q -y -V 80m -n v2 --thinpool pool g-$name; ext /dev/g-$name/v; ext /dev/g-$name/v2 $top-2"
	thin.more = []string{"-2"}

	degraded := array("md-degraded", []int{64}, "--level 1 --raid-devices 2 $1 missing", arrayWhole(1))
	kicked := array("md-kicked", two, "--level 1 --raid-devices 2 $1 $2", arrayWhole(1))
	kicked.after = "sync; mdadm --quiet --fail /dev/md/$name $1; guest write $top/later later 1048576"

	kicked.without = 1

	// Members that fail when the target is recorded already: alone they are stale, and nothing says so but the other.
	lateKicked := array("md-late", two, "--level 1 --raid-devices 2 $1 $2", arrayWhole(1))
	lateKicked.late, lateKicked.without = "sync; mdadm --quiet --fail /dev/md/$name $1; guest write $top/later later 1048576; sync", 1
	lateLeg := logical("lvm-late", two, "--type raid1 -m 1 -L 48m", agreeing)
	lateLeg.late, lateLeg.without = "sync; leg=g--lvm--late-v_rimage_1; dmsetup load $leg --table \"0 $(blockdev --getsz /dev/mapper/$leg) error\"; dmsetup resume $leg; "+
		"guest write $top/later later 1048576; sync; dmsetup status g--lvm--late-v", 2

	// Dirty and degraded, it would need mdadm's --force.
	less := array("md-raid5-less", two, "--level 5 --raid-devices 3 $1 $2 missing", arrayWhole(2))
	less.after, less.idle = "mount -o remount,ro $top", true

	parted := array("md-parted", two, "--level 1 --raid-devices 2 $1 $2", arrayWhole(2))
	parted.make = "mdadm --create /dev/md/$name --quiet --run --assume-clean --level 1 --raid-devices 2 $1 $2; " +
		"echo 'label: gpt\n,' | sfdisk -q /dev/md/$name; ext $(readlink -f /dev/md/$name)p1"
	parted.mount = "-t ext4 $(readlink -f /dev/md/$name)p1"
	parted.verdicts = []verdict{arrayWhole(2), cleanExt("$(readlink -f /dev/md/$name)p1")}

	plain := &layout{
		name: "ext4", parts: []int{64},
		make: "ext $1", mount: "-t ext4 $1",
		verdicts: []verdict{cleanExt("$1")},
	}
	single := &layout{
		name: "btrfs", parts: []int{160},
		make:  "modprobe -q btrfs; mkfs.btrfs -q $1; " + subvolume("$1"),
		up:    "modprobe -q btrfs",
		mount: "-t btrfs -o subvol=root $1", verdicts: []verdict{cleanBtrfs("$1")},
	}
	within := encrypted("btrfs-luks", "luks2")
	within.parts, within.handOver = single.parts, handOver
	within.make = strings.Replace(within.make, "ext /dev/mapper/c-$name", "modprobe -q btrfs; mkfs.btrfs -q /dev/mapper/c-$name; "+subvolume("/dev/mapper/c-$name"), 1)
	within.up = "modprobe -q btrfs; " + unlock
	within.mount, within.verdicts = "-t btrfs -o subvol=root /dev/mapper/c-$name", []verdict{cleanBtrfs("/dev/mapper/c-$name")}
	btrfs := &layout{
		name: "btrfs-raid1", parts: []int{128, 128},
		make:     "modprobe -q btrfs; mkfs.btrfs -q -m raid1 -d raid1 $1 $2; " + subvolume("$1"),
		up:       "modprobe -q btrfs; btrfs -q device scan $1 $2",
		mount:    "-t btrfs -o subvol=root $2",
		verdicts: []verdict{cleanBtrfs("$1")},
		mounted:  []verdict{scrubbed},
	}
	// What LVM did after the target was recorded: the first three concern the target, the fourth only others.
	one := func(name, create, late, refused string) *layout {
		l := logical(name, nil, create)
		l.whole, l.late, l.refused = []string{"virtio"}, late, refused
		return l
	}
	moved := one("lvm-moved", "-L 24m", "lvm pvmove -q -i 1 --alloc anywhere $1:0-2 $1:9-11", "is not where it was")
	resized := one("lvm-resized", "-L 24m", "lvm lvresize -q -L +8m g-$name/v", "is not where it was")
	snapped := one("lvm-new-snapshot", "-L 24m", "lvm lvcreate -q -y -s -n new -L 8m g-$name/v", "has the snapshot new")
	others := one("lvm-others", "-L 24m", "lvm lvcreate -q -y -Wy -n more -L 4m g-$name; lvm lvcreate -q -y -s -n old -L 4m g-$name/other; "+
		"lvm lvresize -q -L +4m g-$name/more", "")
	others.after = "lvm lvcreate -q -y -Wy -n other -L 8m g-$name"
	full := one("lvm-full", "", "dd if=/dev/zero of=/dev/g-$name/v2 bs=64k oflag=direct status=none || sync", "the thin pool is full")
	full.idle = true
	full.make = "lvm vgcreate -q -y -s 4m g-$name \"$@\"; lvm lvcreate -q -y --type thin-pool -L 40m -n pool --poolmetadataspare n g-$name; lvm lvchange -q --errorwhenfull y g-$name/pool; " +
		"lvm lvcreate -q -y -V 32m -n v --thinpool pool g-$name; lvm lvcreate -q -y -V 48m -n v2 --thinpool pool g-$name; ext /dev/g-$name/v"

	integrity := &layout{
		name: "integrity", parts: []int{32},
		up:       "integritysetup open --integrity crc32c $1 i-$name",
		mount:    "-t ext4 /dev/mapper/i-$name",
		down:     "integritysetup close i-$name",
		verdicts: []verdict{cleanExt("/dev/mapper/i-$name")},
	}
	integrity.make = "integritysetup format -q --integrity crc32c $1; " + integrity.up + "; ext /dev/mapper/i-$name"
	xfs := &layout{
		name: "xfs-log", parts: []int{304, 64},
		make:     "mkfs.xfs -q -f -l logdev=$2 $1; mkdir -p $top; mount -t xfs -o logdev=$2 $1 $top",
		mount:    "-t xfs -o logdev=$2 $1",
		verdicts: []verdict{cleanXFS},
	}
	journal := &layout{
		name: "ext4-journal", parts: []int{64, 16},
		make: "mke2fs -q -F -b 4096 -O journal_dev $2; mke2fs -q -F -t ext4 -b 4096 -E lazy_itable_init=1 -J device=$2 $1; " +
			"mkdir -p $top; mount -t ext4 -o journal_path=$2 $1 $top",
		mount:    "-t ext4 -o journal_path=$2 $1",
		verdicts: []verdict{cleanExt("$1", "-j $2"), findsJournal},
	}
	multipath := &layout{
		name: "multipath", paths: 2, up: paths,
		mount:    "-t ext4 /dev/mapper/$name",
		down:     "dmsetup remove $name",
		verdicts: []verdict{cleanExt("/dev/mapper/$name")},
	}
	multipath.make = multipath.up + "; ext /dev/mapper/$name"

	// An array of which one path is on standby; its hardware handler is left out in the capture kernel.
	alua := &layout{
		name: "alua", paths: 2, array: true, up: strings.Replace(paths, "queue_if_no_path 0", "queue_if_no_path 1 alua", 1),
		mount: multipath.mount, down: multipath.down, verdicts: multipath.verdicts,
	}
	alua.make = alua.up + "; ext /dev/mapper/$name"

	// As a machine has it that boots from a SAN.
	onPaths := logical("lvm-multipath", nil, "-l 100%FREE")
	onPaths.paths, onPaths.verdicts = 2, []verdict{groupOn("/dev/mapper/$name-part2"), cleanExt("/dev/g-$name/v")}
	parts := "; kpartx -a -p -part /dev/mapper/$name; pvs=/dev/mapper/$name-part2"
	onPaths.make = paths + "; echo 'label: gpt\nsize=8MiB\n,' | sfdisk -q --no-reread --no-tell-kernel /dev/mapper/$name" + parts +
		"; lvm vgcreate -q -y -s 4m g-$name $pvs; lvm lvcreate -q -y -n v -l 100%FREE g-$name; ext /dev/g-$name/v"
	onPaths.up = paths + parts + "; lvm vgchange -q -ay g-$name"
	onPaths.down = "pvs=/dev/mapper/$name-part2; " + onPaths.down + "; kpartx -d -p -part /dev/mapper/$name; dmsetup remove $name"

	return []*layout{
		logical("lvm-linear", two, "-l 100%FREE"),
		onXFS,
		logical("lvm-striped", two, "-i 2 -I 64k -l 100%FREE"),
		snapshot,
		thin,
		logical("lvm-raid1", two, "--type raid1 -m 1 -L 48m", agreeing),
		logical("lvm-mirror", two, "--type mirror -m 1 --mirrorlog core -L 48m", copied),
		logical("lvm-raid5", three, "--type raid5 -i 2 -L 80m", agreeing),
		whole,
		onMirror,
		array("md-raid1", two, "--level 1 --raid-devices 2 $1 $2", arrayWhole(2)),
		array("md-raid1-1.0", two, "--level 1 --metadata 1.0 --bitmap internal --raid-devices 2 $1 $2", arrayWhole(2)),
		array("md-raid1-0.90", two, "--level 1 --metadata 0.90 --raid-devices 2 $1 $2", arrayWhole(2)),
		array("md-raid5", three, "--level 5 --raid-devices 3 $1 $2 $3", arrayWhole(3)),
		array("md-raid4", three, "--level 4 --metadata 1.1 --raid-devices 3 $1 $2 $3", arrayWhole(3)),
		array("md-raid6", four, "--level 6 --raid-devices 4 $1 $2 $3 $4", arrayWhole(4)),
		array("md-raid10", four, "--level 10 --bitmap internal --raid-devices 4 $1 $2 $3 $4", arrayWhole(4)),
		degraded,
		less,
		kicked,
		lateKicked,
		lateLeg,
		parted,
		array("md-raid0", two, "--level 0 --raid-devices 2 $1 $2"),
		encrypted("luks1", "luks1"),
		luks2,
		onLUKS,
		integrity,
		plain,
		single,
		within,
		btrfs,
		xfs,
		journal,
		multipath,
		alua,
		onPaths,
		moved,
		resized,
		snapped,
		others,
		full,
	}
}

// subvolume makes the subvolume root of a btrfs and mounts it.
func subvolume(device string) string {
	return "mkdir -p $top; mount -t btrfs " + device + " $top; btrfs -q subvolume create $top/root; umount $top; mount -t btrfs -o subvol=root " + device + " $top"
}

// paths makes a multipath map of two paths; multipath(8) needs udev.
const paths = "dmsetup create $name --uuid mpath-$(cat /sys/class/block/${1##*/}/device/wwid) --table \"0 $(blockdev --getsz $1) multipath 1 queue_if_no_path 0 2 1 " +
	"service-time 0 1 2 $1 1 1 service-time 0 1 2 $2 1 1\""
