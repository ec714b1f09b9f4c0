package stack

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"testing/fstest"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/pkg/blkid"
)

// fakeSystem answers as the kernel does: device mapper, md's sysfs, block devices.
type fakeSystem struct {
	mu sync.Mutex

	disks  []*fakeDisk
	maps   []*fakeMap
	arrays []*fakeArray
	params map[string]string // what was written to /proc/sys and module parameters
	minor  uint32            // of the next map

	// sizes and partitions are those of arrays, by UUID; bytes.
	sizes map[string]int64
	parts map[string]map[int]int64
	// status is what a map's targets say of themselves.
	status map[string]string
	// opened are names of maps and arrays that somebody has open, and how many tries to remove them that lasts.
	opened map[string]int

	finds int // Find calls
	calls []string
	// fail makes the call of that number, counted from 0, fail, or none if it is negative.
	fail int
	// hang is a call that hangs until hung is closed.
	hang   string
	hung   chan struct{}
	handed []Number // that were given to the kernel as a part of something
	wrong  []string // what the kernel would have taken, and must not be asked for
}

type fakeDisk struct {
	name     string
	number   Number
	ref, aka blkid.Ref
	size     int64
	contents blkid.Contents
	data     map[int64][]byte // by offset
	after    int              // Find calls before it is there
	altered  bool             // it must not be used
}

type fakeMap struct {
	name, uuid    string
	number        Number
	loaded, table []Row
}

type fakeArray struct {
	name, state, metadata string
	number                Number
	members               []Number
	uuid                  string
	frozen, scanned       bool
}

func newFake() *fakeSystem {
	return &fakeSystem{fail: -1, minor: 7, params: map[string]string{}, sizes: map[string]int64{}, parts: map[string]map[int]int64{}, status: map[string]string{}, opened: map[string]int{}}
}

var errInjected = fmt.Errorf("injected: %w", unix.EIO)

func (k *fakeSystem) call(format string, args ...any) error {
	// Two goroutines take turns: one sees what the other has done before its last call.
	k.mu.Lock()
	name, number := fmt.Sprintf(format, args...), len(k.calls)
	k.calls = append(k.calls, name)
	k.mu.Unlock()
	if k.hang == name {
		<-k.hung
	}
	if k.fail == number {
		return errInjected
	}
	return nil
}

func (k *fakeSystem) disk(n Number) *fakeDisk {
	for _, d := range k.disks {
		if d.number == n && d.after <= k.finds {
			return d
		}
	}
	return nil
}

func (k *fakeSystem) mapNamed(name string) *fakeMap {
	for _, m := range k.maps {
		if m.name == name {
			return m
		}
	}
	return nil
}

// size is that of a device in bytes; negative if there is none.
func (k *fakeSystem) size(n Number) int64 {
	if d := k.disk(n); d != nil {
		return d.size
	}
	for _, m := range k.maps {
		if m.number == n {
			size := int64(0)
			for _, row := range m.table {
				size += int64(row.Length) * 512
			}
			return size
		}
	}
	for _, a := range k.arrays {
		switch {
		case a.number == n && a.uuid != "":
			return k.sizes[a.uuid]
		case a.number == n:
			return 0
		case n.Major == 259 && n.Minor/100 == a.number.Minor && a.scanned:
			if size, ok := k.parts[a.uuid][int(n.Minor%100)]; ok {
				return size
			}
		}
	}
	return -1
}

func (k *fakeSystem) give(n Number) error {
	if k.size(n) < 0 {
		return unix.ENODEV
	}
	k.handed = append(k.handed, n)
	if d := k.disk(n); d != nil && d.altered {
		k.wrong = append(k.wrong, "the disk "+d.name+" was used")
	}
	return nil
}

// held reports whether something is made of a device.
func (k *fakeSystem) held(n Number) bool {
	uses := func(table []Row) bool {
		return slices.ContainsFunc(table, func(row Row) bool { return slices.Contains(strings.Fields(row.Args), n.String()) })
	}
	return slices.ContainsFunc(k.maps, func(m *fakeMap) bool { return uses(m.table) || uses(m.loaded) }) ||
		slices.ContainsFunc(k.arrays, func(a *fakeArray) bool { return slices.Contains(a.members, n) })
}

