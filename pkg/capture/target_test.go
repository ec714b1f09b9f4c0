package capture

import (
	"bytes"
	"context"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/gokexec/gokexec/internal/disktest"
	"github.com/gokexec/gokexec/pkg/blkid"
)

// ext4Disk makes a disk begin with an ext4 superblock.
func ext4Disk(label string) func([]byte) { return disktest.Ext4(disktest.UUID, label) }

func TestRunFilesystem(t *testing.T) {
	vmcore := testVMCore(t)
	tests := []struct {
		name    string
		device  string
		target  Target
		prepare func(*fakeSystem, *testing.T)
		mount   string // the event
		wantErr string
	}{
		{name: "by name", target: Target{Device: "/dev/vda"}, mount: "mount /dev/vda /mnt/0 ext4 "},
		{name: "by UUID", target: Target{Device: "UUID=" + strings.ToUpper(disktest.UUID)}, mount: "mount /dev/vda /mnt/0 ext4 "},
		{name: "by udev's link", target: Target{Device: "/dev/disk/by-uuid/" + disktest.UUID}, mount: "mount /dev/vda /mnt/0 ext4 "},
		{name: "by label", target: Target{Device: "LABEL=crash disk"}, mount: "mount /dev/vda /mnt/0 ext4 "},
		{name: "by udev's label", target: Target{Device: `/dev/disk/by-label/crash\x20disk`}, mount: "mount /dev/vda /mnt/0 ext4 "},
		{name: "type and options", target: Target{Device: "/dev/vda", FSType: "xfs", MountOptions: "nouuid"}, mount: "mount /dev/vda /mnt/0 xfs nouuid"},
		{name: "path made", target: Target{Device: "/dev/vda", Path: "/var/crash"}, mount: "mount /dev/vda /mnt/0 ext4 "},
		{name: "by PARTUUID in uevent", target: Target{Device: "PARTUUID=abcd-01"}, mount: "mount /dev/vda /mnt/0 ext4 ",
			prepare: func(s *fakeSystem, t *testing.T) {
				s.file(t, "/sys/class/block/vda/uevent", "MAJOR=1\nPARTUUID=ABCD-01\n")
			}},
		{name: "by PARTUUID in the GPT", target: Target{Device: "PARTUUID=" + disktest.UUID}, mount: "mount /dev/sda3 /mnt/0 ext4 ",
			prepare: func(s *fakeSystem, t *testing.T) {
				s.device(t, "sda", 4<<20, disktest.GPT(512))
				s.device(t, "sda3", 4<<20, ext4Disk(""))
				s.file(t, "/sys/class/block/sda3/partition", "3\n")
				s.file(t, "/sys/class/block/sda/sda3/partition", "3\n")
			}},
		{name: "a name with a slash", target: Target{Device: "LABEL=raid"}, mount: "mount /dev/cciss/c0d0 /mnt/0 ext4 ",
			prepare: func(s *fakeSystem, t *testing.T) {
				s.device(t, "cciss/c0d0", 4<<20, ext4Disk("raid"))
				s.file(t, "/sys/class/block/cciss!c0d0/size", "8192\n")
			}},
		{name: "wrong UUID", target: Target{Device: "UUID=ffff"}, wantErr: "UUID=ffff: device did not appear within 1s: not among vda"},
		{name: "no filesystem", target: Target{Device: "/dev/sdb"}, wantErr: "/dev/sdb is a part of an encrypted volume (LUKS) (crypto_LUKS)",
			prepare: func(s *fakeSystem, t *testing.T) {
				s.device(t, "sdb", 1<<20, func(b []byte) { copy(b, "LUKS\xba\xbe") })
			}},
		{name: "no driver", target: Target{Device: "/dev/vda"}, wantErr: "no driver for ext4",
			prepare: func(s *fakeSystem, t *testing.T) { s.mountErr["ext4"] = syscall.ENODEV }},
		{name: "a subvolume that is gone", target: Target{Device: "/dev/vda", FSType: "btrfs", MountOptions: "subvol=/root"}, wantErr: "is the subvolume gone? options subvol=/root",
			prepare: func(s *fakeSystem, t *testing.T) { s.mountErr["btrfs"] = syscall.ENOENT }},
		{name: "damaged", target: Target{Device: "/dev/vda"}, wantErr: "the filesystem is damaged",
			prepare: func(s *fakeSystem, t *testing.T) { s.mountErr["ext4"] = syscall.EUCLEAN }},
		{name: "symbolic link", target: Target{Device: "/dev/vda", Path: "/var/crash"}, wantErr: "/var is a symbolic link",
			prepare: func(s *fakeSystem, t *testing.T) {
				s.file(t, "/mnt/0/keep", "")
				if err := os.Symlink("/elsewhere", s.path("/mnt/0/var")); err != nil {
					t.Fatal(err)
				}
			}},
		{name: "a file in the way", target: Target{Device: "/dev/vda", Path: "/var"}, wantErr: "not a directory",
			prepare: func(s *fakeSystem, t *testing.T) { s.file(t, "/mnt/0/var", "") }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newFakeSystem(t)
			s.file(t, VMCorePath, string(vmcore))
			s.device(t, "vda", 4<<20, ext4Disk("crash disk"))
			s.file(t, "/sys/class/block/loop0/size", "0\n")
			if tt.prepare != nil {
				tt.prepare(s, t)
			}
			tt.target.Type = TargetFilesystem
			res, err := Run(context.Background(), Config{Format: FormatELF, DumpLevel: "0", Targets: []Target{tt.target}, DeviceTimeoutSeconds: 1}, Options{System: s, MountPoint: "/mnt"})
			if tt.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tt.wantErr) || ExitCode(res, err) != ExitFailed {
					t.Errorf("Run: %v, exit %d; want %q, exit %d", err, ExitCode(res, err), tt.wantErr, ExitFailed)
				}
				if s.has("mount /dev/vda /mnt/0 ext4 ") != s.has("unmount /mnt/0") {
					t.Errorf("events = %q; want it unmounted", s.events)
				}
				return
			}
			if err != nil || !s.has(tt.mount) || !s.has("unmount /mnt/0") {
				t.Fatalf("Run: %v, events %q; want %q and unmount", err, s.events, tt.mount)
			}
			where := strings.TrimSuffix("/"+strings.Trim(tt.target.Path, "/"), "/") + "/" + testDirName
			if res.Location != where {
				t.Errorf("location = %q; want %q", res.Location, where)
			}
			if !bytes.Equal(mustRead(t, s.path("/mnt/0"+where+"/vmcore")), vmcore) {
				t.Error("vmcore differs")
			}
		})
	}
}

