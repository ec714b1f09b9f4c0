package capture

import (
	"io"
	"os"
	"strings"
	"syscall"
)

// fakeProcess is an init that notes what it is told to do.
type fakeProcess struct {
	*fakeMachine
	consoleErr map[string]error
	rebootErr  error
	shellErr   error
	place      Place
	keys       map[string]int    // sizes of the keys that lie in crash memory
	child      func(Child) error // nil: exit code 0
	remote     *fakeRemote
	// screenHang keeps the console from taking anything until it is closed.
	screenHang chan struct{}
}

// UserKey knows the keys that were restored.
func (s *fakeProcess) UserKey(description string) (int, error) {
	restored, err := os.ReadFile(s.path(restoreKeysPath))
	if size, ok := s.keys[description]; ok && err == nil && string(restored) == "1" {
		return size, nil
	}
	return 0, syscall.ENOKEY
}

func (s *fakeProcess) Place() Place { return s.place }
func (s *fakeProcess) BecomeInit()  { s.event("init") }

func (s *fakeProcess) Console(name string) (io.Writer, error) {
	if err := s.consoleErr[name]; err != nil {
		return nil, err
	}
	s.event("console %s", name)
	return writerFunc(func(p []byte) (int, error) {
		if s.screenHang != nil {
			<-s.screenHang
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.screen.Write(p)
	}), nil
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func (s *fakeProcess) Shell(argv []string, terminal string) error {
	s.event("shell %s on %s", strings.Join(argv, " "), terminal)
	return s.shellErr
}

func (s *fakeProcess) StartHelper(argv, env []string, messages io.Writer) (*Helper, error) {
	return s.remote.start(argv, env, messages)
}

func (s *fakeProcess) RunChild(c Child) error {
	s.event("child %s", c.Path)
	s.call("RunChild")
	if s.child == nil {
		return nil
	}
	return s.child(c)
}

func (s *fakeProcess) Reboot(a Action) error {
	s.event("do %s", a)
	s.call("Reboot")
	return s.rebootErr
}
