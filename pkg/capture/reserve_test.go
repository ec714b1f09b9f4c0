package capture

import (
	"context"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestParseReserve(t *testing.T) {
	const gib = 1 << 30
	tests := []struct {
		in   string
		size int64
		want int64 // -1: an error
	}{
		{"", 10 * gib, 10 * gib / 100 * 5}, {"", 100 * gib, gib}, {"", 0, 0},
		{"0", 10 * gib, 0}, {"0%", 10 * gib, 0}, {"10%", 100 * gib, 100 * gib / 100 * 10}, {"99%", 100, 99},
		{"1000", gib, 1000}, {"512M", gib, 512 << 20}, {"2G", gib, 2 * gib}, {"1T", gib, 1 << 40}, {"3K", gib, 3072},
		{"100%", gib, -1}, {"-1", gib, -1}, {"1.5G", gib, -1}, {"5 %", gib, -1}, {"G", gib, -1}, {"%", gib, -1}, {"1GB", gib, -1},
		{"1KK", gib, -1}, {"99999999T", gib, -1}, {"+5%", gib, -1},
	}
	for _, tt := range tests {
		r, err := parseReserve(tt.in)
		if (err != nil) != (tt.want < 0) || err == nil && r.of(Space{Total: tt.size}) != tt.want {
			t.Errorf("parseReserve(%q) of %d = %d, %v; want %d", tt.in, tt.size, r.of(Space{Total: tt.size}), err, tt.want)
		}
	}
}

// FuzzParseReserve: what is taken is neither negative nor more than the
// filesystem for a part of it.
func FuzzParseReserve(f *testing.F) {
	f.Add("5%", int64(1<<40))
	f.Add("2G", int64(1))
	f.Fuzz(func(t *testing.T, s string, size int64) {
		r, err := parseReserve(s)
		if err != nil {
			return
		}
		size &= math.MaxInt64
		if n := r.of(Space{Total: size}); n < 0 || strings.HasSuffix(s, "%") && n > size {
			t.Errorf("%q of %d is %d", s, size, n)
		}
	})
}

// smallDisk gives the directory a filesystem of its own: of so many bytes, of
// which root has a reserve that is not to be used, and where data counts late.
func smallDisk(s *fakeSystem, total, rootReserve, late int64) {
	s.space = func(string) (Space, error) {
		used := -late
		_ = filepath.WalkDir(s.path("/crash"), func(_ string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if info, err := d.Info(); err == nil && info.Mode().IsRegular() {
				used += info.Size()
			}
			return nil
		})
		return Space{Total: total, Available: total - rootReserve - max(used, 0)}, nil
	}
}

// A dump that doesn't fit stops before the reserve, and what of the reserve it
// has taken all the same is given back. The log and the result are there, and say so.
func TestKeepFree(t *testing.T) {
	vmcore := testVMCore(t) // 3.5 MiB
	const mib = 1 << 20
	tests := []struct {
		name              string
		keep              string
		total, root, late int64
		outcome           Outcome
		min, max          int64 // of the dump
		wantFree          int64 // in the end, beside the result
		says              string
	}{
		{"fits", "1M", 8 * mib, 0, 0, Complete, 0, 0, mib, ""},
		{"full", "2M", 6 * mib, 0, 0, Incomplete, 2 * mib, 3 * mib, 2 * mib, "2 MB are to stay so"},
		{"the default is a part", "", 100 * mib, 94 * mib, 0, LogOnly, 0, 0, 5 * mib, "5 MB are to stay so"},
		{"root's reserve is not ours", "2M", 8 * mib, 2 * mib, 0, Incomplete, 2 * mib, 3 * mib, 2 * mib, "keep-free"},
		{"counted late", "2M", 6 * mib, 0, 2 * mib, Complete, 0, 0, 0, ""},
		{"nothing is kept", "0", 3 * mib, 0, 0, Incomplete, 1 * mib, 2 * mib, mib - 4096, "keep-free"},
		{"no room from the beginning", "50%", 8 * mib, 5 * mib, 0, LogOnly, 0, 0, 2 * mib, "keep-free"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newFakeSystem(t)
			s.file(t, VMCorePath, string(vmcore))
			if err := os.Mkdir(s.path("/crash"), 0o755); err != nil {
				t.Fatal(err)
			}
			smallDisk(s, tt.total, tt.root, tt.late)
			var console strings.Builder
			res, err := Run(context.Background(), Config{Format: FormatELF, DumpLevel: "0", Targets: []Target{{Type: TargetDirectory, Path: "/crash"}}, KeepFree: tt.keep},
				Options{System: s, Console: &console})
			if res == nil || res.Outcome != tt.outcome || (err == nil) != (tt.outcome == Complete) || err != nil && !errors.Is(err, syscall.ENOSPC) {
				t.Fatalf("Run = %+v, %v; want %s", res, err, tt.outcome)
			}
			if n := res.VMCore.SavedBytes; tt.outcome != Complete && (n < tt.min || n > tt.max) {
				t.Errorf("%d bytes are saved; want %d to %d", n, tt.min, tt.max)
			}
			if space, _ := s.space(""); space.Available < tt.wantFree {
				t.Errorf("%d bytes are free; want %d", space.Available, tt.wantFree)
			}
			if !strings.Contains(console.String(), tt.says) || err != nil && !strings.Contains(err.Error(), tt.says) {
				t.Errorf("console:\n%s\nerror: %v\nwant %q in both", console.String(), err, tt.says)
			}
			dir := s.path("/crash/" + testDirName)
			if r := readResult(t, mustRead(t, dir+"/result.json")); r.Outcome != tt.outcome || r.Log.File != LogName ||
				tt.says != "" && !strings.Contains(strings.Join(r.Errors, " "), tt.says) {
				t.Errorf("result.json = %+v", r)
			}
			mustRead(t, dir+"/dmesg.txt")
		})
	}
}

