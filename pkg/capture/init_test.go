package capture

import (
	"context"
	"errors"
	"io"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

const goodConfig = `{"targets":[{"type":"raw","device":"/dev/disk"}],"final_action":"poweroff","failure_action":"halt"}`

// keepLimits puts the runtime's limits back, which Init changes.
func keepLimits(t *testing.T) {
	limit, gc := debug.SetMemoryLimit(-1), debug.SetGCPercent(100)
	t.Cleanup(func() { debug.SetMemoryLimit(limit); debug.SetGCPercent(gc) })
}

// newInitSystem is a capture kernel that can do everything.
func newInitSystem(t *testing.T, config string) *fakeSystem {
	t.Helper()
	s := newFakeSystem(t)
	s.file(t, VMCorePath, string(testVMCore(t)))
	s.device(t, "disk", 8<<20)
	s.file(t, "/sys/class/tty/console/active", "tty0 ttyS0\n")
	s.file(t, "/proc/sysrq-trigger", "")
	if config != "" {
		s.file(t, ConfigPath, config)
	}
	return s
}

func TestInit(t *testing.T) {
	keepLimits(t)
	hang := func(ctx context.Context, _ io.Writer) error { <-ctx.Done(); return ctx.Err() }
	nothing := func(*fakeSystem, *testing.T) {}
	tests := []struct {
		name    string
		config  string
		prepare func(*fakeSystem, *testing.T)
		modules func(context.Context, io.Writer) error
		action  Action
		exit    int
		want    []string // events
		output  string   // in what is shown
	}{
		{"whole", goodConfig, nothing, nil, Poweroff, ExitComplete, []string{"sync", "do poweroff"}, "complete: "},
		{"no configuration", "", nothing, nil, Reboot, ExitUsage, []string{"do reboot"}, "open /etc/gokexec/capture.json: no such file"},
		{"bad configuration", `{"targets":[],"x":1}`, nothing, nil, Reboot, ExitUsage, []string{"do reboot"}, `unknown field "x"`},
		{"directory target", `{"targets":[{"type":"directory","path":"/x"}],"failure_action":"poweroff"}`, nothing, nil, Poweroff, ExitUsage, []string{"do poweroff"}, "is in memory in an initramfs"},
		{"no vmcore", goodConfig, func(s *fakeSystem, t *testing.T) { os.Remove(s.path(VMCorePath)) }, nil, Halt, ExitFailed, []string{"do halt"}, "was not started by a crash"},
		{"garbage vmcore", goodConfig, func(s *fakeSystem, t *testing.T) { s.file(t, VMCorePath, strings.Repeat("x", 5000)) }, nil, Halt, ExitFailed, []string{"do halt"}, "not an ELF core"},
		{"no device", goodConfig, func(s *fakeSystem, t *testing.T) { os.Remove(s.path("/dev/disk")) }, nil, Halt, ExitFailed, []string{"do halt"}, "did not appear within 1m0s"},
		{"device comes late", goodConfig, func(s *fakeSystem, t *testing.T) {
			os.Rename(s.path("/dev/disk"), s.path("/dev/later"))
			time.AfterFunc(59*time.Second, func() { os.Rename(s.path("/dev/later"), s.path("/dev/disk")) })
		}, nil, Poweroff, ExitComplete, []string{"do poweroff"}, "complete: "},
		{"disk too small", goodConfig, func(s *fakeSystem, t *testing.T) {
			s.device(t, "disk", 2<<20)
			s.file(t, "/proc/cmdline", "root=x gokexec.format=elf gokexec.dump_level=0\n")
		}, nil, Halt, ExitIncomplete, []string{"do halt"}, "no space left"},
		{"unreadable page", goodConfig, func(s *fakeSystem, t *testing.T) {
			s.faults[VMCorePath] = &fault{read: func(offset, length int64) error {
				if offset <= 2<<20 && 2<<20 < offset+length {
					return syscall.EIO
				}
				return nil
			}}
		}, nil, Poweroff, ExitIncomplete, []string{"do poweroff"}, "1 pages could not be read"},
		{"disk hangs", goodConfig, func(s *fakeSystem, t *testing.T) {
			hang := make(chan struct{})
			s.faults["/dev/disk"] = &fault{hang: hang}
			time.AfterFunc(time.Hour, func() { close(hang) })
		}, nil, Halt, ExitLogOnly, []string{"do halt"}, "no progress for 5m0s"},
		{"modules fail", goodConfig, nothing, func(context.Context, io.Writer) error { return errors.New("nvme: bad format") }, Poweroff, ExitComplete, []string{"do poweroff"}, "nvme: bad format"},
		{"modules hang", goodConfig, nothing, func(ctx context.Context, _ io.Writer) error { time.Sleep(time.Hour); return nil }, Poweroff, ExitComplete, []string{"do poweroff"}, "load modules: no progress for 2m0s"},
		{"modules panic", goodConfig, nothing, func(context.Context, io.Writer) error { panic("planted") }, Poweroff, ExitComplete, []string{"do poweroff"}, "internal error: planted"},
		{"panic early", goodConfig, func(s *fakeSystem, t *testing.T) { s.panicIn = "Mount" }, nil, Reboot, ExitFailed, []string{"do reboot"}, ""},
		{"panic late", goodConfig, func(s *fakeSystem, t *testing.T) { s.panicIn = "Sync" }, hang, Poweroff, ExitComplete, []string{"do poweroff"}, "sync: internal error: planted in Sync"},
		{"nothing mounts", goodConfig, func(s *fakeSystem, t *testing.T) {
			s.mountErr["proc"], s.mountErr["sysfs"], s.mountErr["devtmpfs"] = syscall.EBUSY, syscall.EBUSY, syscall.ENODEV
		}, nil, Poweroff, ExitComplete, []string{"do poweroff"}, "mount devtmpfs: no such device"},
		{"no console", goodConfig, func(s *fakeSystem, t *testing.T) { s.consoleErr[consolePath] = syscall.ENODEV }, nil, Poweroff, ExitComplete, []string{"console /dev/kmsg", "do poweroff"}, "complete: "},
		{"no console at all", goodConfig, func(s *fakeSystem, t *testing.T) {
			s.consoleErr[consolePath], s.consoleErr[kmsgPath] = syscall.ENODEV, syscall.ENODEV
		}, nil, Poweroff, ExitComplete, []string{"do poweroff"}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newInitSystem(t, tt.config)
			synctest.Test(t, func(t *testing.T) {
				tt.prepare(s, t)
				end := Init(InitOptions{System: s, Version: "v1", LoadModules: tt.modules})
				if end.Action != tt.action || end.ExitCode != tt.exit || end.Err != nil {
					t.Errorf("Init = %+v; want %s, exit %d", end, tt.action, tt.exit)
				}
				for _, e := range tt.want {
					if !s.has(e) {
						t.Errorf("events %q; want %q", s.events, e)
					}
				}
				if last := s.events[len(s.events)-1]; last != "do "+string(tt.action) {
					t.Errorf("last event = %q; want the action", last)
				}
				if got := s.output(); !strings.Contains(got, tt.output) {
					t.Errorf("shown:\n%s\nwant %q in it", got, tt.output)
				}
				// What was left hanging ends before the test does.
				time.Sleep(2 * time.Hour)
			})
		})
	}
}

