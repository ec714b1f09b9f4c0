package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/pkg/capture"
)

// noAction means that the command just exits.
const noAction = "none"

// childVar tells a gokexec that it is the child of one that supervises it.
const childVar = "GOKEXEC_CAPTURE_CHILD"

// deadAfter is how long the first thread of a process may stay a zombie before the other
// threads count as hung.
const deadAfter = 2 * time.Second

// actionFlags are what capture does at its end, for the hooks of initramfs builders.
type actionFlags struct {
	final, failure string
	given          bool
}

func (a *actionFlags) declare(flags *pflag.FlagSet) {
	flags.StringVar(&a.final, "final-action", noAction, "`ACTION` when all is saved: reboot, poweroff, halt or none")
	flags.StringVar(&a.failure, "failure-action", noAction, "`ACTION` when not")
}

func (a *actionFlags) parse(flags *pflag.FlagSet) error {
	a.given = flags.Changed("final-action") || flags.Changed("failure-action")
	for _, o := range []struct{ name, value string }{{"final-action", a.final}, {"failure-action", a.failure}} {
		switch capture.Action(o.value) {
		case capture.Reboot, capture.Poweroff, capture.Halt, noAction:
		default:
			return usageError("--%s %q is not one of reboot, poweroff, halt, none", o.name, o.value)
		}
	}
	return nil
}

// of is the action after a capture.
func (a *actionFlags) of(saved bool) string {
	if saved {
		return a.final
	}
	return a.failure
}

// actor carries out a capture and its action.
type actor struct {
	actionFlags
	cfg  capture.Config
	sys  capture.System
	out  *capture.Console
	proc string // the procfs
}

// supervise runs the capture as a child, and carries out the action if the child died
// before. A thread that waits for a disk that stopped answering can't be killed, and
// waiting for its process would take for ever: so only supervise waits for the child, and
// it gives up.
func (a *actor) supervise(ctx context.Context, child *exec.Cmd) error {
	code, err := a.run(ctx, child)
	if err != nil {
		fmt.Fprintf(a.out, "gokexec: capture: %v\n", err)
	}
	return &exitError{code: code, err: a.end(code == capture.ExitComplete || code == capture.ExitNoLog)}
}

// end carries out the action. It returns if there is none or if it failed.
func (a *actor) end(saved bool) error {
	action := a.of(saved)
	if action == noAction {
		return nil
	}
	return capture.End(a.sys, a.cfg, capture.Action(action), a.out)
}

// run waits for the child's end, or for its first thread's, and gives the exit code.
func (a *actor) run(ctx context.Context, child *exec.Cmd) (int, error) {
	if err := child.Start(); err != nil {
		return capture.ExitFailed, err
	}
	ended := make(chan error, 1)
	go func() { ended <- child.Wait() }()
	stop := context.AfterFunc(ctx, func() { _ = child.Process.Signal(unix.SIGTERM) })
	defer stop()
	tick := time.NewTicker(deadAfter / 10)
	defer tick.Stop()
	for zombie := time.Duration(0); ; {
		select {
		case err := <-ended:
			var exit *exec.ExitError
			if err == nil || errors.As(err, &exit) && exit.Exited() {
				return child.ProcessState.ExitCode(), nil
			}
			return capture.ExitFailed, fmt.Errorf("it ended early: %w", err)
		case <-tick.C:
			code, dead := zombieCode(filepath.Join(a.proc, strconv.Itoa(child.Process.Pid), "stat"))
			if zombie += deadAfter / 10; !dead {
				zombie = 0
			}
			if zombie >= deadAfter {
				return code, fmt.Errorf("%w: a process that it left hangs in the kernel", capture.ErrStalled)
			}
		}
	}
}

// zombieCode is the exit code in a stat file of procfs, if the process's first thread
// has ended (proc_pid_stat(5), fields 3 and 52).
func zombieCode(stat string) (code int, dead bool) {
	b, err := os.ReadFile(stat)
	if err != nil {
		return 0, false
	}
	fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	if len(fields) < 50 || fields[0] != "Z" {
		return 0, false
	}
	status, err := strconv.ParseUint(fields[49], 10, 32)
	if err != nil || !unix.WaitStatus(status).Exited() {
		return capture.ExitFailed, true
	}
	return unix.WaitStatus(status).ExitStatus(), true
}

// captureChild is this program again, with the same arguments.
func captureChild() *exec.Cmd {
	child := exec.Command(selfExecutable, os.Args[1:]...)
	child.Stdin, child.Stdout, child.Stderr = os.Stdin, os.Stdout, os.Stderr
	child.Env = append(os.Environ(), childVar+"=1")
	return child
}
