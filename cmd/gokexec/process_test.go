package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/pkg/capture"
)

const (
	// processVar makes the test binary gokexec, signals and all.
	processVar = "GOKEXEC_PROCESS"
	// hogVar makes it a maker of a report that takes 64 MiB.
	hogVar = "GOKEXEC_HOG"
	// zombieVar makes it end its first thread with exit code 3, and stay.
	zombieVar = "GOKEXEC_ZOMBIE"
)

func init() {
	if os.Getenv(zombieVar) != "" {
		runtime.LockOSThread() // to the first
	}
}

func realProcess() {
	switch {
	case os.Getenv(zombieVar) != "":
		go func() {
			runtime.LockOSThread()
			time.Sleep(20 * time.Second)
			os.Exit(0)
		}()
		_, _, _ = syscall.RawSyscall(unix.SYS_EXIT, 3, 0, 0)
	case os.Getenv(hogVar) != "":
		if err := boundReport(); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		for size := 1 << 20; size <= 64<<20; size *= 2 {
			b := make([]byte, size)
			for i := 0; i < len(b); i += 4096 {
				b[i] = 1
			}
			fmt.Println(len(b) >> 20)
		}
		os.Exit(0)
	case os.Getenv(processVar) != "" || len(os.Args) > 3 && slices.Equal(os.Args[1:3], reporter()[1:]):
		main() // the latter as the child of a capture, which has an environment of its own
	}
}

// process is gokexec, not yet started.
func process(t *testing.T, argv ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], argv...)
	cmd.Env = append(os.Environ(), processVar+"=1")
	return cmd
}

// savedDump is a dump with a log.
func savedDump(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "vmcore")
	if err := os.WriteFile(file, exampleDump().Core.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// fullPipe is the writing end of a pipe that takes nothing more.
func fullPipe(t *testing.T) *os.File {
	t.Helper()
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := unix.Write(fds[1], make([]byte, 4096)); err != nil {
			break
		}
	}
	if err := unix.SetNonblock(fds[1], false); err != nil {
		t.Fatal(err)
	}
	r, w := os.NewFile(uintptr(fds[0]), "pipe"), os.NewFile(uintptr(fds[1]), "pipe")
	t.Cleanup(func() { r.Close(); w.Close() })
	return w
}

func mustStart(t *testing.T, cmd *exec.Cmd) <-chan error {
	t.Helper()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return ended
}

// within fails the test if the process doesn't end. Processes have the real time, not that
// of a bubble of synctest; the bound is far more than any takes.
func within(t *testing.T, ended <-chan error, what string) error {
	t.Helper()
	select {
	case err := <-ended:
		return err
	case <-time.After(30 * time.Second):
		t.Fatalf("%s: it did not end in 30 s", what)
		return nil
	}
}

// gokexec capture saves all, and ends, although nobody reads its messages, or their
// reader has gone away.
func TestCaptureUnheard(t *testing.T) {
	gone := func(t *testing.T) *os.File {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		t.Cleanup(func() { w.Close() })
		return w
	}
	for name, stderr := range map[string]func(*testing.T) *os.File{"full pipe": fullPipe, "closed pipe": gone} {
		for _, action := range []string{"", "--failure-action=none"} {
			t.Run(name+" "+action, func(t *testing.T) {
				into := t.TempDir()
				argv := []string{"capture", "--source", savedDump(t), "dir:" + into}
				if action != "" {
					argv = append(argv, action)
				}
				cmd := process(t, argv...)
				cmd.Stderr = stderr(t)
				if err := within(t, mustStart(t, cmd), "capture"); err != nil {
					t.Errorf("capture: %v", err)
				}
				if found, _ := filepath.Glob(into + "/*/" + capture.VMCoreName); len(found) != 1 {
					t.Errorf("there is %q; want a %s", found, capture.VMCoreName)
				}
			})
		}
	}
}

