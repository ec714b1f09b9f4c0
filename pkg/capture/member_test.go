package capture

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gokexec/gokexec/internal/disktest"
	"github.com/gokexec/gokexec/pkg/blkid"
)

// at puts a magic at an offset, which counts from the end if it is negative.
func at(offset int, magic string) func([]byte) {
	return func(b []byte) {
		if offset < 0 {
			offset += len(b)
		}
		copy(b[offset:], magic)
	}
}

// members are parts of something with a filesystem that shows inside.
var members = []struct {
	name, typ string
	content   func([]byte)
}{
	{"md 0.90", "linux_raid_member", at(-65536, "\xfc\x4e\x2b\xa9")},
	{"md 1.0", "linux_raid_member", at(-8192, "\xfc\x4e\x2b\xa9")},
	{"md 1.2", "linux_raid_member", at(4096, "\xfc\x4e\x2b\xa9")},
	{"IMSM", "isw_raid_member", at(-1024, "Intel Raid ISM Cfg Sig. 1.3.00")},
	{"DDF", "ddf_raid_member", at(-512, "\xde\x11\xde\x11")},
	{"DRBD", "drbd", at(-4096+60, "\x83\x74\x02\x6d")},
	{"LVM", "LVM2_member", at(0x218, "LVM2 001")},
	{"LUKS", "crypto_LUKS", at(0, "LUKS\xba\xbe\x00\x02")},
	{"bcache", "bcache", at(0x1018, "\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81")},
}

// A member of something is neither mounted nor written to, however it is
// named, by its own signature or its disk's, overwrite or not.
func TestMembersAreLeftAlone(t *testing.T) { synctest.Test(t, testMembersAreLeftAlone) }

func testMembersAreLeftAlone(t *testing.T) {
	vmcore := string(testVMCore(t))
	targets := []Target{
		{Type: TargetFilesystem, Device: "/dev/sda1"}, {Type: TargetFilesystem, Device: "/dev/sda1", FSType: "ext4"},
		{Type: TargetFilesystem, Device: "UUID=" + disktest.UUID}, {Type: TargetFilesystem, Device: "LABEL=crash"},
		{Type: TargetFilesystem, Device: "PARTUUID=abcd-01"},
		{Type: TargetRaw, Device: "/dev/sda1"}, {Type: TargetRaw, Device: "/dev/sda1", Overwrite: true},
		{Type: TargetRaw, Device: "UUID=" + disktest.UUID, Overwrite: true}, {Type: TargetRaw, Device: "PARTUUID=abcd-01", Overwrite: true},
	}
	for _, m := range members {
		for _, own := range []bool{true, false} {
			s := newFakeSystem(t)
			s.file(t, VMCorePath, vmcore)
			disk, part := []func([]byte){m.content}, []func([]byte){ext4Disk("crash")}
			if own {
				disk, part = nil, append(part, m.content)
			}
			s.device(t, "sda", 4<<20, disk...)
			s.device(t, "sda1", 4<<20, part...)
			s.file(t, "/sys/class/block/sda1/partition", "1\n")
			s.file(t, "/sys/class/block/sda/sda1/partition", "1\n")
			s.file(t, "/sys/class/block/sda1/uevent", "PARTUUID=abcd-01\n")
			before := mustRead(t, s.path("/dev/sda1"))
			for _, target := range targets {
				res, err := Run(context.Background(), Config{Targets: []Target{target}, DeviceTimeoutSeconds: 1}, Options{System: s, MountPoint: "/mnt"})
				if !errors.Is(err, blkid.ErrMember) || !strings.Contains(err.Error(), m.typ) || ExitCode(res, err) != ExitFailed {
					t.Errorf("%s, own %v: %s: %v, exit %d; want ErrMember, %s", m.name, own, target, err, ExitCode(res, err), m.typ)
				}
			}
			for _, e := range s.events {
				if strings.HasPrefix(e, "mount") {
					t.Errorf("%s, own %v: %s", m.name, own, e)
				}
			}
			if !bytes.Equal(mustRead(t, s.path("/dev/sda1")), before) {
				t.Errorf("%s, own %v: the device was written to", m.name, own)
			}
			if err := CheckRaw(context.Background(), s, "/dev/sda1", true); own && !errors.Is(err, blkid.ErrMember) {
				t.Errorf("%s: CheckRaw: %v", m.name, err)
			}
		}
	}
}

