package capture

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gokexec/gokexec/internal/dumptest"
)

// dirConfig saves the memory as it is.
var dirConfig = Config{Targets: []Target{{Type: TargetDirectory, Path: "/crash"}}, Format: FormatELF, DumpLevel: "0"}

// runDirectory captures vmcore to /crash.
func runDirectory(t *testing.T, s *fakeSystem, vmcore []byte) (*Result, error) {
	t.Helper()
	s.file(t, VMCorePath, string(vmcore))
	if err := os.MkdirAll(s.path("/crash"), 0o755); err != nil {
		t.Fatal(err)
	}
	return Run(context.Background(), dirConfig, Options{System: s, Version: "v1"})
}

func TestRunDirectory(t *testing.T) {
	s, vmcore := newFakeSystem(t), testVMCore(t)
	res, err := runDirectory(t, s, vmcore)
	if err != nil {
		t.Fatal(err)
	}
	if code := ExitCode(res, err); code != ExitComplete {
		t.Errorf("ExitCode = %d; want %d", code, ExitComplete)
	}
	dir := s.path("/crash/" + testDirName)
	if got := mustRead(t, dir+"/vmcore"); !bytes.Equal(got, vmcore) {
		t.Error("vmcore differs from the source")
	}
	if got := mustRead(t, dir+"/dmesg.txt"); !strings.Contains(string(got), "Kernel panic") {
		t.Errorf("dmesg.txt = %q", got)
	}
	stored := readResult(t, mustRead(t, dir+"/result.json"))
	if stored.Outcome != Complete || stored.KernelRelease != testRelease || stored.Machine != "EM_X86_64" ||
		stored.CrashTime == nil || !stored.CrashTime.Equal(testCrashTime) || stored.GokexecVersion != "v1" ||
		stored.Target != "dir:/crash" || stored.Location != "/crash/"+testDirName ||
		stored.VMCore.File != "vmcore" || stored.VMCore.SavedBytes != int64(len(vmcore)) || stored.VMCore.SizeBytes != int64(len(vmcore)) ||
		stored.Log.File != "dmesg.txt" || stored.Log.Records != 1 ||
		stored.Memory.PeakRSSBytes != 1234<<10 || stored.Memory.MemTotalBytes != 100000<<10 || stored.Memory.MinMemAvailableBytes != 5000000<<10 ||
		len(stored.Errors) != 0 {
		t.Errorf("result = %+v", stored)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 3 {
		t.Errorf("entries = %v; want dmesg.txt, result.json, vmcore", entries)
	}
	for _, e := range entries {
		if info, _ := e.Info(); info.Mode() != 0o600 {
			t.Errorf("mode of %s = %v; want 0600", e.Name(), info.Mode())
		}
	}
	if info, _ := os.Stat(dir); info.Mode() != fs.ModeDir|0o700 {
		t.Errorf("mode of the directory = %v; want 0700", info.Mode())
	}
	// A second capture leaves the first alone.
	res, err = runDirectory(t, s, vmcore)
	if err != nil || res.Location != "/crash/"+testDirName+"-1" {
		t.Errorf("second Run: location %q, %v; want the suffix -1", res.Location, err)
	}
}

// TestRunFailures: whatever fails, what could be saved is there and marked.
func TestRunFailures(t *testing.T) {
	whole := testVMCore(t)
	noLog := testImage().Core().Bytes()
	badLog := func() []byte {
		m := testImage()
		m.Line("SYMBOL(log_buf)=ffffffffdead0000")
		m.Line("SYMBOL(log_end)=ffffffffdead0000")
		m.Line("SYMBOL(log_buf_len)=ffffffffdead0000")
		return m.Core().Bytes()
	}()
	const page = 4096
	at := func(bad int64, err error) func(int64, int64) error {
		return func(offset, length int64) error {
			if offset <= bad && bad < offset+length {
				return err
			}
			return nil
		}
	}
	tests := []struct {
		name    string
		vmcore  []byte
		file    string // which has the fault
		fault   fault
		outcome Outcome
		exit    int
		files   string
		wantErr error
	}{
		{"no log", noLog, "", fault{}, Complete, ExitNoLog, "result.json vmcore", nil},
		{"garbage instead of a log", badLog, "", fault{}, Complete, ExitNoLog, "result.json vmcore", nil},
		{"unreadable page", whole, "vmcore", fault{read: at(2<<20+5*page, syscall.EFAULT)}, Incomplete, ExitIncomplete, "dmesg.txt result.json vmcore", syscall.EFAULT},
		{"disk full", whole, "vmcore.incomplete", fault{capacity: 3<<20 + 77}, Incomplete, ExitIncomplete, "dmesg.txt result.json vmcore.incomplete", syscall.ENOSPC},
		{"disk full at once", whole, "vmcore.incomplete", fault{capacity: 10}, LogOnly, ExitLogOnly, "dmesg.txt result.json vmcore.incomplete", syscall.ENOSPC},
		{"disk full at the log", whole, "dmesg.txt.incomplete", fault{capacity: 10}, Complete, ExitNoLog, "dmesg.txt.incomplete result.json vmcore", nil},
		{"write error", whole, "vmcore.incomplete", fault{write: func(o int64) error { return at(1<<20, syscall.EIO)(o, 1) }}, Incomplete, ExitIncomplete, "dmesg.txt result.json vmcore.incomplete", syscall.EIO},
		{"first write fails", whole, "vmcore.incomplete", fault{write: func(int64) error { return syscall.EIO }}, LogOnly, ExitLogOnly, "dmesg.txt result.json vmcore.incomplete", syscall.EIO},
		{"sync fails", whole, "vmcore.incomplete", fault{sync: syscall.EIO}, Incomplete, ExitIncomplete, "dmesg.txt result.json vmcore.incomplete", syscall.EIO},
		{"cut source", whole[:3<<20], "", fault{}, Incomplete, ExitIncomplete, "result.json vmcore", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newFakeSystem(t)
			s.faults[tt.file] = &tt.fault
			if tt.file == "vmcore" { // only the source, not the saved one
				s.faults = map[string]*fault{VMCorePath: &tt.fault}
			}
			res, err := runDirectory(t, s, tt.vmcore)
			if (err == nil) != (tt.outcome == Complete) || tt.wantErr != nil && !errors.Is(err, tt.wantErr) {
				t.Errorf("Run: %v; want %v", err, tt.wantErr)
			}
			if res == nil || res.Outcome != tt.outcome || ExitCode(res, err) != tt.exit {
				t.Fatalf("Run = %+v, exit %d; want %s, exit %d", res, ExitCode(res, err), tt.outcome, tt.exit)
			}
			dir := s.path("/crash/" + testDirName)
			entries, _ := os.ReadDir(dir)
			var names []string
			for _, e := range entries {
				names = append(names, e.Name())
			}
			if got := strings.Join(names, " "); got != tt.files {
				t.Errorf("files = %s; want %s", got, tt.files)
			}
			stored := readResult(t, mustRead(t, dir+"/result.json"))
			if stored.Outcome != tt.outcome || len(stored.Errors) == 0 {
				t.Errorf("stored outcome %s, errors %q; want %s and an error", stored.Outcome, stored.Errors, tt.outcome)
			}
			if stored.VMCore.File != "" {
				saved := mustRead(t, filepath.Join(dir, stored.VMCore.File))
				if int64(len(saved)) != stored.VMCore.SavedBytes {
					t.Errorf("saved_bytes = %d; the file has %d", stored.VMCore.SavedBytes, len(saved))
				}
				n := min(len(saved), 2<<20)
				if !bytes.Equal(saved[:n], tt.vmcore[:n]) {
					t.Error("what is saved differs from the source")
				}
			}
		})
	}
}

