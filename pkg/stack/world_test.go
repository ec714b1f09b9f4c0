package stack

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/pkg/blkid"
)

const mib = 1 << 20

// world is a stack, and the disks that it was recorded on.
type world struct {
	t testing.TB
	k *fakeSystem
	s *Stack
}

func newWorld(t testing.TB) *world {
	return &world{t: t, k: newFake(), s: &Stack{Version: Version}}
}

func (w *world) add(l Layer) int {
	w.s.Layers = append(w.s.Layers, l)
	return len(w.s.Layers) - 1
}

// disk adds a disk that holds something, as it is now: the names of the kernels differ.
func (w *world) disk(size int64, holds Content, data map[int64][]byte) int {
	n := len(w.k.disks)
	ref := blkid.Ref{Key: "WWID", Value: fmt.Sprintf("naa.%04d", n)}
	return w.path(ref, size, holds, data)
}

// path is a disk of that name.
func (w *world) path(ref blkid.Ref, size int64, holds Content, data map[int64][]byte) int {
	n := len(w.k.disks)
	d := &fakeDisk{name: fmt.Sprintf("sd%c", 'z'-n), number: Number{8, uint32(16 * (40 - n))}, ref: ref, size: size, data: data}
	d.contents = contents(holds)
	w.k.disks = append(w.k.disks, d)
	return w.add(Layer{Name: fmt.Sprintf("sd%c", 'a'+n), Size: size, Disk: &Disk{ref.String(), holds}})
}

func contents(holds Content) blkid.Contents {
	if holds.Type == "" {
		return blkid.Contents{}
	}
	return blkid.Contents{Signatures: []blkid.Signature{{Kind: blkid.Member, Type: holds.Type, UUID: holds.UUID}}}
}

func uuid(n int) string { return fmt.Sprintf("00000000-0000-0000-0000-%012d", n) }

// pv is a disk with a physical volume.
func (w *world) pv() int {
	return w.disk(8*mib, Content{Type: "LVM2_member", UUID: uuid(len(w.k.disks))}, nil)
}

// dm adds a map with one row.
func (w *world) dm(name string, size int64, typ, format string, args ...any) int {
	n := len(w.s.Layers)
	return w.add(Layer{Name: fmt.Sprintf("dm-%d", n), Size: size, Map: &Map{
		Name: name, UUID: "LVM-" + name, Table: []Row{{Length: uint64(size / 512), Type: typ, Args: fmt.Sprintf(format, args...)}},
	}})
}

// member is the superblock of version 1.2 of a disk of an array.
type member struct {
	level, disks, number int
	events               uint64
	dirty                bool
	roles                []uint16
}

const failedRole = 0xfffe

func (m member) encode(set string) []byte {
	b := make([]byte, 512)
	le := binary.LittleEndian
	le.PutUint32(b, 0xa92b4efc)
	le.PutUint32(b[4:], 1)
	copy(b[16:], set)
	copy(b[32:], "host:0")
	le.PutUint32(b[72:], uint32(m.level))
	le.PutUint64(b[80:], 6*mib/512)
	le.PutUint32(b[88:], 128)
	le.PutUint32(b[92:], uint32(m.disks))
	le.PutUint64(b[128:], 2048)
	le.PutUint64(b[136:], 6*mib/512)
	le.PutUint64(b[144:], 8)
	le.PutUint32(b[160:], uint32(m.number))
	copy(b[168:], fmt.Sprintf("device %9d", m.number))
	le.PutUint64(b[200:], m.events)
	if !m.dirty {
		le.PutUint64(b[208:], 1<<64-1)
	}
	le.PutUint32(b[220:], uint32(len(m.roles)))
	for i, role := range m.roles {
		le.PutUint16(b[256+2*i:], role)
	}
	// drivers/md/md.c, calc_sb_1_csum.
	sum := uint64(0)
	for at := 0; at < 256+2*len(m.roles); at += 4 {
		if at+4 > 256+2*len(m.roles) {
			sum += uint64(le.Uint16(b[at:]))
			break
		}
		sum += uint64(le.Uint32(b[at:]))
	}
	le.PutUint32(b[216:], uint32(sum)+uint32(sum>>32))
	return b
}

// array adds an array of disks with these superblocks.
func (w *world) array(level string, size int64, members ...member) int {
	set := fmt.Sprintf("array%11d", len(w.s.Layers))
	id := dashedUUID([]byte(set))
	l := Layer{Name: fmt.Sprintf("md%d", len(w.s.Layers)), Size: size, Array: &Array{UUID: id, Metadata: "1.2", Level: level, Disks: members[0].disks}}
	for _, m := range members {
		block := m.encode(set)
		holds := Content{Type: "linux_raid_member", UUID: id}
		data := make([]byte, 8192)
		copy(data[4096:], block)
		sb, err := readSuperblock(bytes.NewReader(append(data, make([]byte, 8*mib-8192)...)), 8*mib, "1.2")
		if err != nil {
			w.t.Fatal(err)
		}
		holds.Member = sb.device()
		l.Array.Members = append(l.Array.Members, w.disk(8*mib, holds, map[int64][]byte{4096: block}))
	}
	w.k.sizes[id] = size
	return w.add(l)
}

// raid1 is an array of whole members.
func (w *world) raid1(disks int) int {
	var members []member
	roles := []uint16{0, 1, 2, 3, 4}[:disks]
	for n := range disks {
		members = append(members, member{1, disks, n, 20, true, roles})
	}
	return w.array("raid1", 6*mib, members...)
}

