package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/remote"
)

// remoteProgram finds gokexec-remote: beside this program, or in the directory of programs that are not called by people.
func (e *env) remoteProgram() (string, error) {
	if e.remote != "" {
		return e.remote, nil
	}
	self, err := os.Readlink(selfExecutable)
	if err != nil {
		return "", err
	}
	tried := []string{filepath.Join(filepath.Dir(self), remote.ProgramName), filepath.Join(filepath.Dir(self), "../lib/gokexec", remote.ProgramName), "/usr/lib/gokexec/" + remote.ProgramName}
	for _, name := range tried {
		if info, err := os.Stat(name); err == nil && info.Mode().IsRegular() {
			return name, nil
		}
	}
	return "", &advice.Problem{What: "there is no " + remote.ProgramName + ", which has the network, in " + strings.Join(tried, ", "), Hint: "make install, and the packages, install it"}
}

// remoteError is what gokexec-remote said when it failed.
type remoteError struct {
	code int
	said string
}

func (r *remoteError) Error() string { return r.said }

// runRemote runs a command of gokexec-remote. What it says before its last lines goes to standard error at once; an error
// has those, and its hint.
func (e *env) runRemote(ctx context.Context, job *remote.Job, in io.Reader, out io.Writer, args ...string) error {
	program, err := e.remoteProgram()
	if err != nil {
		return err
	}
	c := exec.CommandContext(ctx, program, args...)
	c.Env = os.Environ()
	if job != nil {
		variable, err := job.Variable()
		if err != nil {
			return err
		}
		c.Env = append(c.Env, variable)
	}
	// It ends in an orderly fashion, and with this process.
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) }
	c.WaitDelay = 10 * time.Second
	said := &remote.Messages{Say: func(line string) { fmt.Fprintf(e.stderr, "gokexec: %s\n", line) }}
	c.Stdin, c.Stdout, c.Stderr = in, out, said
	err = c.Run()
	var exit *exec.ExitError
	if err == nil || !errors.As(err, &exit) {
		said.Flush()
		return err
	}
	message, hint := said.Last()
	if message == "" {
		return fmt.Errorf("%s %s: %w", remote.ProgramName, strings.Join(args, " "), err)
	}
	r := &remoteError{exit.ExitCode(), message}
	if ctx.Err() != nil {
		return errors.Join(ctx.Err(), r)
	}
	return &advice.Problem{What: message, Hint: hint, Err: r}
}
