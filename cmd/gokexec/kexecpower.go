package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// power is what kexec(8) does to the machine before it jumps.
type power interface {
	Sync()
	IfDown() error
	Shutdown() error // returns only if it fails
}

type systemPower struct{}

func (systemPower) Sync() { unix.Sync() }

// Shutdown runs shutdown -r now in place of this program.
func (systemPower) Shutdown() error {
	var err error
	for _, path := range []string{"/sbin/shutdown", "/etc/shutdown", "/bin/shutdown"} {
		if err = unix.Exec(path, []string{"shutdown", "-r", "now"}, os.Environ()); !errors.Is(err, unix.ENOENT) {
			break
		}
	}
	return err
}

// IfDown takes all network interfaces down, so that no device writes into memory
// that belongs to the next kernel.
func (systemPower) IfDown() error {
	links, err := net.Interfaces()
	if err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	defer unix.Close(fd)
	var failed error
	for _, link := range links {
		if link.Flags&net.FlagLoopback != 0 && link.Name == "lo" || strings.Contains(link.Name, ":") {
			continue
		}
		if err := linkDown(fd, link.Name); err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", link.Name, err))
		}
	}
	return failed
}

func linkDown(fd int, name string) error {
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, ifr); err != nil {
		return err
	}
	ifr.SetUint16(ifr.Uint16() &^ unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr)
}
