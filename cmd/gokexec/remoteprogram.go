package main

import (
	"bytes"
	"context"
	"encoding/json"
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
	hint string
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
		b, err := json.Marshal(job)
		if err != nil {
			return err
		}
		c.Env = append(c.Env, remote.JobVariable+"="+string(b))
	}
	// It ends in an orderly fashion, and with this process.
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) }
	c.WaitDelay = 10 * time.Second
	said := &remoteMessages{to: e.stderr}
	c.Stdin, c.Stdout, c.Stderr = in, out, said
	err = c.Run()
	var exit *exec.ExitError
	if err == nil || !errors.As(err, &exit) {
		said.flush()
		return err
	}
	r := &remoteError{code: exit.ExitCode(), said: said.last, hint: said.hint}
	if r.said == "" {
		return fmt.Errorf("%s %s: %w", remote.ProgramName, strings.Join(args, " "), err)
	}
	if ctx.Err() != nil {
		return errors.Join(ctx.Err(), r)
	}
	return &advice.Problem{What: r.said, Hint: r.hint, Err: r}
}

// remoteMessages passes lines on, but for the last one and the hint after it, which become an error.
type remoteMessages struct {
	to         io.Writer
	line       []byte
	last, hint string
}

func (m *remoteMessages) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		i := bytes.IndexByte(rest, '\n')
		if i < 0 {
			m.line = append(m.line, rest...)
			break
		}
		m.take(string(append(m.line, rest[:i]...)))
		m.line, rest = nil, rest[i+1:]
	}
	return len(p), nil
}

func (m *remoteMessages) take(line string) {
	if hint, ok := strings.CutPrefix(line, "hint: "); ok {
		m.hint = hint
		return
	}
	m.flush()
	m.last = strings.TrimPrefix(line, remote.ProgramName+": ")
}

func (m *remoteMessages) flush() {
	if m.last != "" {
		fmt.Fprintf(m.to, "gokexec: %s\n", m.last)
	}
	m.last, m.hint = "", ""
}