// SIGINT and SIGTERM end what is blocked, in open(2) too.
func TestInterrupted(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, sig := range []syscall.Signal{unix.SIGINT, unix.SIGTERM} {
		for _, argv := range [][]string{{"vmcore-dmesg", fifo}, {"capture", "--source", fifo, "dir:" + t.TempDir()}} {
			t.Run(sig.String()+" "+argv[0], func(t *testing.T) {
				cmd := process(t, argv...)
				ended := mustStart(t, cmd)
				waitBlocked(t, cmd.Process.Pid)
				if err := cmd.Process.Signal(sig); err != nil {
					t.Fatal(err)
				}
				err := within(t, ended, argv[0])
				var exit *exec.ExitError
				if !errors.As(err, &exit) {
					t.Fatalf("%s: %v; want a failure", argv[0], err)
				}
				status := exit.Sys().(syscall.WaitStatus)
				if orderly := argv[0] == "capture"; orderly != status.Exited() || !orderly && status.Signal() != sig {
					t.Errorf("%s ended by %v; want the signal, or a failure of its own where it ends in order", argv[0], exit)
				}
			})
		}
	}
}

// waitBlocked waits until a thread of a process is in an open(2) of a FIFO.
func waitBlocked(t *testing.T, pid int) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/syscall", pid))
		for _, thread := range threads {
			text, _ := os.ReadFile(thread)
			if strings.HasPrefix(string(text), fmt.Sprint(unix.SYS_OPENAT, " ")) {
				return
			}
		}
	}
	t.Fatal("it does not block in open")
}

// container makes a process the first one of a container.
func container() *syscall.SysProcAttr { return namespaces(unix.CLONE_NEWPID) }

// namespaces gives a process namespaces of its own, in which this user is root.
func namespaces(flags uintptr) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | flags,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
}

