package stack

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gokexec/gokexec/pkg/blkid"
)

// Each change to a world has its error, nothing remains, and no disk that was changed was used.
func TestAssembleRefuses(t *testing.T) {
	stray := func(w *world, layer int, change func(*fakeDisk)) {
		d := *w.layerDisk(layer)
		d.name, d.number = "stray", Number{8, 1}
		change(&d)
		w.k.disks = append(w.k.disks, &d)
	}
	linear := func(w *world) { w.top(w.dm("lv", 4*mib, "linear", "@%d 2048", w.pv())) }
	for _, tt := range []struct {
		name   string
		build  func(w *world)
		is     error
		want   string
		within time.Duration
	}{
		{"missing PV", func(w *world) { linear(w); w.k.disks = nil }, ErrMissing, "sda (WWID=naa.0000) is not there", timeout},
		{"wrong content", func(w *world) {
			linear(w)
			w.k.disks[0].altered, w.k.disks[0].contents = true, contents(Content{Type: "LVM2_member", UUID: uuid(77)})
		}, ErrChanged, "sda (WWID=naa.0000), now /dev/sdz: it holds LVM2_member " + uuid(77) + "; want LVM2_member " + uuid(0), timeout},
		{"no content", func(w *world) { linear(w); w.k.disks[0].altered, w.k.disks[0].contents = true, blkid.Contents{} }, ErrChanged, "holds nothing that is known; want", timeout},
		{"wrong size", func(w *world) { linear(w); w.k.disks[0].altered, w.k.disks[0].size = true, 9*mib }, ErrChanged, "has 9437184 bytes; want 8388608", timeout},
		{"wrong content wins over a missing disk", func(w *world) {
			a, b := w.pv(), w.pv()
			w.top(w.dm("s", 4*mib, "striped", "2 128 @%d 2048 @%d 2048", a, b))
			w.k.disks = w.k.disks[:1]
			w.k.disks[0].altered, w.k.disks[0].size = true, 9*mib
		}, ErrChanged, "has 9437184 bytes", timeout},
		{"a copy", func(w *world) {
			l := w.path(blkid.Ref{Key: "PARTUUID", Value: uuid(5)}, 8*mib, Content{Type: "LVM2_member", UUID: uuid(6)}, nil)
			w.top(w.dm("lv", 4*mib, "linear", "@%d 2048", l))
			stray(w, l, func(*fakeDisk) {})
		}, blkid.ErrAmbiguous, "sda (PARTUUID=" + uuid(5) + ") is on /dev/sdz and /dev/stray", timeout},
		{"a copy that comes a moment later", func(w *world) {
			l := w.path(blkid.Ref{Key: "PARTUUID", Value: uuid(5)}, 8*mib, Content{Type: "LVM2_member", UUID: uuid(6)}, nil)
			w.top(w.dm("lv", 4*mib, "linear", "@%d 2048", l))
			stray(w, l, func(d *fakeDisk) { d.after = 2 })
		}, blkid.ErrAmbiguous, "on /dev/sdz and /dev/stray", timeout},
		{"one disk by two names", func(w *world) {
			holds := Content{Type: "LVM2_member", UUID: uuid(6)}
			ref := blkid.Ref{Key: "PARTUUID", Value: uuid(5)}
			w.top(w.dm("s", 4*mib, "striped", "2 128 @%d 0 @%d 0", w.path(ref, 8*mib, holds, nil), w.disk(8*mib, holds, nil)))
			w.k.disks = w.k.disks[1:]
			w.k.disks[0].aka = ref
		}, ErrMissing, "sdb (WWID=naa.0001) is not there", timeout},
		{"an origin without a snapshot", func(w *world) {
			pv, other := w.pv(), w.pv()
			real := w.dm("o-real", 2*mib, "linear", "@%d 2048", pv)
			cow := w.dm("o-cow", mib, "linear", "@%d 2048", other)
			w.dm("o-snap", 2*mib, "snapshot", "@%d @%d P 8", real, cow)
			w.top(w.dm("o", 2*mib, "snapshot-origin", "@%d", real))
			w.k.disks = w.k.disks[:1]
		}, ErrMissing, "sdb (WWID=naa.0001) is not there", timeout},
		{"one of a mirror that was whole", func(w *world) { w.top(w.raid1(2)); w.k.disks = w.k.disks[:1] }, nil, "active", timeout},
		{"no member", func(w *world) { w.top(w.raid1(2)); w.k.disks = nil }, ErrMissing, "sda", timeout},
		{"no path", func(w *world) { w.top(w.multipath(2)); w.k.disks = nil }, ErrMissing, "sda", timeout},
		{"another member in its place", func(w *world) {
			w.top(w.raid1(2))
			w.k.disks[1].altered, w.k.disks[1].data = true, w.k.disks[0].data
		}, ErrChanged, "member", timeout},
		{"raid5 degraded and dirty", func(w *world) {
			roles := []uint16{0, 1, failedRole}
			w.top(w.array("raid5", 12*mib, member{5, 3, 0, 20, true, roles}, member{5, 3, 1, 20, true, roles}))
		}, nil, "only if the configuration allows", timeout},
		{"a stale leg alone", func(w *world) {
			w.top(w.lvmRAID("r", rmeta(0, 2, 26, 1<<1), rmeta(1, 2, 23, 0)))
			w.k.disks = w.k.disks[1:]
		}, nil, "legs are missing", timeout},
		{"a map by another", func(w *world) {
			linear(w)
			w.k.maps = append(w.k.maps, &fakeMap{name: "elsewhere", uuid: "LVM-lv"})
		}, ErrNotOurs, "dm-1 (map lv): make it: it exists already", timeout},
		{"full thin pool", func(w *world) { w.top(w.thin("t")); w.k.status["t-tpool"] = "1 20/512 64/64 - rw - - - 128" }, nil, "dm-3 (map t-tpool, now /dev/dm-9): the thin pool is full", timeout},
		{"thin pool without metadata", func(w *world) { w.top(w.thin("t")); w.k.status["t-tpool"] = "1 512/512 1/64 - rw - - - 128" }, nil, "the thin pool is full", timeout},
		{"thin pool without space", func(w *world) {
			w.top(w.thin("t"))
			w.k.status["t-tpool"] = "1 20/512 64/64 - out_of_data_space - - - 128"
		}, nil, "mode out_of_data_space; want rw", timeout},
		{"damaged thin pool", func(w *world) {
			w.top(w.thin("t"))
			w.k.status["t-tpool"] = "1 20/512 4/64 - rw discard_passdown queue_if_no_space needs_check 128"
		}, nil, "needs a check", timeout},
		{"failed thin pool", func(w *world) { w.top(w.thin("t")); w.k.status["t-tpool"] = "Fail" }, nil, "mode Fail", timeout},
		{"a volume of another size", func(w *world) { linear(w); w.s.Layers[1].Size = 5 * mib }, ErrChanged, "dm-1 (map lv, now /dev/dm-7): it has 4194304 bytes; want 5242880", timeout},
		{"an array of another size", func(w *world) { w.top(w.raid1(2)); w.s.Layers[2].Size = 5 * mib }, ErrChanged, "md0 (array ", timeout},
		{"no partition", func(w *world) { w.top(w.part(w.raid1(2), 1, mib)); clear(w.k.parts) }, ErrMissing, "md2p1 (partition 1 of md0)", timeout},
		{"a number of another kernel", func(w *world) { w.top(w.dm("lv", mib, "linear", "8:1 0")) }, ErrFormat, "names the device 8:1 of another kernel", 0},
		{"a path of another kernel", func(w *world) { w.top(w.dm("lv", mib, "linear", "/dev/sda 0")) }, ErrFormat, "names the device /dev/sda", 0},
		{"a multipath table that can't be read", func(w *world) { w.top(w.dm("m", mib, "multipath", "0 0 1 1 round-robin 0 1 5 @%d 1", w.pv())) }, ErrFormat, "cannot read its table", 0},
		{"one name twice", func(w *world) {
			ref := blkid.Ref{Key: "SERIAL", Value: "1"}
			a, b := w.path(ref, mib, Content{}, nil), w.path(ref, mib, Content{}, nil)
			w.top(w.dm("s", mib, "striped", "2 128 @%d 0 @%d 0", a, b))
		}, ErrFormat, "have the same name", 0},
	} {
		bubble(t, tt.name, func(t *testing.T) {
			w := newWorld(t)
			tt.build(w)
			before := len(w.k.maps)
			start := time.Now()
			x, err := w.assemble()
			if err == nil || !strings.Contains(err.Error(), tt.want) || tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("Assemble = %v, %v; want an error that is %v and has %q", x, err, tt.is, tt.want)
			}
			if took := time.Since(start); took > tt.within+partTime {
				t.Errorf("it took %v; want %v", took, tt.within)
			}
			if left := w.k.remains(); len(left) != before {
				t.Errorf("%v remain", left)
			}
			if len(w.k.wrong) > 0 {
				t.Errorf("%v", w.k.wrong)
			}
		})
	}
}