func TestFSTypes(t *testing.T) {
	fs := func(name string) blkid.Signature {
		return blkid.Signature{Kind: blkid.Filesystem, Type: name, Mountable: true}
	}
	tests := []struct {
		configured string
		found      []blkid.Signature
		want       string
		err        string
	}{
		{"", []blkid.Signature{fs("xfs")}, "xfs", ""},
		{"", []blkid.Signature{fs("ext3")}, "ext3 ext4", ""},
		{"", []blkid.Signature{{Kind: blkid.PartitionTable, Type: "gpt"}, fs("vfat")}, "vfat", ""},
		{"f2fs", nil, "f2fs", ""},
		{"xfs", []blkid.Signature{fs("ext4"), fs("xfs")}, "xfs", ""},
		{"", []blkid.Signature{fs("ext4"), fs("xfs")}, "", "which of them"},
		{"", nil, "", "found nothing"},
		{"", []blkid.Signature{{Kind: blkid.Filesystem, Type: "erofs"}}, "", "found erofs"},
		{"", []blkid.Signature{fs("ext4"), {Kind: blkid.Member, Type: "drbd"}}, "", "only the whole"},
		{"ext4", []blkid.Signature{fs("ext4"), {Kind: blkid.Member, Type: "drbd"}}, "", "only the whole"},
	}
	for _, tt := range tests {
		got, err := fsTypes(tt.configured, "/dev/x", &blkid.Contents{Signatures: tt.found, DataAt: -1})
		if strings.Join(got, " ") != tt.want || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("fsTypes(%q, %v) = %q, %v; want %q, %q", tt.configured, tt.found, got, err, tt.want, tt.err)
		}
	}
}
