package capture

import (
	"io"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// StartHelper implements Process.
func (s *linuxProcess) StartHelper(argv, env []string, messages io.Writer) (*Helper, error) {
	var files []*os.File
	defer func() {
		for _, f := range files {
			f.Close()
		}
	}()
	inR, inW, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	files = append(files, inR)
	outR, outW, err := os.Pipe()
	if err != nil {
		inW.Close()
		return nil, err
	}
	files = append(files, outW)
	errR, errW, err := os.Pipe()
	if err != nil {
		inW.Close()
		outR.Close()
		return nil, err
	}
	files = append(files, errW)
	pid, ended, err := s.start(argv, &os.ProcAttr{Env: env, Dir: "/", Files: []*os.File{inR, outW, errW}, Sys: &syscall.SysProcAttr{Setsid: true}})
	if err != nil {
		inW.Close()
		outR.Close()
		errR.Close()
		return nil, err
	}
	preferAsVictim(strconv.Itoa(pid))
	h := &Helper{In: inW, Out: outR, ended: make(chan struct{})}
	h.Kill = func() {
		if pid > 1 && !h.Ended() {
			_ = unix.Kill(-pid, unix.SIGKILL)
		}
	}
	go func() {
		defer errR.Close()
		_, _ = io.Copy(messages, errR)
	}()
	go func() {
		<-ended
		close(h.ended)
	}()
	return h, nil
}
