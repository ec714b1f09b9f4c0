package capture

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// linuxProcess is the running process.
type linuxProcess struct {
	mu       sync.Mutex
	init     bool
	children map[int]chan unix.WaitStatus // those somebody waits for
}

func (*linuxProcess) Console(name string) (io.Writer, error) {
	f, err := os.OpenFile(name, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	for fd := range 3 {
		if err := unix.Dup3(int(f.Fd()), fd, 0); err != nil && int(f.Fd()) != fd {
			return nil, fmt.Errorf("dup %s to %d: %w", name, fd, err)
		}
	}
	return os.Stdout, nil
}

func (s *linuxProcess) BecomeInit() {
	// Caught, and nobody hears of them: what is ignored would be so in a child too.
	signal.Notify(make(chan os.Signal, 1), unix.SIGHUP, unix.SIGINT, unix.SIGTERM, unix.SIGPIPE, unix.SIGUSR1, unix.SIGUSR2)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.init {
		return
	}
	s.init = true
	s.children = make(map[int]chan unix.WaitStatus)
	ch := make(chan os.Signal, 1)
	signal.Notify(ch, unix.SIGCHLD)
	go func() {
		for range ch {
			s.reap()
		}
	}()
}

// reap collects every child that has ended.
func (s *linuxProcess) reap() {
	// Holding the lock keeps start from registering a child too late.
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, unix.WNOHANG, nil)
		if err == unix.EINTR {
			continue
		}
		if err != nil || pid <= 0 {
			return
		}
		if ch, ok := s.children[pid]; ok {
			delete(s.children, pid)
			ch <- status
		}
	}
}

func (s *linuxProcess) Shell(argv []string, terminal string) error {
	attr := &os.ProcAttr{
		Env: []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/", "TERM=linux"},
		Dir: "/", Files: []*os.File{os.Stdin, os.Stdout, os.Stderr},
		Sys: &syscall.SysProcAttr{Setsid: true},
	}
	// Job control wants a real terminal; /dev/console can't be a controlling one.
	if f, err := os.OpenFile(terminal, os.O_RDWR|unix.O_NOCTTY, 0); err == nil {
		defer f.Close()
		if _, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS); err == nil && terminal != consolePath {
			attr.Files = []*os.File{f, f, f}
			attr.Sys.Setctty = true
		}
	}
	_, ended, err := s.start(argv, attr)
	if err != nil {
		return err
	}
	<-ended
	return nil
}

func (*linuxProcess) Reboot(a Action) error {
	// Unsigned, as halt's magic number doesn't fit a 32-bit int.
	var cmd uint32 = unix.LINUX_REBOOT_CMD_RESTART
	switch a {
	case Poweroff:
		cmd = unix.LINUX_REBOOT_CMD_POWER_OFF
	case Halt:
		cmd = unix.LINUX_REBOOT_CMD_HALT
	}
	if err := unix.Reboot(int(cmd)); err != nil {
		return fmt.Errorf("reboot(%s): %w", a, err)
	}
	return nil
}
