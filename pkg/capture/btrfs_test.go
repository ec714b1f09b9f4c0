package capture

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gokexec/gokexec/internal/disktest"
	"github.com/gokexec/gokexec/pkg/blkid"
)

// btrfsDisk makes a disk a member of a btrfs of so many devices.
func btrfsDisk(number, devices uint64) func([]byte) {
	return disktest.Btrfs(disktest.UUID, number, devices)
}

// A btrfs of several devices is mounted when all of them are there, and the
// kernel is told of each.
func TestRunBtrfs(t *testing.T) {
	for _, tt := range []struct {
		name    string
		disks   map[string]func([]byte)
		options string
		mount   string // the event
		wantErr string
	}{
		{"of one", map[string]func([]byte){"sda": btrfsDisk(1, 1)}, "subvol=/root", "mount /dev/sda /mnt/0 btrfs subvol=/root", ""},
		{"of two", map[string]func([]byte){"sda": btrfsDisk(2, 2), "sdb": ext4Disk(""), "sdc": btrfsDisk(1, 2)}, "subvol=/root",
			"mount /dev/sda /mnt/0 btrfs device=/dev/sda,device=/dev/sdc,subvol=/root", ""},
		{"one is missing", map[string]func([]byte){"sda": btrfsDisk(2, 2)}, "", "", "1 of its 2 devices are there"},
		{"one is there twice", map[string]func([]byte){"sda": btrfsDisk(2, 2), "sdb": btrfsDisk(2, 2)}, "", "", "1 of its 2 devices are there"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newFakeSystem(t)
			s.file(t, VMCorePath, string(testVMCore(t)))
			for name, content := range tt.disks {
				s.device(t, name, 1<<20, content)
			}
			synctest.Test(t, func(t *testing.T) {
				target := Target{Type: TargetFilesystem, Device: "/dev/sda", MountOptions: tt.options}
				_, err := Run(context.Background(), Config{Targets: []Target{target}, DeviceTimeoutSeconds: 30}, Options{System: s, MountPoint: "/mnt"})
				if tt.wantErr != "" {
					if !errors.Is(err, ErrNoDevice) || !strings.Contains(err.Error(), tt.wantErr) {
						t.Errorf("Run: %v; want %q", err, tt.wantErr)
					}
				} else if err != nil || !s.has(tt.mount) {
					t.Errorf("Run: %v, events %q; want %q", err, s.events, tt.mount)
				}
			})
		})
	}
}

// The second disk comes late.
func TestRunBtrfsWaits(t *testing.T) {
	s := newFakeSystem(t)
	s.device(t, "sda", 1<<20, btrfsDisk(1, 2))
	synctest.Test(t, func(t *testing.T) {
		go func() {
			time.Sleep(5 * time.Second)
			s.device(t, "sdb", 1<<20, btrfsDisk(2, 2))
		}()
		touched := 0
		f := &deviceFinder{sys: s, touch: func() { touched++ }}
		d, err := f.find(t.Context(), refOf(t, "/dev/sda"))
		if err != nil {
			t.Fatal(err)
		}
		options, err := f.btrfsOptions(t.Context(), d.Btrfs, 30*time.Second)
		if err != nil || options != "device=/dev/sda,device=/dev/sdb" || touched < 5 {
			t.Errorf("btrfsOptions = %q, %v, touched %d times; want both devices", options, err, touched)
		}
	})
}

func refOf(t *testing.T, name string) blkid.Ref {
	t.Helper()
	ref, err := blkid.ParseRef(name)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}