// The kernel spares the first process of a container a signal's default action.
func TestInterruptedInContainer(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := process(t, "vmcore-dmesg", fifo)
	cmd.SysProcAttr = container()
	if err := cmd.Start(); err != nil {
		t.Skipf("no namespaces for this user: %v", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	waitBlocked(t, cmd.Process.Pid)
	if err := cmd.Process.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = within(t, ended, "vmcore-dmesg in a container")
	if code := cmd.ProcessState.ExitCode(); code != 128+int(unix.SIGTERM) {
		t.Errorf("exit code %d; want %d", code, 128+int(unix.SIGTERM))
	}
}

// As the first process of a container gokexec is the command it was called for.
func TestFirstProcessOfContainer(t *testing.T) {
	dump := savedDump(t)
	for _, argv := range [][]string{{"dmesg", dump}, {"version"}, {}} {
		outside := process(t, argv...)
		inside := process(t, argv...)
		inside.SysProcAttr = container()
		var want, got bytes.Buffer
		outside.Stdout, outside.Stderr, inside.Stdout, inside.Stderr = &want, &want, &got, &got
		_ = outside.Run()
		if err := inside.Run(); errors.Is(err, unix.EPERM) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSPC) {
			t.Skipf("no namespaces for this user: %v", err)
		}
		if inside.ProcessState.ExitCode() != outside.ProcessState.ExitCode() || got.String() != want.String() || want.Len() == 0 {
			t.Errorf("gokexec %q in a container: %v\n%s\nwant what it does elsewhere: %v\n%s", argv, inside.ProcessState, &got, outside.ProcessState, &want)
		}
	}
}

// placed is a system of which nothing may be asked but its place: all else panics.
type placed struct {
	capture.System
	place capture.Place
}

func (p placed) Place() capture.Place { return p.place }

func TestFirstProcess(t *testing.T) {
	type outcome struct {
		execs  []string
		exit   int
		waited time.Duration
	}
	play := func(place capture.Place, said *strings.Builder) (o outcome) {
		firstProcess(placed{place: place}, otherInit{
			argv: []string{"/usr/sbin/gokexec", "single"},
			say:  func(line string) { said.WriteString(line + "\n") },
			exec: func(path string, argv []string) error {
				o.execs = append(o.execs, path+" "+strings.Join(argv[1:], " "))
				return unix.ENOEXEC
			},
			wait: func(d time.Duration) { o.waited += d },
			exit: func(code int) { o.exit = code },
		})
		return o
	}
	var said strings.Builder
	if got := play(capture.Elsewhere, &said); len(got.execs) > 0 || got.exit != 0 || said.Len() > 0 {
		t.Errorf("in a container: %+v, %q; want nothing done", got, said.String())
	}
	got := play(capture.OtherKernel, &said)
	for _, path := range []string{"/init", "/sbin/init", "/etc/init", "/bin/init"} {
		if _, err := os.Stat(path); (err == nil) != slices.Contains(got.execs, path+" single") {
			t.Errorf("inits tried: %q; want %s if it is there", got.execs, path)
		}
	}
	if !strings.Contains(said.String(), "it was not started by a panic") || !strings.Contains(said.String(), "hint: ") || got.exit != exitFailure || got.waited < time.Second {
		t.Errorf("%+v, said %q; want the reason, time to read it, and an end", got, said.String())
	}
}

func TestNamesCommand(t *testing.T) {
	for argv, want := range map[string]bool{
		"/init": false, "/init single reload": false, "/usr/sbin/gokexec": false, "/usr/sbin/gokexec splash": false,
		"gokexec dmesg FILE": true, "/gokexec help": true, "gokexec --version": true, "/sbin/kexec -p": true, "vmcore-dmesg FILE": true, "gokexec kexec -e": true, "": false,
	} {
		if got := namesCommand(strings.Fields(argv)); got != want {
			t.Errorf("namesCommand(%q) = %v; want %v", argv, got, want)
		}
	}
}

// actions is a system that can only end.
type actions struct {
	capture.System
	done []string
}

func (a *actions) Sync() { a.done = append(a.done, "sync") }
func (a *actions) Reboot(action capture.Action) error {
	a.done = append(a.done, string(action))
	return nil
}

// The action comes although the child hangs in the kernel, dies, or never starts.
func TestCaptureLookedAfter(t *testing.T) {
	shell := func(script string) *exec.Cmd { return exec.Command("/bin/sh", "-c", script) }
	zombie := exec.Command(os.Args[0])
	zombie.Env = append(os.Environ(), zombieVar+"=1")
	tests := []struct {
		name  string
		child *exec.Cmd
		flags actionFlags
		code  int
		done  string
		says  string
	}{
		{"saved", shell("exit 0"), actionFlags{final: "poweroff", failure: "reboot"}, 0, "sync poweroff", ""},
		{"saved without a log", shell("exit 5"), actionFlags{final: "poweroff", failure: noAction}, 5, "sync poweroff", ""},
		{"saved, no action", shell("exit 0"), actionFlags{final: noAction, failure: "reboot"}, 0, "", ""},
		{"failed", shell("exit 4"), actionFlags{final: noAction, failure: "halt"}, 4, "sync halt", ""},
		{"failed, no action", shell("exit 1"), actionFlags{final: "reboot", failure: noAction}, 1, "", ""},
		{"killed", shell("kill -9 $$"), actionFlags{final: noAction, failure: "reboot"}, 1, "sync reboot", "ended early"},
		{"no such program", exec.Command("/nonexistent"), actionFlags{final: noAction, failure: "reboot"}, 1, "sync reboot", "nonexistent"},
		{"hangs", zombie, actionFlags{final: noAction, failure: "reboot"}, 3, "sync reboot", "hangs in the kernel"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var said bytes.Buffer
			sys, out := &actions{}, capture.NewConsole(io.Writer(&said))
			a := &actor{actionFlags: tt.flags, sys: sys, out: out, proc: "/proc"}
			err := a.supervise(context.Background(), tt.child)
			out.Close(messageTimeout)
			var exit *exitError
			if !errors.As(err, &exit) || exit.code != tt.code || exit.err != nil {
				t.Errorf("lookAfter: %v; want exit code %d", err, tt.code)
			}
			if got := strings.Join(sys.done, " "); got != tt.done || !strings.Contains(said.String(), tt.says) {
				t.Errorf("done: %q, said %q; want %q, %q", got, &said, tt.done, tt.says)
			}
			if tt.child == zombie {
				_ = zombie.Process.Kill()
			}
		})
	}
}