func (k *fakeSystem) Create(name, uuid string) (Number, error) {
	if err := k.call("create %s", name); err != nil {
		return Number{}, err
	}
	if slices.ContainsFunc(k.maps, func(m *fakeMap) bool { return m.name == name || uuid != "" && m.uuid == uuid }) {
		return Number{}, unix.EBUSY
	}
	m := &fakeMap{name: name, uuid: uuid, number: Number{254, k.minor}}
	k.minor++
	k.maps = append(k.maps, m)
	return m.number, nil
}

func (k *fakeSystem) Load(name string, _ bool, table []Row) error {
	if err := k.call("load %s", name); err != nil {
		return err
	}
	m := k.mapNamed(name)
	if m == nil {
		return unix.ENXIO
	}
	for _, row := range table {
		for _, word := range strings.Fields(row.Args) {
			if strings.HasPrefix(word, "@") {
				return unix.EINVAL
			}
			if n, err := parseNumber(word); err == nil {
				if err := k.give(n); err != nil {
					return err
				}
			}
		}
		if row.Type == "raid" && k.params["/proc/sys/dev/raid/speed_limit_max"] != "1" {
			k.wrong = append(k.wrong, "a dm-raid may rebuild")
		}
	}
	m.loaded = slices.Clone(table)
	return nil
}

func (k *fakeSystem) Resume(name string, _ bool) error {
	if err := k.call("resume %s", name); err != nil {
		return err
	}
	m := k.mapNamed(name)
	if m == nil || m.loaded == nil {
		return unix.EINVAL
	}
	m.table, m.loaded = m.loaded, nil
	return nil
}

// busy reports whether something is open still.
func (k *fakeSystem) busy(name string, n Number) bool {
	if k.opened[name] > 0 {
		k.opened[name]--
		return true
	}
	return k.held(n)
}

func (k *fakeSystem) Remove(name string) error {
	if err := k.call("remove %s", name); err != nil {
		return err
	}
	m := k.mapNamed(name)
	switch {
	case m == nil:
		return unix.ENXIO
	case k.busy(name, m.number):
		return unix.EBUSY
	}
	k.maps = slices.DeleteFunc(k.maps, func(o *fakeMap) bool { return o == m })
	return nil
}

func (k *fakeSystem) Table(name string) ([]Row, error) {
	if m := k.mapNamed(name); m != nil {
		return m.table, nil
	}
	return nil, unix.ENXIO
}

func (k *fakeSystem) Status(name string) ([]Row, error) {
	if err := k.call("status %s", name); err != nil {
		return nil, err
	}
	m := k.mapNamed(name)
	if m == nil {
		return nil, unix.ENXIO
	}
	rows := slices.Clone(m.table)
	for i := range rows {
		rows[i].Args = k.status[name]
	}
	return rows, nil
}

func (k *fakeSystem) FS() fs.FS {
	root := fstest.MapFS{}
	file := func(name, text string) { root[name] = &fstest.MapFile{Data: []byte(text + "\n")} }
	device := func(dir string, n Number) {
		file(dir+"/dev", n.String())
		file("sys/dev/block/"+n.String()+"/size", strconv.FormatInt(max(k.size(n), 0)/512, 10))
	}
	for _, d := range k.disks {
		if d.after <= k.finds {
			device("sys/class/block/"+d.name, d.number)
		}
	}
	for _, m := range k.maps {
		device("sys/class/block/dm-"+strconv.Itoa(int(m.number.Minor)), m.number)
	}
	for _, a := range k.arrays {
		device("sys/class/block/"+a.name, a.number)
		device("sys/block/"+a.name, a.number)
		if a.scanned {
			for n := range k.parts[a.uuid] {
				dir := fmt.Sprintf("sys/class/block/%s/%sp%d", a.name, a.name, n)
				device(dir, partition(a, n))
				file(dir+"/partition", strconv.Itoa(n))
			}
		}
	}
	return root
}

