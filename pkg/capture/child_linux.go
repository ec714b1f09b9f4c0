package capture

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// childGrace is how long a child that was killed may take to end, and its output to be read.
const childGrace = 5 * time.Second

// firstVictim is the oom_score_adj of what the kernel takes memory from first (proc(5)).
const firstVictim = "1000"

// RunChild implements Process.
func (s *linuxProcess) RunChild(c Child) error {
	null, err := os.OpenFile(os.DevNull, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	if s.alone() {
		// What PID 1 starts inherits it; the kernel never kills PID 1 itself (mm/oom_kill.c, oom_unkillable_task).
		preferAsVictim("self")
		// What is written to the root of an initramfs is memory that nobody gets back.
		if !c.Own && unix.Mount("", "/", "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, "") == nil {
			defer func() { _ = unix.Mount("", "/", "", unix.MS_REMOUNT|unix.MS_BIND, "") }()
		}
	}
	pid, ended, err := s.start(append([]string{c.Path}, c.Args...), &os.ProcAttr{Env: c.Env, Dir: "/", Files: []*os.File{null, w, w}, Sys: &syscall.SysProcAttr{Setsid: true}})
	w.Close()
	if err != nil {
		return err
	}
	preferAsVictim(strconv.Itoa(pid))
	printed := make(chan struct{})
	go func() {
		defer close(printed)
		_, _ = io.Copy(c.Output, r)
	}()
	timer := time.NewTimer(c.Limit)
	defer timer.Stop()
	late := error(nil)
	var status unix.WaitStatus
	select {
	case status = <-ended:
		s.killChild(pid, c.Own)
	case <-timer.C:
		s.killChild(pid, c.Own)
		late = fmt.Errorf("killed after %v, its time limit", c.Limit)
		select {
		case <-ended:
		case <-time.After(childGrace):
			late = fmt.Errorf("%w, and it has not ended: it hangs in the kernel", late)
		}
	}
	// A process that got away may still have the pipe.
	select {
	case <-printed:
	case <-time.After(childGrace):
		r.Close()
		<-printed
	}
	switch {
	case late != nil:
		return late
	case status.Signaled():
		return fmt.Errorf("killed by signal %d (%v)", int(status.Signal()), status.Signal())
	case status.ExitStatus() != 0:
		return fmt.Errorf("exit code %d", status.ExitStatus())
	}
	return nil
}

// alone reports whether this process is the init of its machine, and so nobody's business but its own runs there.
func (s *linuxProcess) alone() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.init && os.Getpid() == 1
}

// killChild kills the children's process group; and, in a capture kernel, every other process (kill(2), -1): all are
// the child's, but for those of ours.
func (s *linuxProcess) killChild(pid int, own bool) {
	if pid > 1 {
		_ = unix.Kill(-pid, unix.SIGKILL)
	}
	if !own && s.alone() {
		_ = unix.Kill(-1, unix.SIGKILL)
	}
}

func preferAsVictim(process string) {
	_ = os.WriteFile("/proc/"+process+"/oom_score_adj", []byte(firstVictim), 0)
}

// start starts a program. What it ended with arrives in the channel.
func (s *linuxProcess) start(argv []string, attr *os.ProcAttr) (int, <-chan unix.WaitStatus, error) {
	ended := make(chan unix.WaitStatus, 1)
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := os.StartProcess(argv[0], argv, attr)
	if err != nil {
		return 0, nil, err
	}
	pid := p.Pid // which Release takes away
	if s.init {
		s.children[pid] = ended
		return pid, ended, p.Release()
	}
	go func() {
		state, err := p.Wait()
		status := unix.WaitStatus(0)
		if err == nil {
			status = unix.WaitStatus(state.Sys().(syscall.WaitStatus))
		} else if !errors.Is(err, os.ErrProcessDone) {
			status = unix.WaitStatus(1 << 8)
		}
		ended <- status
	}()
	return pid, ended, nil
}