// The array is taken where its members bear the same name.
func TestArrayBesideItsMembers(t *testing.T) {
	s := newFakeSystem(t)
	s.file(t, VMCorePath, string(testVMCore(t)))
	s.device(t, "sda1", 4<<20, ext4Disk("crash"), members[1].content)
	s.device(t, "sdb1", 4<<20, ext4Disk("crash"), members[1].content)
	s.device(t, "zmd127", 4<<20, ext4Disk("crash"))
	_, err := Run(context.Background(), Config{Targets: []Target{{Type: TargetFilesystem, Device: "LABEL=crash"}}, DeviceTimeoutSeconds: 1}, Options{System: s, MountPoint: "/mnt"})
	if err != nil || !s.has("mount /dev/zmd127 /mnt/0 ext4 ") {
		t.Errorf("Run: %v, %q; want the array mounted", err, s.events)
	}
}

// Of two copies none is taken, also when the second comes a moment later.
func TestAmbiguous(t *testing.T) { synctest.Test(t, testAmbiguous) }

func testAmbiguous(t *testing.T) {
	for _, late := range []time.Duration{0, 100 * time.Millisecond} {
		s := newFakeSystem(t)
		s.file(t, VMCorePath, string(testVMCore(t)))
		s.device(t, "vda", 4<<20, ext4Disk("crash"))
		second := func() { s.device(t, "vdb", 4<<20, ext4Disk("crash")) }
		done := make(chan struct{})
		go func() {
			defer close(done)
			time.Sleep(late)
			second()
		}()
		if late == 0 {
			<-done
		}
		res, err := Run(context.Background(), Config{Targets: []Target{{Type: TargetFilesystem, Device: "UUID=" + disktest.UUID}}, DeviceTimeoutSeconds: 1}, Options{System: s, MountPoint: "/mnt"})
		<-done
		if !errors.Is(err, blkid.ErrAmbiguous) || !strings.Contains(err.Error(), "/dev/vda and /dev/vdb") || len(s.events) > 0 {
			t.Errorf("after %v: Run = %+v, %v, %q; want ErrAmbiguous, nothing mounted", late, res, err, s.events)
		}
	}
}

