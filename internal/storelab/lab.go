package storelab

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/internal/vmlab"
)

// skip skips a test for the lack of something, loudly.
func skip(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("GOKEXEC_STORES_REQUIRED") == "1" {
		t.Fatalf(format, args...)
	}
	t.Skipf("NOT TESTED: "+format, args...)
}

// FreeAddress is an address on loopback that nothing listens on.
func FreeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// server is a process that listens.
type server struct {
	t       testing.TB
	argv    []string
	env     []string
	address string
	log     string

	mu  sync.Mutex
	cmd *exec.Cmd
}

// Start starts the server and waits until it listens.
func (s *server) Start() {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	out, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	defer out.Close()
	s.cmd = exec.Command(s.argv[0], s.argv[1:]...)
	s.cmd.Env = append(os.Environ(), s.env...)
	s.cmd.Stdout, s.cmd.Stderr = out, out
	// It ends with the test.
	s.cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		c, err := net.DialTimeout("tcp", s.address, time.Second)
		if err == nil {
			c.Close()
			return
		}
		if time.Now().After(deadline) {
			b, _ := os.ReadFile(s.log)
			s.t.Fatalf("%s does not listen: %v\n%s", s.argv[0], err, b)
		}
	}
}

// Kill kills the server, as a power cut would.
func (s *server) Kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd != nil {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
		s.cmd = nil
	}
}

// install runs go install for a program of a version, once.
func install(ctx context.Context, t testing.TB, module string) string {
	t.Helper()
	program, _, _ := strings.Cut(path.Base(module), "@")
	dir, err := vmlab.Cached(ctx, "servers/"+path.Base(module), func(tmp string) error {
		t.Logf("go install %s: this takes minutes, once", module)
		cmd := exec.CommandContext(ctx, "go", "install", module)
		cmd.Env = append(os.Environ(), "GOBIN="+tmp, "CGO_ENABLED=0", "GOFLAGS=")
		cmd.Dir = tmp
		return run(cmd)
	})
	if err != nil {
		skip(t, "go install %s: %v", module, err)
	}
	return filepath.Join(dir, program)
}

// run runs a command, whose error has the end of what it printed.
func run(cmd *exec.Cmd) error {
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out[max(0, len(out)-300):])
	}
	return nil
}
