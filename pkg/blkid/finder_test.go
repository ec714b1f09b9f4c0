package blkid

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/gokexec/gokexec/internal/disktest"
)

// machine is a sysfs with disks.
type machine struct {
	sysfs fstest.MapFS
	disks map[string][]byte
	dead  map[string]bool // doesn't answer
}

func newMachine() *machine {
	return &machine{sysfs: fstest.MapFS{}, disks: map[string][]byte{}, dead: map[string]bool{}}
}

func (m *machine) attribute(name, value string) {
	m.sysfs["sys/class/block/"+name] = &fstest.MapFile{Data: []byte(value + "\n")}
}

func (m *machine) disk(name string, content ...func([]byte)) {
	b := make([]byte, 1<<20)
	for _, c := range content {
		c(b)
	}
	m.disks["/dev/"+name] = b
	m.attribute(name+"/size", fmt.Sprint(len(b)/512))
}

func (m *machine) partition(disk, name string, number int, content ...func([]byte)) {
	m.disk(name, content...)
	m.attribute(name+"/partition", fmt.Sprint(number))
	m.attribute(disk+"/"+name+"/partition", fmt.Sprint(number))
}

func (m *machine) finder() *Finder {
	return &Finder{Root: m.sysfs, Probe: func(ctx context.Context, node string) (Contents, error) {
		if m.dead[node] {
			select {
			case <-ctx.Done():
				return Contents{}, ctx.Err()
			case <-time.After(10 * time.Second):
				return Contents{}, errors.New("no answer")
			}
		}
		b, ok := m.disks[node]
		if !ok {
			return Contents{}, &fs.PathError{Op: "open", Path: node, Err: os.ErrNotExist}
		}
		return Probe(bytes.NewReader(b), int64(len(b)))
	}}
}

func ext4(b []byte) { plantExt(4, 0x42, 1)(b, testUUID, "crash") }

func btrfs(id, devices int) func([]byte) {
	return func(b []byte) {
		plants[5].plant(b, testUUID, "crash")
		b[0x10088], b[0x100c9] = byte(devices), byte(id)
	}
}