// TestUnreadablePages checks the contents around pages that fail in each way.
func TestUnreadablePages(t *testing.T) {
	const page = 4096
	vmcore := testVMCore(t)
	bad := map[int64]bool{100 * page: true, 255 * page: true, 256 * page: true, 700 * page: true}
	for i := int64(512); i < 512+40; i++ {
		bad[i*page] = true
	}
	s := newFakeSystem(t)
	s.faults[VMCorePath] = &fault{read: func(offset, length int64) error {
		for o := offset &^ (page - 1); o < offset+length; o += page {
			if bad[o] {
				return &fs.PathError{Op: "read", Path: VMCorePath, Err: syscall.EFAULT}
			}
		}
		return nil
	}}
	res, err := runDirectory(t, s, vmcore)
	if !errors.Is(err, syscall.EFAULT) {
		t.Errorf("Run: %v; want EFAULT", err)
	}
	want := bytes.Clone(vmcore)
	for o := range bad {
		clear(want[o : o+page])
	}
	if !bytes.Equal(mustRead(t, s.path("/crash/"+testDirName+"/vmcore")), want) {
		t.Error("vmcore is not the source with the bad pages zero")
	}
	if res.VMCore.IncompletePages != int64(len(bad)) || len(res.VMCore.FirstIncompletePages) != maxListedPages {
		t.Errorf("incomplete pages = %d, listed %q; want %d, %d listed", res.VMCore.IncompletePages, res.VMCore.FirstIncompletePages, len(bad), maxListedPages)
	}
	src := &source{ReaderAt: bytes.NewReader(vmcore), size: int64(len(vmcore)), pageSize: 4096}
	src.file = sizedFile{src}
	if err := src.open(); err != nil {
		t.Fatal(err)
	}
	load := src.core.Loads[0]
	if got, want := res.VMCore.FirstIncompletePages[0], uint64(load.Phys)+100*page-load.Offset; got != hexText(want) {
		t.Errorf("first incomplete page = %s; want %s", got, hexText(want))
	}
}