func TestInitPrepares(t *testing.T) {
	keepLimits(t)
	s := newInitSystem(t, goodConfig)
	Init(InitOptions{System: s})
	want := []string{"init", "mount proc /proc proc ", "mount sysfs /sys sysfs ", "mount devtmpfs /dev devtmpfs ", "console /dev/console"}
	if len(s.events) < len(want) || !slices.Equal(s.events[:len(want)], want) {
		t.Errorf("events = %q; want %q first", s.events, want)
	}
	if got := string(mustRead(t, s.path("/proc/sys/kernel/panic"))); !strings.HasPrefix(got, panicSeconds) {
		t.Errorf("kernel.panic = %q; want %s", got, panicSeconds)
	}
	if got, want := debug.SetMemoryLimit(-1), int64(5000000<<10)/10*6; got != want {
		t.Errorf("memory limit = %d; want %d", got, want)
	}
}

// TestInitElsewhere: a process that isn't the init of a capture kernel must touch nothing.
func TestInitElsewhere(t *testing.T) {
	for _, place := range []Place{Elsewhere, OtherKernel} {
		s := newInitSystem(t, goodConfig)
		s.place = place
		if end := Init(InitOptions{System: s}); !errors.Is(end.Err, ErrNotInit) || end.ExitCode != ExitUsage || end.Action != "" || len(s.events) != 0 {
			t.Errorf("Init = %+v, events %q; want ErrNotInit and nothing done", end, s.events)
		}
	}
	if place := NewSystem().Place(); place != Elsewhere {
		t.Errorf("the place of a test = %v; want %v", place, Elsewhere)
	}
}

