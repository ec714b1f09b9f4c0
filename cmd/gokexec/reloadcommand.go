package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/hotplug"
)

const (
	// reloadTimeout is how long a --reload-command may take by default.
	reloadTimeout = 5 * time.Minute

	// reloadGrace is how long its processes may take to end by SIGTERM.
	reloadGrace = 10 * time.Second
)

// errTimeout says that a command was ended because it took too long.
var errTimeout = errors.New("it took too long")

// runReloadCommand runs a distribution's own loader. The command inherits the reload lock,
// so that no second one starts if this process is killed. When the time is up or ctx
// ends, its whole process group is ended.
func (e *env) runReloadCommand(ctx context.Context, command string, timeout time.Duration, a hotplug.Attempt) error {
	withPath()
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("%w: --reload-timeout is %v", errTimeout, timeout))
	defer cancel()
	cmd := exec.Command("/bin/sh", "-c", command)
	// Through this process: the command must not wait for whoever reads our stderr.
	out := struct{ io.Writer }{e.stderr}
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Env = append(os.Environ(), lockVar+"=held")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = time.Second // for processes that it leaves in the background
	if f := a.Lock.File(); f != nil {
		cmd.ExtraFiles = []*os.File{f}
	}
	err := cmd.Start()
	if err == nil {
		err = endInTime(ctx, cmd, reloadGrace)
	}
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil
	}
	switch {
	case errors.Is(err, errTimeout):
		return &advice.Problem{What: fmt.Sprintf("--reload-command %q was ended: %v", command, err), Hint: "run it by hand and see what it waits for, or raise --reload-timeout", Err: err}
	case err != nil:
		return &advice.Problem{What: fmt.Sprintf("--reload-command %q: %v", command, err), Hint: "run it by hand and see what it says", Err: err}
	}
	return nil
}

// endInTime waits for a command that leads a process group. When ctx ends, so does the
// group: by SIGTERM, and what is left after grace by SIGKILL.
func endInTime(ctx context.Context, cmd *exec.Cmd, grace time.Duration) error {
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	group := -cmd.Process.Pid
	_ = unix.Kill(group, unix.SIGTERM)
	for began := time.Now(); time.Since(began) < grace && unix.Kill(group, 0) == nil; {
		time.Sleep(10 * time.Millisecond)
	}
	_ = unix.Kill(group, unix.SIGKILL) // ESRCH if none is left
	select {
	case <-ended:
	case <-time.After(grace): // a process that hangs in the kernel is left
	}
	return context.Cause(ctx)
}
