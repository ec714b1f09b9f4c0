package capture

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gokexec/gokexec/internal/dumptest"
)

// fakeSystem is a machine inside a temporary directory. Files in its /dev stand
// for block devices; faults are set per path.
type fakeSystem struct {
	*fakeMachine
	fakeFiles
	fakeMounts
	fakeDevices
	fakeProcess
	fakeNetwork
}

// fakeMachine is what the fakes of files, mounts and process share.
type fakeMachine struct {
	root    string
	panicIn string // method
	hangIn  string // method
	hang    chan struct{}

	mu     sync.Mutex
	events []string
	screen bytes.Buffer
}

func newFakeSystem(t *testing.T) *fakeSystem {
	t.Helper()
	m := &fakeMachine{root: t.TempDir()}
	s := &fakeSystem{m,
		fakeFiles{fakeMachine: m, faults: map[string]*fault{}},
		fakeMounts{fakeMachine: m, mountErr: map[string]error{}},
		fakeDevices{fakeMachine: m},
		fakeProcess{fakeMachine: m, place: CaptureKernel, consoleErr: map[string]error{}},
		fakeNetwork{fakeMachine: m}}
	s.file(t, "/proc/meminfo", "MemTotal:  100000 kB\nMemAvailable:  5000000 kB\n")
	s.file(t, "/proc/self/status", "Name:\tx\nVmHWM:\t    1234 kB\n")
	s.file(t, "/proc/sys/kernel/panic", "0\n")
	return s
}

func (s *fakeMachine) file(t *testing.T, name, content string) {
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
func (s *fakeMachine) device(t *testing.T, name string, size int64, content ...func([]byte)) {
	t.Helper()
	b := make([]byte, size)
	for _, c := range content {
		c(b)
	}
	s.file(t, "/dev/"+name, string(b))
	s.file(t, "/sys/class/block/"+name+"/size", fmt.Sprint(size/512))
}

func (s *fakeMachine) path(name string) string { return filepath.Join(s.root, name) }

func (s *fakeMachine) event(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, fmt.Sprintf(format, args...))
}

func (s *fakeMachine) has(event string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.events {
		if e == event {
			return true
		}
	}
	return false
}

// order checks that events that begin so came in this order.
func (s *fakeMachine) order(t *testing.T, want ...string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	next := 0
	for _, e := range s.events {
		if next < len(want) && strings.HasPrefix(e, want[next]) {
			next++
		}
	}
	if next < len(want) {
		t.Errorf("no %q at its place among %q", want[next], s.events)
	}
}

func (s *fakeMachine) output() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.screen.String()
}

func (s *fakeMachine) call(method string) {
	if s.hangIn == method {
		<-s.hang
	}
	if s.panicIn == method {
		panic("planted in " + method)
	}
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

func hexText(n uint64) string { return fmt.Sprintf("%#x", n) }
