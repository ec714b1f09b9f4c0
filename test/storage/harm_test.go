package storage

import (
	"slices"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/vmlab"
)

// harm is done to a layout after its dump was saved.
type harm struct {
	script string
	says   string // what the verdict on it has
}

func harms() map[string]harm {
	scribble := func(device string) string {
		return "dd if=/dev/urandom of=" + device + " bs=64k seek=320 count=64 conv=notrunc,fsync status=none"
	}
	// A resync would make its members agree on something.
	member := func(device string) harm {
		return harm{"mdadm --assemble --quiet /dev/md/$name \"$@\"; synced; mdadm --stop --quiet /dev/$md; " + scribble(device), "0 mismatches"}
	}
	leg := func(device string) harm {
		return harm{scribble(device), `prints "  100.00`}
	}
	return map[string]harm{
		// The origin is written to as if it had no snapshot.
		"lvm-snapshot": {"lvm vgchange -q -ay g-$name; table=$(dmsetup table g--lvm--snapshot-v-real); lvm vgchange -q -an g-$name; " +
			"dmsetup create alone --table \"$table\"; mount -t ext4 /dev/mapper/alone $top; " +
			"dd if=/dev/urandom of=$top/kept bs=64k count=8 conv=notrunc,fsync status=none; umount $top; dmsetup remove alone", "/mnt/old/kept differs"},
		"lvm-linear":  {"dd if=/dev/urandom of=$1 bs=64k seek=18 count=8 conv=notrunc,fsync status=none", "exit code"},
		"lvm-raid1":   leg("$2"),
		"lvm-raid5":   leg("$3"),
		"md-raid1":    member("$2"),
		"md-raid5":    member("$1"),
		"md-raid6":    member("$4"),
		"md-raid10":   member("$3"),
		"btrfs-raid1": {"for at in 1 66; do dd if=/dev/urandom of=$2 bs=1M seek=$at count=60 conv=notrunc,fsync status=none; done", "scrub"},
		"xfs-log":     {"dd if=/dev/urandom of=$1 bs=64k seek=1 count=8 conv=notrunc,fsync status=none", "would "},
		// The member that was thrown out is used alone.
		"md-kicked": {"for i in 1 2 3 4 5 6 7 8; do mdadm --assemble --quiet --run /dev/md/$name $1; mount -t ext4 /dev/md/$name $top; " +
			"echo $i >$top/stale; umount $top; mdadm --stop --quiet /dev/md/$name; done", "dump: no such file"},
	}
}

// The verdicts notice what is wrong.
func TestVMStorageHarm(t *testing.T) {
	onlyAll(t)
	t.Parallel()
	harms := harms()
	layouts := slices.DeleteFunc(allLayouts(), func(l *layout) bool { return harms[l.name].script == "" })
	if len(layouts) != len(harms) {
		t.Fatalf("%d of %d layouts are known", len(layouts), len(harms))
	}
	lab := newStorageLab(t, vmlab.GetTestKernel(t, "trixie-cloud"), layouts)
	lab.first(booting{tools: true}, reset)
	tools := byTools()
	harm := assembler{tools.assemble, func(g *guest, l *layout) error {
		if err := tools.takeDown(g, l); err != nil {
			return err
		}
		_, err := g.on(l, harms[l.name].script)
		return err
	}}
	lab.second(booting{tools: true, swapped: true}, harm.save)
	failed := lab.third(dumpWritten())
	for _, err := range failed {
		t.Log(err)
	}
	for _, l := range layouts {
		noticed := func(err error) bool {
			return strings.HasPrefix(err.Error(), l.name+":") && strings.Contains(err.Error(), harms[l.name].says)
		}
		if !slices.ContainsFunc(failed, noticed) {
			t.Errorf("%s: no verdict has %q after the harm that was done to it", l.name, harms[l.name].says)
		}
	}
}