// A complete dump stays for as long as the configuration says; what is not
// known to be old is young.
func TestKeptDump(t *testing.T) {
	const day = 24 * time.Hour
	now := testCrashTime
	tests := []struct {
		name  string
		first time.Time // crash of the dump that is there
		days  *int
		over  bool
		name2 string // of its entry
		kept  bool
	}{
		{"a minute ago", now.Add(-time.Minute), nil, false, VMCoreName, true},
		{"six days ago", now.Add(-6 * day), nil, false, VMCoreName, true},
		{"eight days ago", now.Add(-8 * day), nil, false, VMCoreName, false},
		{"eight days ago, kept longer", now.Add(-8 * day), new(30), false, VMCoreName, true},
		{"a minute ago, not kept", now.Add(-time.Minute), new(0), false, VMCoreName, false},
		{"a minute ago, overwrite", now.Add(-time.Minute), nil, true, VMCoreName, false},
		{"incomplete", now.Add(-time.Minute), nil, false, IncompleteName, false},
		{"from the future", now.Add(400 * day), nil, false, VMCoreName, true},
		{"a clock without battery", time.Unix(3600, 0), nil, false, VMCoreName, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newFakeSystem(t)
			s.file(t, VMCorePath, string(testVMCore(t)))
			s.device(t, "disk", 8<<20, func(b []byte) {
				h, err := tarHeader(tt.name2, 1<<20, tt.first)
				if err != nil {
					t.Fatal(err)
				}
				copy(b, h)
				copy(b[tarBlock:], "old dump")
			})
			if err := os.Mkdir(s.path("/crash"), 0o755); err != nil {
				t.Fatal(err)
			}
			before := mustRead(t, s.path("/dev/disk"))
			cfg := Config{KeepDumpDays: tt.days, DeviceTimeoutSeconds: 1,
				Targets: []Target{{Type: TargetRaw, Device: "/dev/disk", Overwrite: tt.over}, {Type: TargetDirectory, Path: "/crash"}}}
			res, err := Run(context.Background(), cfg, Options{System: s})
			want := "raw:/dev/disk"
			if tt.kept {
				want = "dir:/crash"
			}
			if err != nil || res.Outcome != Complete || res.Target != want {
				t.Fatalf("Run = %+v, %v; want it complete on %s", res, err, want)
			}
			if said := strings.Contains(strings.Join(res.Errors, " "), ErrKept.Error()); said != tt.kept {
				t.Errorf("errors %q; want the reason: %v", res.Errors, tt.kept)
			}
			if same := bytes.Equal(mustRead(t, s.path("/dev/disk")), before); same != tt.kept {
				t.Errorf("the first dump is untouched: %v; want %v", same, tt.kept)
			}
		})
	}
	// This machine's clock is at its beginning: nothing is known of the age.
	var h [tarBlock]byte
	b, err := tarHeader(VMCoreName, 0, now)
	if err != nil {
		t.Fatal(err)
	}
	copy(h[:], b)
	if err := keptDump(bytes.NewReader(h[:]), tarBlock, time.Unix(5, 0), day); !errors.Is(err, ErrKept) {
		t.Errorf("with a clock at 1970: %v; want ErrKept", err)
	}
}

// A device that is found just before the time is over is taken.
func TestFoundAtTheLastMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeSystem(t)
		s.file(t, "/sys/class/block/loop0/size", "0\n")
		go func() {
			time.Sleep(400 * time.Millisecond)
			s.device(t, "vda", 1<<20, ext4Disk("crash"))
		}()
		f := &deviceFinder{sys: s, touch: func() {}}
		begin := time.Now()
		d, err := f.wait(t.Context(), blkid.Ref{Key: "LABEL", Value: "crash"}, 700*time.Millisecond)
		if took := time.Since(begin); err != nil || d.Node != "/dev/vda" || took > 700*time.Millisecond {
			t.Errorf("wait = %+v, %v after %v; want /dev/vda", d, err, took)
		}
	})
}

// What the capture will say of a raw target is known before.
func TestCheckRaw(t *testing.T) {
	s := newFakeSystem(t)
	s.device(t, "blank", 8<<20)
	s.device(t, "ext4", 8<<20, ext4Disk(""))
	s.device(t, "data", 8<<20, at(5<<20, "x"))
	dump := func(b []byte) {
		h, err := tarHeader(VMCoreName, 1<<20, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		copy(b, h)
	}
	s.device(t, "dump", 8<<20, dump)
	s.device(t, "mirror", 8<<20, dump, at(4096, "\xfc\x4e\x2b\xa9"))
	for _, tt := range []struct {
		name        string
		plain, over error
	}{
		{"blank", nil, nil}, {"dump", nil, nil}, {"ext4", ErrInUse, nil}, {"data", ErrInUse, nil}, {"mirror", blkid.ErrMember, blkid.ErrMember}, {"none", os.ErrNotExist, os.ErrNotExist},
	} {
		for _, over := range []bool{false, true} {
			want := tt.plain
			if over {
				want = tt.over
			}
			if err := CheckRaw(t.Context(), s, "/dev/"+tt.name, over); !errors.Is(err, want) || want == nil && err != nil {
				t.Errorf("CheckRaw(%s, overwrite %v) = %v; want %v", tt.name, over, err, want)
			}
		}
	}
}
