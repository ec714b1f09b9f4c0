// Command agent is the init of a VM laboratory's guest (see package vmlab).
//
// As PID 1 it mounts the usual filesystems, loads the modules that came with
// it, starts itself once more as the server of the control channel, reaps
// orphans, and starts the server again should it ever die: whatever a test does
// to the guest, the host gets an answer or a reason.
package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Set for the server: how often it has been started before.
const restartVar = "LAB_RESTART"

// Set for the server: what went wrong in PID 1, one per line.
const warningsVar = "LAB_WARNINGS"

func main() {
	if os.Getpid() == 1 {
		initMain()
	}
	fmt.Fprintln(os.Stderr, "lab: server:", serverMain())
	os.Exit(1)
}

// initMain is PID 1; it never returns.
func initMain() {
	// PID 1 without these would die of a stray ^C or SIGTERM on the console.
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	var warnings []string
	warn := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, "lab:", err)
			warnings = append(warnings, strings.ReplaceAll(err.Error(), "\n", " "))
		}
	}
	rooted := os.Getenv(rootedVar) != ""
	if !rooted {
		mountAll(warn)
	}
	os.Setenv("PATH", "/bin:/sbin:/usr/bin:/usr/sbin")
	os.Setenv("HOME", "/root")
	os.Setenv("TERM", "dumb")
	loadModules(warn)
	if device := rootDevice(); device != "" && !rooted {
		fmt.Fprintln(os.Stderr, "lab: start from", device+":", switchRoot(device))
		for {
			time.Sleep(time.Hour) // the console has said why
		}
	}
	// Planted pages have to stay where they were said to be. A kernel without the
	// file has no compaction.
	if err := os.WriteFile("/proc/sys/vm/compact_unevictable_allowed", []byte("0"), 0); !errors.Is(err, fs.ErrNotExist) {
		warn(err)
	}
	warn(os.WriteFile("/proc/sys/kernel/sysrq", []byte("1"), 0))

	for restart := 0; ; restart++ {
		server := exec.Command("/proc/self/exe")
		server.Stdout, server.Stderr = os.Stderr, os.Stderr
		server.Env = append(os.Environ(), restartVar+"="+strconv.Itoa(restart),
			warningsVar+"="+strings.Join(warnings, "\n"))
		server.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if err := server.Start(); err != nil {
			fmt.Fprintln(os.Stderr, "lab: start server:", err)
			time.Sleep(time.Second)
			continue
		}
		status := reapUntil(server.Process.Pid)
		warnings = append(warnings, fmt.Sprintf("the server ended: %s", status))
		fmt.Fprintln(os.Stderr, "lab: the server ended:", status)
		time.Sleep(100 * time.Millisecond)
	}
}

// reapUntil reaps children, and orphans that became ours, until pid is among
// them.
func reapUntil(pid int) string {
	for {
		var status unix.WaitStatus
		got, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return err.Error()
		case got == pid && status.Signaled():
			return "killed by " + status.Signal().String()
		case got == pid:
			return fmt.Sprintf("exit status %d", status.ExitStatus())
		}
	}
}

func mountAll(warn func(error)) {
	mounts := []struct{ fstype, target, data string }{
		{"devtmpfs", "/dev", ""},
		{"proc", "/proc", ""},
		{"sysfs", "/sys", ""},
		{"tmpfs", "/run", "mode=0755"},
		{"tmpfs", "/tmp", "mode=1777"},
		{"devpts", "/dev/pts", ""},
		{"tmpfs", "/dev/shm", "mode=1777"},
		{"securityfs", "/sys/kernel/security", ""},
		{"debugfs", "/sys/kernel/debug", ""},
		{"tracefs", "/sys/kernel/tracing", ""},
		{"configfs", "/sys/kernel/config", ""},
		{"efivarfs", "/sys/firmware/efi/efivars", ""},
		{"cgroup2", "/sys/fs/cgroup", ""},
	}
	for _, m := range mounts {
		optional := strings.HasPrefix(m.target, "/sys/") || strings.HasPrefix(m.target, "/dev/")
		if err := os.MkdirAll(m.target, 0o755); err != nil && optional {
			continue // this kernel doesn't have it
		}
		err := unix.Mount(m.fstype, m.target, m.fstype, 0, m.data)
		if err != nil && err != unix.EBUSY && !optional {
			warn(fmt.Errorf("mount %s: %w", m.target, err))
		}
	}
	for link, target := range map[string]string{
		"/dev/fd": "/proc/self/fd", "/dev/stdin": "/proc/self/fd/0",
		"/dev/stdout": "/proc/self/fd/1", "/dev/stderr": "/proc/self/fd/2",
	} {
		if _, err := os.Lstat(link); err != nil {
			warn(os.Symlink(target, link))
		}
	}
}

// loadModules loads what /lab/modules lists, one path a line, in that order.
func loadModules(warn func(error)) {
	list, err := os.ReadFile("/lab/modules")
	if err != nil {
		return // none are needed
	}
	for path := range strings.Lines(string(list)) {
		if path = strings.TrimSpace(path); path != "" {
			warn(insmod(path))
		}
	}
}

func insmod(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.FinitModule(int(f.Fd()), "", 0); err != nil && err != unix.EEXIST {
		return fmt.Errorf("load module %s: %w", path, err)
	}
	return nil
}
