package capture

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gokexec/gokexec/internal/dumptest"
)

// fakeSystem is a machine inside a temporary directory. Files in its /dev stand
// for block devices; faults are set per path.
type fakeSystem struct {
	real linuxSystem
	root string

	faults     map[string]*fault
	mountErr   map[string]error // by type
	consoleErr map[string]error
	rebootErr  error
	shellErr   error
	notInit    error
	panicIn    string // method
	// space is the room in a filesystem; nil is plenty.
	space func(dir string) (Space, error)

	mu     sync.Mutex
	events []string
	screen bytes.Buffer
}

// fault is what is wrong with a file.
type fault struct {
	read     func(offset, length int64) error // fails the whole read
	capacity int64                            // bytes, then ENOSPC; 0 is no limit
	write    func(offset int64) error
	sync     error
	hang     chan struct{} // writes from 1 MiB on wait for its closing
	record   func(offset int64, b []byte)
	stream   func() error // before each Write
}

func newFakeSystem(t *testing.T) *fakeSystem {
	t.Helper()
	s := &fakeSystem{root: t.TempDir(), faults: map[string]*fault{}, mountErr: map[string]error{}, consoleErr: map[string]error{}}
	s.file(t, "/proc/meminfo", "MemTotal:  100000 kB\nMemAvailable:  5000000 kB\n")
	s.file(t, "/proc/self/status", "Name:\tx\nVmHWM:\t    1234 kB\n")
	s.file(t, "/proc/sys/kernel/panic", "0\n")
	return s
}

func (s *fakeSystem) file(t *testing.T, name, content string) {
	t.Helper()
	p := s.path(name)
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// device makes a blank disk with its entry in sysfs.
func (s *fakeSystem) device(t *testing.T, name string, size int64, content ...func([]byte)) {
	t.Helper()
	b := make([]byte, size)
	for _, c := range content {
		c(b)
	}
	s.file(t, "/dev/"+name, string(b))
	s.file(t, "/sys/class/block/"+name+"/size", fmt.Sprint(size/512))
}

func (s *fakeSystem) path(name string) string { return filepath.Join(s.root, name) }

func (s *fakeSystem) event(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, fmt.Sprintf(format, args...))
}

func (s *fakeSystem) has(event string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.events {
		if e == event {
			return true
		}
	}
	return false
}

func (s *fakeSystem) output() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.screen.String()
}

func (s *fakeSystem) call(method string) {
	if s.panicIn == method {
		panic("planted in " + method)
	}
}

func (s *fakeSystem) FS() fs.FS { return os.DirFS(s.root) }

func (s *fakeSystem) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	s.call("OpenFile")
	f, err := s.real.OpenFile(s.path(name), flag, perm)
	if err != nil {
		return nil, err
	}
	if fault := s.fault(name); fault != nil {
		return &faultyFile{File: f, fault: fault}, nil
	}
	return f, nil
}

// fault finds the fault of a path, or of its last element.
func (s *fakeSystem) fault(name string) *fault {
	if f := s.faults[name]; f != nil {
		return f
	}
	return s.faults[filepath.Base(name)]
}

func (s *fakeSystem) Mkdir(name string, perm fs.FileMode) error { return os.Mkdir(s.path(name), perm) }
func (s *fakeSystem) Rename(from, to string) error              { return os.Rename(s.path(from), s.path(to)) }
func (s *fakeSystem) SyncDir(name string) error                 { return s.real.SyncDir(s.path(name)) }
func (s *fakeSystem) Stat(name string) (fs.FileInfo, error)     { return os.Stat(s.path(name)) }
func (s *fakeSystem) Lstat(name string) (fs.FileInfo, error)    { return os.Lstat(s.path(name)) }

func (s *fakeSystem) Mount(source, target, fstype, data string) error {
	s.call("Mount")
	if err := s.mountErr[fstype]; err != nil {
		return fmt.Errorf("mount %s: %w", source, err)
	}
	s.event("mount %s %s %s %s", source, target, fstype, data)
	return nil
}

