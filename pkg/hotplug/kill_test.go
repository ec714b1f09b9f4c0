package hotplug

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gokexec/gokexec/pkg/accuracy"
	"github.com/gokexec/gokexec/pkg/statedir"
)

// childVar makes the test binary one event's process, in the directory it names.
const childVar = "GOKEXEC_HOTPLUG_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childVar); dir != "" {
		if _, err := fileMachine(dir).handler().Event(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// fileMachine is a machine in files, for processes that are killed: the memory,
// the header, and whether something is loaded.
type fileMachine string

func (m fileMachine) read(name string) int {
	b, err := os.ReadFile(filepath.Join(string(m), name))
	if errors.Is(err, os.ErrNotExist) {
		return 0
	}
	n, convErr := strconv.Atoi(strings.TrimSpace(string(b)))
	if err = errors.Join(err, convErr); err != nil {
		panic(err)
	}
	return n
}

// write is all or nothing, as a kernel's is.
func (m fileMachine) write(name string, n int) {
	tmp := filepath.Join(string(m), fmt.Sprintf("%s.%d", name, os.Getpid()))
	err := os.WriteFile(tmp, []byte(strconv.Itoa(n)), 0o600)
	if err = errors.Join(err, os.Rename(tmp, filepath.Join(string(m), name))); err != nil {
		panic(err)
	}
}

func (m fileMachine) handler() *Handler {
	return &Handler{Dir: statedir.Dir(filepath.Join(string(m), "run")), Quiet: 2 * time.Millisecond, WaitForLoad: 50 * time.Millisecond, Check: m.look, Reload: m.reload}
}

func (m fileMachine) look(context.Context) Status {
	header := m.read("header")
	switch {
	case m.read("unloaded") != 0:
		return Status{State: accuracy.NotLoaded}
	case header != m.read("memory"):
		return Status{State: accuracy.Stale, Detail: "memory is missing"}
	}
	return Status{State: accuracy.Accurate}
}

func (m fileMachine) reload(context.Context, Attempt) error {
	// The kernel's lock, which ends with its process.
	lock, err := os.OpenFile(filepath.Join(string(m), "kernel.lock"), os.O_CREATE|os.O_RDONLY, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return errors.Join(err, os.WriteFile(filepath.Join(string(m), "two-at-once"), nil, 0o600))
	}
	memory := m.read("memory")
	m.write("unloaded", 1)
	time.Sleep(3 * time.Millisecond)
	m.write("header", memory)
	m.write("unloaded", 0)
	return nil
}

// Real processes, killed at random instants: whatever is left, either the header is
// accurate or something tells that it is not, and one more check repairs it. (Processes
// have the real time, which here only sets the instants.)
func TestKill(t *testing.T) {
	kills := 60
	if s := os.Getenv("GOKEXEC_KILLS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		kills = n
	}
	if testing.Short() {
		kills = 20
	}
	m := fileMachine(t.TempDir())
	dir := m.handler().Dir
	killed, rescued := 0, 0
	for round := 0; killed < kills; round++ {
		var children []*exec.Cmd
		for range 3 {
			m.write("memory", m.read("memory")+1)
			c := exec.Command(os.Args[0])
			c.Env = append(os.Environ(), childVar+"="+string(m))
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			children = append(children, c)
			time.Sleep(rand.N(3 * time.Millisecond))
		}
		// Those that were killed before they had left their mark are as if the event
		// had never been told to anybody: so the first one marks for all.
		if err := dir.Mark(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(rand.N(25 * time.Millisecond))
		for _, c := range children[rand.N(2):] {
			if err := c.Process.Signal(syscall.SIGKILL); err == nil {
				killed++
			}
		}
		for _, c := range children {
			if err := c.Wait(); err != nil && !c.ProcessState.Sys().(syscall.WaitStatus).Signaled() {
				t.Fatalf("round %d: an event failed: %v", round, err)
			}
		}
		look := m.look(t.Context())
		if look.State != accuracy.Accurate && !dir.Marked() && !is(dir, "loading") {
			t.Fatalf("round %d: %+v, and nothing reports it", round, look)
		}
		if dir.Locked() {
			t.Fatalf("round %d: a killed process holds the lock", round)
		}
		if round%4 == 0 || look.State == accuracy.NotLoaded {
			if look.State != accuracy.Accurate {
				rescued++
			}
			if _, err := m.handler().Event(t.Context()); err != nil || m.look(t.Context()).State != accuracy.Accurate || dir.Marked() {
				t.Fatalf("round %d: one more event ends with %v, %+v, marked %v; want accurate", round, err, m.look(t.Context()), dir.Marked())
			}
		}
	}
	if _, err := os.Stat(filepath.Join(string(m), "two-at-once")); err == nil {
		t.Error("two loads ran at once")
	}
	t.Logf("%d killed; %d times the next event had to repair", killed, rescued)
}
