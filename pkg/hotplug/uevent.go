package hotplug

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// Uevent is the kernel's message that a device was added, was removed or has changed
// (lib/kobject_uevent.c, kobject_uevent_env).
type Uevent struct {
	Action    string // "add", "remove", "online", "offline", "bind", ...
	DevPath   string // below /sys
	Subsystem string // "memory", "cpu", ...; may be empty
}

// ErrUevent is wrapped when a message is no uevent of the kernel.
var ErrUevent = errors.New("not a uevent of the kernel")

// maxUevent is more than the kernel sends: UEVENT_BUFFER_SIZE and the header.
const maxUevent = 8 << 10

// ParseUevent reads a message of the socket: "ACTION@DEVPATH", and variables, each
// ended by a NUL. Values may contain newlines. Messages of udev, which begin with
// "libudev", are refused.
func ParseUevent(b []byte) (Uevent, error) {
	if len(b) == 0 || len(b) > maxUevent || b[len(b)-1] != 0 {
		return Uevent{}, fmt.Errorf("%w: %d bytes that do not end in a NUL", ErrUevent, len(b))
	}
	fields := strings.Split(string(b[:len(b)-1]), "\x00")
	action, path, ok := strings.Cut(fields[0], "@")
	if !ok || action == "" || !strings.HasPrefix(path, "/") {
		return Uevent{}, fmt.Errorf("%w: it begins with %q", ErrUevent, fields[0][:min(len(fields[0]), 40)])
	}
	u := Uevent{Action: action, DevPath: path}
	for _, f := range fields[1:] {
		key, value, ok := strings.Cut(f, "=")
		if !ok {
			return Uevent{}, fmt.Errorf("%w: variable %q has no value", ErrUevent, f[:min(len(f), 40)])
		}
		switch {
		case key == "SUBSYSTEM":
			u.Subsystem = value
		case key == "ACTION" && value != action, key == "DEVPATH" && value != path:
			return Uevent{}, fmt.Errorf("%w: %s is %q in a message that begins with %q", ErrUevent, key, value, fields[0])
		}
	}
	return u, nil
}

// Relevant tells whether memory or CPUs may have changed.
func (u Uevent) Relevant() bool {
	if u.Subsystem != "memory" && u.Subsystem != "cpu" {
		return false
	}
	switch u.Action {
	case "add", "remove", "online", "offline":
		return true
	}
	return false
}

// Socket receives the kernel's uevents.
type Socket struct {
	file   *os.File
	conn   syscall.RawConn
	buf    []byte
	closed atomic.Bool
}

// kernelGroup is the multicast group of the kernel's own uevents; udev's is 2.
const kernelGroup = 1

// socketBuffer has room for a burst of some 1,500 events, in bytes.
const socketBuffer = 1 << 20

// OpenSocket subscribes to the kernel's uevents.
func OpenSocket() (*Socket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_KOBJECT_UEVENT)
	if err != nil {
		return nil, os.NewSyscallError("socket(NETLINK_KOBJECT_UEVENT)", err)
	}
	// Only root may exceed net.core.rmem_max; a smaller buffer suffices, since an
	// overflow counts as an event.
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, socketBuffer) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, socketBuffer)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: kernelGroup}); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("bind(NETLINK_KOBJECT_UEVENT)", err)
	}
	return newSocket(fd)
}

// newSocket takes ownership of a non-blocking socket.
func newSocket(fd int) (*Socket, error) {
	s := &Socket{file: os.NewFile(uintptr(fd), "uevents"), buf: make([]byte, maxUevent)}
	var err error
	if s.conn, err = s.file.SyscallConn(); err != nil {
		return nil, errors.Join(err, s.file.Close())
	}
	return s, nil
}

// Close makes a Wait that is under way return.
func (s *Socket) Close() error {
	s.closed.Store(true)
	return s.file.Close()
}

// Wait returns when memory or CPUs may have changed: on a relevant uevent, and when
// messages were lost. Messages that were not sent by the kernel are ignored. The error
// wraps os.ErrClosed after Close.
func (s *Socket) Wait() error {
	for {
		var n, flags int
		var from unix.Sockaddr
		var err error
		if readErr := s.conn.Read(func(fd uintptr) bool {
			n, _, flags, from, err = unix.Recvmsg(int(fd), s.buf, nil, 0)
			return !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR)
		}); readErr != nil {
			if s.closed.Load() {
				readErr = os.ErrClosed // RawConn returns another error
			}
			return fmt.Errorf("receive uevents: %w", readErr)
		}
		if errors.Is(err, unix.ENOBUFS) {
			return nil // the buffer overflowed
		}
		if err != nil {
			return fmt.Errorf("receive uevents: %w", err)
		}
		if relevant(s.buf[:n], flags, from) {
			return nil
		}
	}
}

func relevant(b []byte, flags int, from unix.Sockaddr) bool {
	// A process can send to the group, too; then the port is that of the process, never 0.
	sender, ok := from.(*unix.SockaddrNetlink)
	if !ok || sender.Pid != 0 {
		return false
	}
	if flags&unix.MSG_TRUNC != 0 {
		return true
	}
	if !bytes.Contains(b, []byte("SUBSYSTEM=memory\x00")) && !bytes.Contains(b, []byte("SUBSYSTEM=cpu\x00")) {
		return false // as most messages
	}
	u, err := ParseUevent(b)
	return err != nil || u.Relevant()
}