func (k *fakeSystem) Open(name string) (Device, error) {
	if err := k.call("open %s", name); err != nil {
		return nil, err
	}
	n, ok := k.numbers()[name]
	if !ok {
		return nil, fs.ErrNotExist
	}
	for _, a := range k.arrays {
		if a.number == n {
			a.scanned = true
		}
	}
	return &fakeDevice{k, n}, nil
}

// numbers are those of the nodes.
func (k *fakeSystem) numbers() map[string]Number {
	all := map[string]Number{}
	for _, d := range k.disks {
		all["/dev/"+d.name] = d.number
	}
	for _, m := range k.maps {
		all["/dev/dm-"+strconv.Itoa(int(m.number.Minor))] = m.number
	}
	for _, a := range k.arrays {
		all["/dev/"+a.name] = a.number
		for n := range k.parts[a.uuid] {
			all[fmt.Sprintf("/dev/%sp%d", a.name, n)] = partition(a, n)
		}
	}
	return all
}

func (k *fakeSystem) Key(name string) ([]byte, error) {
	if err := k.call("key %s", name); err != nil {
		return nil, err
	}
	return []byte("0123456789abcdef0123456789abcdef"), nil
}

func (k *fakeSystem) RestoreKey(description string, size int) error {
	return k.call("restore key %s of %d bytes", description, size)
}

func (k *fakeSystem) Node(n Number) (string, error) {
	if err := k.call("node %v", n); err != nil {
		return "", err
	}
	for name, number := range k.numbers() {
		if number == n {
			return name, nil
		}
	}
	return "", unix.ENXIO
}

func (k *fakeSystem) Find(ctx context.Context, ref blkid.Ref) ([]*blkid.Device, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := k.call("find %s", ref); err != nil {
		return nil, err
	}
	k.finds++
	var found []*blkid.Device
	for _, d := range k.disks {
		if (d.ref == ref || d.aka == ref) && d.after <= k.finds {
			b := &blkid.Device{Node: "/dev/" + d.name, Contents: d.contents}
			b.Size = d.size
			if ref.Key == "WWID" {
				b.WWID = ref.Value
			}
			found = append(found, b)
		}
	}
	return found, nil
}

// remains lists what was made and is there still.
func (k *fakeSystem) remains() []string {
	var all []string
	for _, m := range k.maps {
		all = append(all, "map "+m.name)
	}
	for _, a := range k.arrays {
		all = append(all, "array "+a.name)
	}
	sort.Strings(all)
	return all
}

// fakeDevice is an open device. Of maps it reads linear ones.
type fakeDevice struct {
	k      *fakeSystem
	number Number
}

func (d *fakeDevice) Close() error         { return nil }
func (d *fakeDevice) Size() (int64, error) { return d.k.size(d.number), nil }

func (d *fakeDevice) ReadAt(b []byte, offset int64) (int, error) {
	for _, m := range d.k.maps {
		if m.number != d.number || len(m.table) == 0 {
			continue
		}
		f := strings.Fields(m.table[0].Args)
		for i, word := range f {
			if below, err := parseNumber(word); err == nil {
				start := uint64(0)
				if m.table[0].Type == "linear" {
					start, _ = strconv.ParseUint(f[i+1], 10, 64)
				}
				return (&fakeDevice{d.k, below}).ReadAt(b, offset+int64(start)*512)
			}
		}
		return 0, unix.EIO
	}
	disk := d.k.disk(d.number)
	if disk == nil {
		return 0, unix.EIO
	}
	if offset+int64(len(b)) > disk.size {
		return 0, errors.New("beyond the end")
	}
	clear(b)
	for at, data := range disk.data {
		if lo, hi := max(at, offset), min(at+int64(len(data)), offset+int64(len(b))); lo < hi {
			copy(b[lo-offset:hi-offset], data[lo-at:])
		}
	}
	return len(b), nil
}

func dashedUUID(b []byte) string {
	h := fmt.Sprintf("%x", b)
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}