func (s *fakeSystem) Unmount(target string) error { s.event("unmount %s", target); return nil }
func (s *fakeSystem) Space(dir string) (Space, error) {
	if s.space == nil {
		return Space{1 << 50, 1 << 50}, nil
	}
	return s.space(dir)
}

func (s *fakeSystem) Sync()             { s.call("Sync"); s.event("sync") }
func (s *fakeSystem) BecomeInit() error { s.event("init"); return s.notInit }

func (s *fakeSystem) Console(name string) (io.Writer, error) {
	if err := s.consoleErr[name]; err != nil {
		return nil, err
	}
	s.event("console %s", name)
	return writerFunc(func(p []byte) (int, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.screen.Write(p)
	}), nil
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func (s *fakeSystem) Shell(argv []string, terminal string) error {
	s.event("shell %s on %s", strings.Join(argv, " "), terminal)
	return s.shellErr
}

func (s *fakeSystem) Reboot(a Action) error { s.event("do %s", a); return s.rebootErr }

// faultyFile fails as its fault says.
type faultyFile struct {
	File
	*fault
}

func (f *faultyFile) ReadAt(p []byte, offset int64) (int, error) {
	if f.read != nil {
		if err := f.read(offset, int64(len(p))); err != nil {
			return 0, err
		}
	}
	return f.File.ReadAt(p, offset)
}

func (f *faultyFile) WriteAt(p []byte, offset int64) (int, error) {
	if f.hang != nil && offset >= 1<<20 {
		<-f.hang
	}
	if f.fault.write != nil {
		if err := f.fault.write(offset); err != nil {
			return 0, err
		}
	}
	if f.capacity > 0 && offset+int64(len(p)) > f.capacity {
		n, _ := f.File.WriteAt(p[:max(0, f.capacity-offset)], offset)
		return n, syscall.ENOSPC
	}
	if f.record != nil {
		f.record(offset, p)
	}
	return f.File.WriteAt(p, offset)
}

func (f *faultyFile) Write(p []byte) (int, error) {
	if f.stream != nil {
		if err := f.stream(); err != nil {
			return 0, err
		}
	}
	return f.File.Write(p)
}

func (f *faultyFile) Sync() error {
	if f.sync != nil {
		return f.sync
	}
	return f.File.Sync()
}

const (
	testLog     = "<4>[    1.500000] Kernel panic - not syncing: sysrq triggered crash\n"
	testRelease = "6.12.0-test"
	testDirName = "20231114T221320Z"
)

var testCrashTime = time.Unix(1700000000, 0).UTC()

// testVMCore is a dump of about 3.5 MiB with a log.
func testVMCore(t testing.TB) []byte {
	t.Helper()
	m := testImage()
	dumptest.ByteRing(m, 4096, 0, []byte(testLog))
	return m.Core().Bytes()
}

// testImage has memory without a byte that is 0, and no log.
func testImage() *dumptest.Image {
	m := dumptest.NewImage(dumptest.Archs[0], testRelease)
	m.Line("CRASHTIME=%d", testCrashTime.Unix())
	const size = 3500 << 10
	mem := m.Bytes(m.Alloc(size, 4096), size)
	for i := range mem {
		mem[i] = byte(i%255) + 1
	}
	return m
}

func readResult(t *testing.T, b []byte) *Result {
	t.Helper()
	var r Result
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		t.Fatalf("result.json: %v\n%s", err, b)
	}
	return &r
}

func mustRead(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// sizedFile is a File that has only a size.
type sizedFile struct{ *source }

func (f sizedFile) Size() (int64, error)             { return f.size, nil }
func (sizedFile) Write([]byte) (int, error)          { return 0, syscall.EBADF }
func (sizedFile) WriteAt([]byte, int64) (int, error) { return 0, syscall.EBADF }
func (sizedFile) Close() error                       { return nil }
func (sizedFile) Sync() error                        { return nil }
func (sizedFile) Truncate(int64) error               { return nil }
func (sizedFile) WriteBack(int64, int64, bool) error { return nil }

func hexText(n uint64) string { return fmt.Sprintf("%#x", n) }