// What the filesystem counted late, or somebody else took, is given back: the
// dump is cut until the reserve is free.
func TestReserveIsGivenBack(t *testing.T) {
	s := newFakeSystem(t)
	s.file(t, VMCorePath, string(testVMCore(t)))
	if err := os.Mkdir(s.path("/crash"), 0o755); err != nil {
		t.Fatal(err)
	}
	const mib = 1 << 20
	smallDisk(s, 6*mib, 0, 0)
	honest := s.space
	looks := 0
	s.space = func(dir string) (Space, error) {
		space, err := honest(dir)
		if looks++; looks <= 2 { // before the dump
			space.Available += 2 * mib
		}
		return space, err
	}
	s.faults["vmcore.incomplete"] = &fault{write: func(offset int64) error {
		if offset >= 3*mib {
			return syscall.EIO // whatever ends it
		}
		return nil
	}}
	res, err := Run(context.Background(), Config{Format: FormatELF, DumpLevel: "0", Targets: []Target{{Type: TargetDirectory, Path: "/crash"}}, KeepFree: "3M"}, Options{System: s})
	if !errors.Is(err, syscall.EIO) || res.Outcome != Incomplete || !strings.Contains(err.Error(), "cut back by") {
		t.Fatalf("Run = %+v, %v; want EIO, and the dump cut back", res, err)
	}
	if space, _ := honest(""); space.Available < 3*mib {
		t.Errorf("%d bytes are free; want 3 MiB", space.Available)
	}
	saved := mustRead(t, s.path("/crash/"+testDirName+"/vmcore.incomplete"))
	if int64(len(saved)) != res.VMCore.SavedBytes || len(saved) == 0 {
		t.Errorf("the file has %d bytes; the result says %d", len(saved), res.VMCore.SavedBytes)
	}
}

// The next target takes what the first has no room for.
func TestKeepFreeNextTarget(t *testing.T) {
	s := newFakeSystem(t)
	s.file(t, VMCorePath, string(testVMCore(t)))
	for _, dir := range []string{"/crash", "/other"} {
		if err := os.Mkdir(s.path(dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	smallDisk(s, 4<<20, 0, 0)
	small := s.space
	s.space = func(dir string) (Space, error) {
		if strings.HasPrefix(dir, "/other") {
			return Space{1 << 40, 1 << 40}, nil
		}
		return small(dir)
	}
	res, err := Run(context.Background(), Config{Format: FormatELF, DumpLevel: "0", KeepFree: "2M", Targets: []Target{{Type: TargetDirectory, Path: "/crash"}, {Type: TargetDirectory, Path: "/other"}}}, Options{System: s})
	if err != nil || res.Outcome != Complete || res.Target != "dir:/other" || !strings.Contains(strings.Join(res.Errors, " "), "keep-free") {
		t.Errorf("Run = %+v, %v; want it complete on the second target, and the reason", res, err)
	}
}
