package capture

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// helperVar makes this test program a process that adopts orphans, as PID 1 does.
const helperVar = "GOKEXEC_TEST_INIT"

func TestMain(m *testing.M) {
	if script := os.Getenv(helperVar); script != "" {
		os.Exit(helperInit(script))
	}
	os.Exit(m.Run())
}

// helperInit runs a script as a child of an init, and then says which children are left.
func helperInit(script string) int {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		fmt.Println(err)
		return 1
	}
	s := &linuxProcess{}
	s.BecomeInit()
	var out bytes.Buffer
	err := s.RunChild(Child{Path: script, Env: []string{"PATH=" + os.Getenv("PATH"), "A=b"}, Limit: 2 * time.Second, Output: &out})
	fmt.Printf("error: %v\noutput: %s\n", err, out.String())
	for range 100 {
		if _, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); errors.Is(err, unix.ECHILD) {
			return 0
		}
		time.Sleep(50 * time.Millisecond)
	}
	fmt.Println("children are left")
	return 1
}

// TestRunChild: however a child ends, that is told, nothing of it stays, and all are reaped.
func TestRunChild(t *testing.T) {
	for _, tt := range []struct{ name, script, err, output string }{
		{"good", `echo $A $$; echo to stderr >&2`, "<nil>", "to stderr"},
		{"fails", `echo x; exit 7`, "exit code 7", "x"},
		{"killed", `kill -SEGV $$`, "killed by signal 11", ""},
		{"hangs", `echo begun; while :; do sleep 1000; done`, "killed after 2s, its time limit", "begun"},
		{"ignores signals", `trap '' TERM INT HUP; sleep 1000 & wait; sleep 1000`, "killed after 2s", ""},
		{"leaves a process", `sleep 1000 & echo started`, "<nil>", "started"},
		{"forks", `for i in 1 2 3 4 5 6 7 8 9; do (sleep 0.1; (sleep 0.1) &) & done; wait; echo all`, "<nil>", "all"},
		{"signals are as usual", `(trap '' PIPE; :); kill -TERM $$; echo alive`, "killed by signal 15", ""},
		{"reads", `if read x; then echo got $x; else echo nothing; fi`, "<nil>", "nothing"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			name := filepath.Join(t.TempDir(), "hook")
			if err := os.WriteFile(name, []byte("#!/bin/sh\n"+tt.script+"\n"), 0o700); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command("/proc/self/exe")
			cmd.Env = append(os.Environ(), helperVar+"="+name)
			begin := time.Now()
			text, err := cmd.CombinedOutput()
			if err != nil || !strings.Contains(string(text), "error: "+tt.err) || !strings.Contains(string(text), tt.output) {
				t.Errorf("%v after %v: %s\nwant %q, %q", err, time.Since(begin), text, tt.err, tt.output)
			}
		})
	}
}

// TestRunChildOfInit: as PID 1, of a namespace of its own, it leaves nothing that a hook has started, and what that would
// write to the root is refused.
func TestRunChildOfInit(t *testing.T) {
	name := filepath.Join(t.TempDir(), "hook")
	script := "#!/bin/sh\nsetsid sleep 1000 &\n(setsid sh -c 'trap \"\" TERM; sleep 1000; sleep 1000' &)\ntouch /gokexec-probe || echo refused\ncat /proc/self/oom_score_adj\nexit 4\n"
	if err := os.WriteFile(name, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), helperVar+"="+name)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}, GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Skipf("no namespaces here: %v", err)
	}
	if err := cmd.Wait(); err != nil || !strings.Contains(out.String(), "error: exit code 4") || !strings.Contains(out.String(), "refused\n1000\n") {
		t.Errorf("%v: %s\nwant exit code 4, nothing written, oom_score_adj 1000 and no process left", err, &out)
	}
	if err := os.Remove("/gokexec-probe"); err == nil {
		t.Error("the hook has written to the root")
	}
}

// TestRunChildOfCommand is the same where this process is no init: capture --config.
func TestRunChildOfCommand(t *testing.T) {
	name := filepath.Join(t.TempDir(), "hook")
	if err := os.WriteFile(name, []byte("#!/bin/sh\ncat /proc/self/oom_score_adj; [ \"$1\" = \"a b\" ] || exit 3; sleep 1000 & echo $!; exit 2\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile("/proc/self/oom_score_adj")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	err = NewSystem().RunChild(Child{Path: name, Args: []string{"a b"}, Env: os.Environ(), Limit: time.Minute, Output: &out})
	if err == nil || err.Error() != "exit code 2" {
		t.Errorf("RunChild: %v; want exit code 2", err)
	}
	if after, _ := os.ReadFile("/proc/self/oom_score_adj"); string(after) != string(before) {
		t.Errorf("oom_score_adj of this process is %s; it was %s", after, before)
	}
	fields := strings.Fields(out.String())
	left, err := strconv.Atoi(fields[len(fields)-1])
	if err != nil {
		t.Fatalf("output %q", &out)
	}
	for range 100 {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", left))
		if err != nil || strings.Contains(string(b), ") Z ") {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Errorf("process %d is left", left)
}

func TestRunChildMissing(t *testing.T) {
	err := NewSystem().RunChild(Child{Path: filepath.Join(t.TempDir(), "none"), Limit: time.Minute, Output: &bytes.Buffer{}})
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("RunChild: %v; want ErrNotExist", err)
	}
}