func TestRunNothingSaved(t *testing.T) {
	core := testVMCore(t)
	tests := []struct {
		name, vmcore string
		want         error
	}{
		{"missing", "", ErrNoVMCore},
		{"empty", "-", ErrNotCore},
		{"short", "\x7fELF", ErrNotCore},
		{"text", strings.Repeat("not a core file\n", 100), ErrNotCore},
		{"executable", string(core[:16]) + "\x02" + string(core[17:]), ErrNotCore},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newFakeSystem(t)
			if tt.vmcore != "" {
				s.file(t, VMCorePath, strings.TrimPrefix(tt.vmcore, "-"))
			}
			s.file(t, "/crash/keep", "")
			res, err := Run(context.Background(), dirConfig, Options{System: s})
			if !errors.Is(err, tt.want) || ExitCode(res, err) != ExitFailed {
				t.Errorf("Run: %v, exit %d; want %v, exit %d", err, ExitCode(res, err), tt.want, ExitFailed)
			}
			if entries, _ := os.ReadDir(s.path("/crash")); len(entries) != 1 {
				t.Errorf("it left %v behind", entries)
			}
		})
	}
}

// TestDamagedHeaders: an ELF core whose headers can't be followed is saved as
// it is.
func TestDamagedHeaders(t *testing.T) {
	vmcore := testVMCore(t)
	copy(vmcore[32:], []byte{0, 0, 0, 0, 0, 0, 0, 0x70}) // e_phoff
	s := newFakeSystem(t)
	res, err := runDirectory(t, s, vmcore)
	if err != nil || res.Outcome != Complete || ExitCode(res, err) != ExitNoLog {
		t.Fatalf("Run = %+v, %v; want a complete dump without a log", res, err)
	}
	if !bytes.Equal(mustRead(t, s.path(res.Location+"/vmcore")), vmcore) {
		t.Error("vmcore differs")
	}
}