func TestInitShell(t *testing.T) {
	keepLimits(t)
	config := func(final, failure Action) string {
		return `{"targets":[{"type":"raw","device":"/dev/disk"}],"final_action":"` + string(final) + `","failure_action":"` + string(failure) + `"}`
	}
	tests := []struct {
		name     string
		config   string
		shell    string
		shellErr error
		want     string // the last two events
	}{
		{"none", config(Shell, Halt), "", nil, "sync, do halt"},
		{"sh", config(Shell, Halt), "/bin/sh", nil, "shell /bin/sh on /dev/ttyS0, do halt"},
		{"busybox", config(Shell, Poweroff), "/bin/busybox", nil, "shell /bin/busybox sh on /dev/ttyS0, do poweroff"},
		{"twice", config(Shell, Shell), "/bin/sh", nil, "shell /bin/sh on /dev/ttyS0, do reboot"},
		{"fails", config(Shell, Poweroff), "/bin/sh", syscall.ENOEXEC, "shell /bin/sh on /dev/ttyS0, do poweroff"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newInitSystem(t, tt.config)
			s.shellErr = tt.shellErr
			if tt.shell != "" {
				s.file(t, tt.shell, "")
			}
			end := Init(InitOptions{System: s})
			if end.ExitCode != ExitComplete {
				t.Errorf("exit code = %d", end.ExitCode)
			}
			if got := strings.Join(s.events[len(s.events)-2:], ", "); got != tt.want {
				t.Errorf("events end with %q; want %q", got, tt.want)
			}
		})
	}
}

// TestInitRebootFails: then sysrq, and at last a return that can be told.
func TestInitRebootFails(t *testing.T) {
	keepLimits(t)
	for config, key := range map[string]string{goodConfig: "o", strings.Replace(goodConfig, "poweroff", "reboot", 1): "b"} {
		s := newInitSystem(t, config)
		s.rebootErr = syscall.EPERM
		synctest.Test(t, func(t *testing.T) {
			end := Init(InitOptions{System: s})
			if !errors.Is(end.Err, syscall.EPERM) || end.ExitCode != ExitComplete {
				t.Errorf("Init = %+v; want EPERM", end)
			}
			if got := string(mustRead(t, s.path("/proc/sysrq-trigger"))); got != key {
				t.Errorf("sysrq-trigger got %q; want %q", got, key)
			}
			if !strings.Contains(s.output(), "exiting, so that the kernel panics") {
				t.Errorf("shown:\n%s", s.output())
			}
		})
	}
}

func TestIsScreen(t *testing.T) {
	for name, want := range map[string]bool{"/dev/tty0": true, "/dev/tty12": true, "/dev/ttyS0": false, "/dev/tty": false, "/dev/hvc0": false, consolePath: false} {
		if got := isScreen(name); got != want {
			t.Errorf("isScreen(%q) = %v; want %v", name, got, want)
		}
	}
}

// TestConsole: a console that takes nothing holds nobody up.
func TestConsole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stuck := make(chan struct{})
		c := NewConsole(writerFunc(func(p []byte) (int, error) { <-stuck; return len(p), nil }))
		start := time.Now()
		for range 3 * consoleBacklog {
			if n, err := c.Write([]byte("line\n")); n != 5 || err != nil {
				t.Fatalf("Write = %d, %v", n, err)
			}
		}
		c.Close(flushTimeout)
		if d := time.Since(start); d > flushTimeout {
			t.Errorf("it took %v; want at most %v", d, flushTimeout)
		}
		c.Write([]byte("after the end"))
		close(stuck)
	})
}
