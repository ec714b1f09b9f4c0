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
	"syscall"
	"time"

	"github.com/gokexec/gokexec/internal/vmlab/wire"
)

// program is one that is wanted, runs, or has just ended.
type program struct {
	started chan struct{} // closed when process is set, or never will be
	process *os.Process
}

func (s *server) expect(id uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.programs[id] = &program{started: make(chan struct{})}
}

// isStarted tells waiting signals the process; nil if there is none.
func (s *server) isStarted(id uint64, process *os.Process) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.programs[id]; process != nil {
		p.process = process
		close(p.started)
	} else {
		delete(s.programs, id)
		if p.process == nil {
			close(p.started)
		}
	}
}

func (s *server) run(id uint64, args wire.RunArgs) (*wire.RunResult, error) {
	defer s.isStarted(id, nil)
	if len(args.Argv) == 0 {
		return nil, errors.New("no program given")
	}
	ctx, cancel := context.WithCancel(context.Background())
	if args.Timeout > 0 {
		ctx, cancel = context.WithTimeout(context.Background(), args.Timeout)
	}
	defer cancel()
	cmd := exec.CommandContext(ctx, args.Argv[0], args.Argv[1:]...)
	cmd.Env = append(os.Environ(), args.Env...)
	cmd.Dir = args.Dir
	cmd.Stdin = bytes.NewReader(args.Stdin)
	if args.StdinPath != "" {
		f, err := os.Open(args.StdinPath)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		cmd.Stdin = f
	}
	cmd.Stdout, cmd.Stderr = s.output(id, "stdout"), s.output(id, "stderr")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	// A daemon that it left keeps the pipes open; it must not delay the answer.
	cmd.WaitDelay = time.Second

	began := time.Now()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	// The server's children must be killable when memory runs out.
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", cmd.Process.Pid), []byte("0"), 0)
	s.isStarted(id, cmd.Process)
	err := cmd.Wait()

	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) && !errors.Is(err, exec.ErrWaitDelay) && ctx.Err() == nil {
		return nil, err
	}
	result := &wire.RunResult{
		Code:     cmd.ProcessState.ExitCode(),
		TimedOut: errors.Is(ctx.Err(), context.DeadlineExceeded),
		Duration: time.Since(began),
		UserTime: cmd.ProcessState.UserTime(),
		SysTime:  cmd.ProcessState.SystemTime(),
	}
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		result.MaxRSS = int64(usage.Maxrss) << 10
	}
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		result.Signal = status.Signal().String()
	}
	return result, nil
}

func (s *server) signal(args wire.SignalArgs) error {
	s.mu.Lock()
	p := s.programs[args.Target]
	s.mu.Unlock()
	if p == nil {
		return os.ErrProcessDone
	}
	<-p.started
	s.mu.Lock()
	process := p.process
	s.mu.Unlock()
	switch {
	case process == nil:
		return os.ErrProcessDone
	case args.Group:
		return os.NewSyscallError("kill", syscall.Kill(-process.Pid, syscall.Signal(args.Signal)))
	}
	return process.Signal(syscall.Signal(args.Signal))
}

func writeFile(args wire.WriteArgs) error {
	flags := os.O_WRONLY
	mode := os.FileMode(args.Mode)
	if mode == 0 {
		mode = 0o644
	}
	if args.Create {
		if _, err := os.Lstat(args.Path); err != nil {
			if err := os.MkdirAll(filepath.Dir(args.Path), 0o755); err != nil {
				return err
			}
		}
		flags |= os.O_CREATE | os.O_TRUNC
	}
	f, err := os.OpenFile(args.Path, flags, mode)
	if err != nil {
		return err
	}
	if args.Offset == 0 {
		// write(2), not pwrite(2): some sysfs and all proc files know only that.
		_, err = f.Write(args.Data)
	} else {
		_, err = f.WriteAt(args.Data, args.Offset)
	}
	return errors.Join(err, f.Close())
}

func (s *server) readFile(id uint64, args wire.ReadArgs) error {
	f, err := os.Open(args.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	if args.Offset != 0 {
		if _, err := f.Seek(args.Offset, io.SeekStart); err != nil {
			return err
		}
	}
	var r io.Reader = struct{ io.Reader }{f} // plain read(2): no splice out of proc files
	if args.Length > 0 {
		r = io.LimitReader(r, args.Length)
	}
	_, err = io.CopyBuffer(struct{ io.Writer }{s.output(id, "data")}, r, make([]byte, wire.Chunk))
	return err
}