func TestFind(t *testing.T) {
	tests := []struct {
		name string
		make func(m *machine)
		ref  string
		want string // node, or what the error says
		err  error
	}{
		{"one", func(m *machine) { m.disk("sda"); m.disk("sdb", ext4) }, "UUID=" + disktest.UUID, "/dev/sdb", nil},
		{"none", func(m *machine) { m.disk("sda") }, "LABEL=crash", "not among sda", nil},
		{"no disks", func(m *machine) { m.attribute("loop0/size", "0") }, "LABEL=crash", "there are no block devices", nil},
		{"two copies", func(m *machine) { m.disk("sda", ext4); m.disk("sdb", ext4) }, "LABEL=crash", "/dev/sda and /dev/sdb", ErrAmbiguous},
		{"two copies, equal serials", func(m *machine) {
			m.disk("vda", ext4)
			m.disk("vdb", ext4)
			m.attribute("vda/serial", "x")
			m.attribute("vdb/serial", "x")
		}, "LABEL=crash", "/dev/vda and /dev/vdb", ErrAmbiguous},
		{"serial number of an NVMe disk", func(m *machine) {
			m.disk("nvme0n1")
			m.disk("nvme1n1")
			m.attribute("nvme0n1/device/serial", "disk0               ")
			m.attribute("nvme1n1/device/serial", "disk1               ")
		}, "SERIAL=disk1", "/dev/nvme1n1", nil},
		{"two namespaces with one serial number", func(m *machine) {
			m.disk("nvme0n1")
			m.disk("nvme0n2")
			m.attribute("nvme0n1/device/serial", "disk0")
			m.attribute("nvme0n2/device/serial", "disk0")
		}, "SERIAL=disk0", "/dev/nvme0n1 and /dev/nvme0n2", ErrAmbiguous},
		{"two paths to one disk", func(m *machine) {
			m.disk("sda", ext4)
			m.disk("sdb", ext4)
			m.attribute("sda/device/wwid", "naa.5000")
			m.attribute("sdb/device/wwid", "naa.5000")
		}, "LABEL=crash", "/dev/sda", nil},
		{"two disks, each with a worldwide name", func(m *machine) {
			m.disk("sda", ext4)
			m.disk("sdb", ext4)
			m.attribute("sda/device/wwid", "naa.5000")
			m.attribute("sdb/device/wwid", "naa.5001")
		}, "LABEL=crash", "/dev/sda and /dev/sdb", ErrAmbiguous},
		{"two partitions of one disk", func(m *machine) {
			m.disk("sda", dosDisk)
			m.attribute("sda/device/wwid", "naa.5000")
			m.partition("sda", "sda1", 1, ext4)
			m.partition("sda", "sda2", 2, ext4)
		}, "LABEL=crash", "/dev/sda1 and /dev/sda2", ErrAmbiguous},
		{"the map over two paths", func(m *machine) {
			m.disk("sda", ext4)
			m.disk("sdb", ext4)
			m.disk("dm-0", ext4)
			m.attribute("dm-0/dm/uuid", "mpath-3600")
			m.attribute("sda/holders/dm-0/x", "")
			m.attribute("sdb/holders/dm-0/x", "")
		}, "LABEL=crash", "/dev/dm-0", nil},
		{"a path by its name", func(m *machine) {
			m.disk("sda", ext4)
			m.attribute("dm-0/dm/uuid", "mpath-3600")
			m.attribute("dm-0/dm/name", "mpatha")
			m.attribute("sda/holders/dm-0/x", "")
		}, "/dev/sda", "the multipath map /dev/mapper/mpatha", ErrMember},
		{"a path by udev's link", func(m *machine) {
			m.disk("sda", ext4)
			m.disks["/dev/disk/by-path/pci-1"] = m.disks["/dev/sda"]
			m.sysfs["dev/disk/by-path/pci-1"] = &fstest.MapFile{Data: []byte("../../sda"), Mode: fs.ModeSymlink}
			m.attribute("sda/holders/md127/x", "")
		}, "/dev/disk/by-path/pci-1", "a part of the array /dev/md127", ErrMember},
		{"a partition of a path", func(m *machine) {
			m.disk("sda")
			m.partition("sda", "sda1", 1, ext4)
			m.attribute("dm-0/dm/uuid", "mpath-3600")
			m.attribute("sda/holders/dm-0/x", "")
		}, "UUID=" + disktest.UUID, "/dev/sda1 lies on /dev/sda, which is a part of the multipath map /dev/dm-0", ErrMember},
		{"a map of one partition says nothing of another", func(m *machine) {
			m.disk("sda")
			m.partition("sda", "sda1", 1, ext4)
			m.attribute("dm-0/dm/uuid", "part2-x")
			m.attribute("sda/holders/dm-0/x", "")
		}, "/dev/sda1", "/dev/sda1", nil},
		{"a member without a signature, in use", func(m *machine) {
			m.disk("sda", ext4)
			m.attribute("sda/holders/md127/x", "")
		}, "/dev/sda", "the array /dev/md127", ErrMember},
		{"a partition of an array's disk", func(m *machine) {
			m.disk("sda", dosDisk, func(b []byte) { plantMD1(b, (len(b)/512-16)&^7) })
			m.partition("sda", "sda1", 1, ext4)
		}, "UUID=" + disktest.UUID, "/dev/sda1 lies on /dev/sda, which is a part of an md RAID array (linux_raid_member)", ErrMember},
		{"a disk with a partition in a volume group", func(m *machine) {
			m.disk("sda", dosDisk)
			m.partition("sda", "sda1", 1)
			m.partition("sda", "sda2", 2, func(b []byte) { plantLVM(b, 1) })
		}, "/dev/sda", "/dev/sda has the partition /dev/sda2, which is a part of an LVM volume group", ErrMember},
		{"a disk with a partition in use", func(m *machine) {
			m.disk("sda", dosDisk)
			m.partition("sda", "sda1", 1)
			m.attribute("sda1/holders/dm-0/x", "")
			m.attribute("dm-0/dm/name", "vg-root")
		}, "/dev/sda", "which is a part of /dev/mapper/vg-root", ErrMember},
		{"the other partition of that disk", func(m *machine) {
			m.disk("sda", dosDisk)
			m.partition("sda", "sda1", 1, ext4)
			m.partition("sda", "sda2", 2, func(b []byte) { plantLVM(b, 1) })
		}, "/dev/sda1", "/dev/sda1", nil},
		{"a path of an NVMe disk", func(m *machine) {
			m.attribute("nvme0c0n1/size", "99")
			m.attribute("nvme0c0n1/hidden", "1")
			m.disk("nvme0n1", ext4)
		}, "UUID=" + disktest.UUID, "/dev/nvme0n1", nil},
		{"a btrfs of two devices", func(m *machine) { m.disk("sda", btrfs(1, 2)); m.disk("sdb", btrfs(2, 2)) }, "UUID=" + disktest.UUID, "/dev/sda", nil},
		{"a btrfs and its copy", func(m *machine) { m.disk("sda", btrfs(1, 1)); m.disk("sdb", btrfs(1, 1)) }, "UUID=" + disktest.UUID, "/dev/sda and /dev/sdb", ErrAmbiguous},
		{"a btrfs of two devices and a copy of one", func(m *machine) {
			m.disk("sda", btrfs(1, 2))
			m.disk("sdb", btrfs(2, 2))
			m.disk("sdc", btrfs(2, 2))
		}, "UUID=" + disktest.UUID, "/dev/sda and /dev/sdb and /dev/sdc", ErrAmbiguous},
		{"two disks with one partition table", func(m *machine) {
			for _, disk := range []string{"sda", "sdb"} {
				m.disk(disk, dosDisk)
				m.partition(disk, disk+"1", 1)
			}
		}, "PARTUUID=deadbeef-01", "/dev/sda1 and /dev/sdb1", ErrAmbiguous},
		{"by the name of a partition", func(m *machine) {
			m.disk("sda", disktest.GPT(512))
			m.partition("sda", "sda3", 3, ext4)
		}, "PARTLABEL=c\u00e9", "/dev/sda3", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := newMachine()
			tt.make(m)
			ref, err := ParseRef(tt.ref)
			if err != nil {
				t.Fatal(err)
			}
			d, err := m.finder().Find(context.Background(), ref)
			if strings.HasPrefix(tt.want, "/dev/") && tt.err == nil {
				if err != nil || d.Node != tt.want {
					t.Errorf("Find(%s) = %+v, %v; want %s", ref, d, err, tt.want)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) || tt.err != nil && !errors.Is(err, tt.err) {
				t.Errorf("Find(%s) = %+v, %v; want %q", ref, d, err, tt.want)
			}
		})
	}
}

// Disks that don't answer cost little when the one that is looked for is found
// before them, however many they are.
func TestFindWithDeadDisks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine()
		m.disk("sda", ext4)
		for _, name := range []string{"sdb", "sdc", "sdd"} {
			m.disk(name)
			m.dead["/dev/"+name] = true
		}
		begin := time.Now()
		d, err := m.finder().Find(context.Background(), Ref{"LABEL", "crash"})
		if took := time.Since(begin); err != nil || d.Node != "/dev/sda" || took > restTimeout {
			t.Errorf("Find = %+v, %v after %v; want /dev/sda within %v", d, err, took, restTimeout)
		}
	})
}