// What may be missing is left out, and what is beyond doubt is decided.
func TestDoneWithout(t *testing.T) {
	for _, tt := range []struct {
		name  string
		build func(w *world)
		o     Options
		want  string // in the tables, or members of the array
	}{
		{"one path", func(w *world) { w.top(w.multipath(2)); w.k.disks = w.k.disks[1:] }, Options{}, "multipath 0 0 1 1 service-time 0 1 2 8:6"},
		{"more paths than before", func(w *world) {
			w.top(w.multipath(2))
			third := *w.k.disks[0]
			third.name, third.number = "third", Number{8, 1}
			w.k.disks = append(w.k.disks, &third)
		}, Options{}, "multipath 0 0 2 1 service-time 0 1 2 8:640 1 1 service-time 0 1 2 8:624 1 1"},
		{"two paths to a disk that had one", func(w *world) {
			w.top(w.dm("lv", mib, "linear", "@%d 0", w.pv()))
			second := *w.k.disks[0]
			second.name, second.number = "second", Number{8, 1}
			w.k.disks = append(w.k.disks, &second)
		}, Options{}, "linear 8:640 0"},
		{"another disk of the name", func(w *world) {
			w.top(w.dm("lv", mib, "linear", "@%d 0", w.pv()))
			other := *w.k.disks[0]
			other.name, other.number, other.altered, other.contents = "other", Number{8, 1}, true, blkid.Contents{}
			w.k.disks = append([]*fakeDisk{&other}, w.k.disks...)
		}, Options{}, "linear 8:640 0"},
		{"the mirror's failed disk", func(w *world) {
			roles := []uint16{0, failedRole}
			w.top(w.array("raid1", 6*mib, member{1, 2, 0, 20, true, roles}))
		}, Options{}, "[8:640]"},
		{"a leg that had failed", func(w *world) {
			w.top(w.lvmRAID("r", rmeta(0, 2, 26, 1<<1), rmeta(1, 2, 23, 0)))
			w.k.disks = w.k.disks[:1]
		}, Options{}, "raid1 3 0 region_size 1024 2 254:7 254:8 - -"},
		{"raid5 degraded and dirty, allowed", func(w *world) {
			roles := []uint16{0, 1, failedRole}
			w.top(w.array("raid5", 12*mib, member{5, 3, 0, 20, true, roles}, member{5, 3, 1, 20, true, roles}))
		}, Options{StartDirtyDegraded: true}, "[8:640 8:624]"},
		{"raid0", func(w *world) {
			w.top(w.array("raid0", 12*mib, member{0, 2, 0, 20, false, []uint16{0, 1}}, member{0, 2, 1, 20, false, []uint16{0, 1}}))
		}, Options{}, "[8:640 8:624]"},
		{"btrfs on two", func(w *world) {
			var disks []int
			for n := range 2 {
				disks = append(disks, w.disk(8*mib, Content{Type: "btrfs", UUID: uuid(3), Member: fmt.Sprint(n + 1)}, nil))
				w.k.disks[n].contents = blkid.Contents{Btrfs: &blkid.BtrfsMember{FSID: uuid(3), ID: uint64(n + 1), Devices: 2}, Signatures: []blkid.Signature{{Kind: blkid.Filesystem, Type: "btrfs", UUID: uuid(3)}}}
			}
			w.top(disks...)
		}, Options{}, ""},
	} {
		bubble(t, tt.name, func(t *testing.T) {
			w := newWorld(t)
			tt.build(w)
			o := tt.o
			o.Timeout = timeout
			x, err := w.assembler().Assemble(t.Context(), w.s, o)
			if err != nil {
				t.Fatal(err)
			}
			got := w.k.tables()
			if len(w.k.arrays) > 0 {
				got += fmt.Sprint(w.k.arrays[0].members)
			}
			if !strings.Contains(got, tt.want) || len(w.k.wrong) > 0 {
				t.Errorf("made:\n%s\nwant %q; %v", got, tt.want, w.k.wrong)
			}
			if room, bounded, err := x.Room(); room != 0 || bounded || err != nil {
				t.Errorf("Room = %d, %v, %v; want no bound", room, bounded, err)
			}
			if p := w.k.params[mdParameters+"start_dirty_degraded"]; p == "1" {
				t.Error("arrays that are dirty and degraded may be started still")
			}
			w.closed(x)
		})
	}
}