// TestCascade: a target that fails hands over to the next.
func TestCascade(t *testing.T) {
	vmcore := testVMCore(t)
	small := func(s *fakeSystem, t *testing.T) { s.device(t, "small", 1<<20) }
	tests := []struct {
		name    string
		prepare func(*fakeSystem, *testing.T)
		first   Target
		outcome Outcome
	}{
		{"missing device", func(*fakeSystem, *testing.T) {}, Target{Type: TargetRaw, Device: "/dev/none"}, Complete},
		{"missing directory", func(*fakeSystem, *testing.T) {}, Target{Type: TargetDirectory, Path: "/none"}, Complete},
		{"too small", small, Target{Type: TargetRaw, Device: "/dev/small"}, Complete},
		{"hangs", func(s *fakeSystem, t *testing.T) {
			s.device(t, "slow", 8<<20)
			hang := make(chan struct{})
			s.faults["/dev/slow"] = &fault{hang: hang}
			t.Cleanup(func() { close(hang) })
		}, Target{Type: TargetRaw, Device: "/dev/slow"}, Complete},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newFakeSystem(t)
			tt.prepare(s, t)
			s.file(t, VMCorePath, string(vmcore))
			s.file(t, "/crash/keep", "")
			cfg := Config{Format: FormatELF, DumpLevel: "0", Targets: []Target{tt.first, dirConfig.Targets[0]}, DeviceTimeoutSeconds: 1, StallTimeoutSeconds: 1}
			res, err := Run(context.Background(), cfg, Options{System: s})
			if err != nil || res.Outcome != tt.outcome || res.Target != "dir:/crash" {
				t.Fatalf("Run = %+v, %v; want %s in dir:/crash", res, err, tt.outcome)
			}
			stored := readResult(t, mustRead(t, s.path(res.Location+"/result.json")))
			if len(stored.Errors) != 1 || !strings.HasPrefix(stored.Errors[0], "target "+tt.first.String()+": ") {
				t.Errorf("errors = %q; want the first target's", stored.Errors)
			}
		})
	}
}

// TestStall: a target that hangs after the log is known to hold the log.
func TestStall(t *testing.T) {
	vmcore := testVMCore(t)
	synctest.Test(t, func(t *testing.T) {
		s := newFakeSystem(t)
		s.file(t, VMCorePath, string(vmcore))
		s.device(t, "slow", 8<<20)
		hang := make(chan struct{})
		defer close(hang)
		s.faults["/dev/slow"] = &fault{hang: hang}
		start := time.Now()
		res, err := Run(context.Background(), Config{Targets: []Target{{Type: TargetRaw, Device: "/dev/slow"}}}, Options{System: s})
		if !errors.Is(err, ErrStalled) || res.Outcome != LogOnly || res.Location != "/dev/slow" {
			t.Errorf("Run = %+v, %v; want log-only, ErrStalled", res, err)
		}
		if d := time.Since(start); d > 2*DefaultStallTimeout {
			t.Errorf("it took %v", d)
		}
	})
}

func TestRunCancelled(t *testing.T) {
	s := newFakeSystem(t)
	s.file(t, "/crash/keep", "")
	s.file(t, VMCorePath, string(testVMCore(t)))
	ctx, cancel := context.WithCancel(context.Background())
	s.faults["vmcore.incomplete"] = &fault{write: func(offset int64) error { cancel(); return nil }}
	res, err := Run(ctx, Config{Format: FormatELF, DumpLevel: "0", Targets: []Target{dirConfig.Targets[0], dirConfig.Targets[0]}}, Options{System: s})
	if !errors.Is(err, context.Canceled) || res.Outcome != Incomplete || res.VMCore.SavedBytes != chunkSize {
		t.Errorf("Run = %+v, %v; want incomplete after one chunk, Canceled", res, err)
	}
	if entries, _ := os.ReadDir(s.path("/crash")); len(entries) != 2 {
		t.Errorf("entries = %v; want one dump", entries)
	}
}

// TestEarlyResult: what is on disk while the memory is copied says that it
// isn't finished.
func TestEarlyResult(t *testing.T) {
	s := newFakeSystem(t)
	var early []byte
	s.faults["vmcore.incomplete"] = &fault{write: func(int64) error {
		if early == nil {
			early, _ = os.ReadFile(s.path("/crash/" + testDirName + "/result.json"))
		}
		return nil
	}}
	if _, err := runDirectory(t, s, testVMCore(t)); err != nil {
		t.Fatal(err)
	}
	if r := readResult(t, early); r.Outcome != LogOnly || len(r.Errors) != 1 || r.Errors[0] != "the capture did not finish" {
		t.Errorf("early result = %+v", r)
	}
}

func TestRunBigEndian32(t *testing.T) {
	for _, arch := range dumptest.Archs {
		m := dumptest.NewImage(arch, testRelease)
		dumptest.ByteRing(m, 4096, 0, []byte(testLog))
		s := newFakeSystem(t)
		res, err := runDirectory(t, s, m.Core().Bytes())
		if err != nil || ExitCode(res, err) != ExitComplete || res.KernelRelease != testRelease {
			t.Errorf("%s: Run = %+v, %v; want complete", arch.Name, res, err)
		}
	}
}