// part adds a partition of an array.
func (w *world) part(array, number int, size int64) int {
	id := w.s.Layers[array].Array.UUID
	if w.k.parts[id] == nil {
		w.k.parts[id] = map[int]int64{}
	}
	w.k.parts[id][number] = size
	return w.add(Layer{Name: fmt.Sprintf("md%dp%d", array, number), Size: size, Part: &Part{array, number}})
}

// multipath adds a map of several paths to one disk, in a group each.
func (w *world) multipath(paths int) int {
	ref := blkid.Ref{Key: "WWID", Value: fmt.Sprintf("naa.9%03d", len(w.k.disks))}
	holds := Content{Type: "LVM2_member", UUID: uuid(900 + len(w.k.disks))}
	var groups []string
	for range paths {
		groups = append(groups, fmt.Sprintf("service-time 0 1 2 @%d 1 1", w.path(ref, 8*mib, holds, nil)))
	}
	return w.dm(fmt.Sprintf("mpath%d", len(w.s.Layers)), 8*mib, "multipath", "1 queue_if_no_path 0 %d 1 %s", paths, strings.Join(groups, " "))
}

// rmeta is the superblock of a leg of a dm-raid (drivers/md/dm-raid.c, struct dm_raid_superblock).
func rmeta(position, legs int, events, failed uint64) []byte {
	b := make([]byte, 512)
	le := binary.LittleEndian
	copy(b, "DmRd")
	le.PutUint32(b[8:], uint32(legs))
	le.PutUint32(b[12:], uint32(position))
	le.PutUint64(b[16:], events)
	le.PutUint64(b[24:], failed)
	le.PutUint64(b[32:], 1<<64-1)
	le.PutUint64(b[40:], 1<<64-1)
	le.PutUint32(b[48:], 1)
	return b
}

// lvmRAID adds a mirror of two legs, which have these superblocks.
func (w *world) lvmRAID(name string, blocks ...[]byte) int {
	var legs []string
	for n, b := range blocks {
		pv := w.pv()
		w.k.disks[len(w.k.disks)-1].data = map[int64][]byte{mib: b}
		meta := w.dm(fmt.Sprintf("%s_rmeta_%d", name, n), mib, "linear", "@%d 2048", pv)
		image := w.dm(fmt.Sprintf("%s_rimage_%d", name, n), 4*mib, "linear", "@%d 4096", pv)
		legs = append(legs, fmt.Sprintf("@%d @%d", meta, image))
	}
	return w.dm(name, 4*mib, "raid", "raid1 3 0 region_size 1024 %d %s", len(blocks), strings.Join(legs, " "))
}

// thin adds a thin volume in a pool.
func (w *world) thin(name string) int {
	pv := w.pv()
	meta := w.dm(name+"-tmeta", 2*mib, "linear", "@%d 2048", pv)
	data := w.dm(name+"-tdata", 4*mib, "linear", "@%d 6144", pv)
	pool := w.dm(name+"-tpool", 4*mib, "thin-pool", "@%d @%d 128 0 0", meta, data)
	w.k.status[name+"-tpool"] = "1 20/512 10/64 - rw discard_passdown error_if_no_space - 128"
	return w.dm(name, 100*mib, "thin", "@%d 1", pool)
}

// snapshot adds an origin and its snapshot, and returns the origin.
func (w *world) snapshot(name string) int {
	pv := w.pv()
	origin := w.dm(name+"-real", 2*mib, "linear", "@%d 2048", pv)
	cow := w.dm(name+"-cow", mib, "linear", "@%d 6144", pv)
	w.dm(name+"-snap", 2*mib, "snapshot", "@%d @%d P 8", origin, cow)
	w.k.status[name+"-snap"] = "16/2048 8"
	return w.dm(name, 2*mib, "snapshot-origin", "@%d", origin)
}

// top makes layers those that are used.
func (w *world) top(layers ...int) *world {
	w.s.Tops = nil
	for i, l := range layers {
		option := ""
		if i > 0 {
			option = "device"
		}
		w.s.Tops = append(w.s.Tops, Top{l, option})
	}
	if err := w.s.Validate(); err != nil {
		w.t.Fatal(err)
	}
	return w
}

// layerDisk is the disk of a layer.
func (w *world) layerDisk(layer int) *fakeDisk {
	n := 0
	for i := range layer {
		if w.s.Layers[i].Disk != nil {
			n++
		}
	}
	return w.k.disks[n]
}

// rich has one of everything.
func rich(t testing.TB) *world {
	w := newWorld(t)
	mp := w.multipath(2)
	md := w.raid1(2)
	part := w.part(md, 1, 4*mib)
	raid := w.lvmRAID("r", rmeta(0, 2, 9, 0), rmeta(1, 2, 9, 0))
	thin := w.thin("t")
	origin := w.snapshot("o")
	both := w.dm("both", 8*mib, "linear", "@%d 0", mp)
	w.s.Layers[both].Map.Table = []Row{
		{Length: 4 * mib / 512, Type: "linear", Args: fmt.Sprintf("@%d 0", mp)},
		{Start: 4 * mib / 512, Length: 4 * mib / 512, Type: "linear", Args: fmt.Sprintf("@%d 8", part)},
	}
	return w.top(both, raid, thin, origin)
}
