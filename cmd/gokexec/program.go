package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"github.com/gokexec/gokexec/internal/printed"
)

// runner runs programs of the machine; a test has its own.
type runner interface {
	// run waits for a program and gives what it printed. An error has its last line on stderr.
	run(ctx context.Context, argv ...string) (stdout string, err error)
}

// maxProgramOutput bounds what is kept of a program's output, in bytes.
const maxProgramOutput = 1 << 20

type systemRunner struct{}

func (systemRunner) run(ctx context.Context, argv ...string) (string, error) {
	c := exec.CommandContext(ctx, argv[0], argv[1:]...)
	c.Env = append(os.Environ(), "LC_ALL=C", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
	if found, err := lookIn(argv[0]); err == nil {
		c.Path, c.Err = found, nil
	}
	// Its children are told too.
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGTERM) }
	out, errs := &printed.Buffer{Limit: maxProgramOutput}, &printed.Buffer{Limit: maxProgramOutput}
	c.Stdout, c.Stderr = out, errs
	err := c.Run()
	if err != nil {
		return out.String(), programError(argv, errs.String(), err)
	}
	return out.String(), nil
}

// lookIn finds a program where administrators have theirs, whatever PATH is.
func lookIn(name string) (string, error) {
	for _, dir := range []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"} {
		if found, err := exec.LookPath(dir + "/" + name); err == nil {
			return found, nil
		}
	}
	return "", exec.ErrNotFound
}

// programError says which command failed and what it said last.
func programError(argv []string, stderr string, err error) error {
	said := ""
	for line := range strings.Lines(stderr) {
		if line = strings.TrimSpace(line); line != "" {
			said = ": " + line
		}
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		said = "" // it did not run
	}
	return fmt.Errorf("%s: %w%s", strings.Join(argv, " "), err, said)
}
