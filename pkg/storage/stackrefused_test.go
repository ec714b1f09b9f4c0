package storage

import (
	"errors"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/disktest"
	"github.com/gokexec/gokexec/pkg/capture"
)

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
