package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// openChannel opens what lab.channel= on the kernel's command line names:
// a tty ("ttyS1") or a virtio port ("virtio:NAME").
func openChannel() (*os.File, error) {
	cmdline, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return nil, err
	}
	name := ""
	for _, word := range strings.Fields(string(cmdline)) {
		if value, ok := strings.CutPrefix(word, "lab.channel="); ok {
			name = value
		}
	}
	if name == "" {
		return nil, fmt.Errorf("no lab.channel= on the command line %q", cmdline)
	}
	deadline := time.Now().Add(30 * time.Second)
	for {
		f, err := openNamed(name)
		if err == nil {
			return f, nil
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("open channel %s: %w", name, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func openNamed(name string) (*os.File, error) {
	if port, ok := strings.CutPrefix(name, "virtio:"); ok {
		node, err := virtioPort(port)
		if err != nil {
			return nil, err
		}
		return os.OpenFile(node, os.O_RDWR, 0)
	}
	// Fewer interrupts for what arrives: 14 bytes of the FIFO's 16 at a time.
	_ = os.WriteFile("/sys/class/tty/"+name+"/rx_trig_bytes", []byte("14"), 0)
	// Blocking, and without Go's poller: one thread may sit in read(2).
	fd, err := unix.Open("/dev/"+name, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if err := makeRaw(fd); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("set %s raw: %w", name, err)
	}
	return os.NewFile(uintptr(fd), "/dev/"+name), nil
}

func virtioPort(name string) (string, error) {
	files, _ := filepath.Glob("/sys/class/virtio-ports/*/name")
	for _, file := range files {
		if got, err := os.ReadFile(file); err == nil && strings.TrimSpace(string(got)) == name {
			return "/dev/" + filepath.Base(filepath.Dir(file)), nil
		}
	}
	return "", fmt.Errorf("no virtio port is named %q", name)
}

// makeRaw does what cfmakeraw(3) does, at 8 bits and without modem control.
func makeRaw(fd int) error {
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return err
	}
	t.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR |
		unix.IGNCR | unix.ICRNL | unix.IXON | unix.IXOFF
	t.Oflag &^= unix.OPOST
	t.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
	t.Cflag &^= unix.CSIZE | unix.PARENB | unix.CRTSCTS | unix.CBAUD
	t.Cflag |= unix.CS8 | unix.CREAD | unix.CLOCAL | unix.B115200
	t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
	return unix.IoctlSetTermios(fd, unix.TCSETS, t)
}

// drain waits until what was written has left the machine.
func drain(f *os.File) {
	// TCSBRK with a non-zero argument is tcdrain(3); a virtio port has nothing
	// to drain and refuses.
	_ = unix.IoctlSetInt(int(f.Fd()), unix.TCSBRK, 1)
	time.Sleep(50 * time.Millisecond)
}
