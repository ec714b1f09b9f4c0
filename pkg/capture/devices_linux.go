package capture

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/internal/devmapper"
	"github.com/gokexec/gokexec/pkg/stack"
)

// linuxDevices are the Devices of the running system.
type linuxDevices struct{ *devmapper.Mapper }

func (linuxDevices) Mknod(name string, n stack.Number) error {
	if err := unix.Mknod(name, unix.S_IFBLK|0o600, int(unix.Mkdev(n.Major, n.Minor))); err != nil {
		return fmt.Errorf("mknod %s: %w", name, err)
	}
	return nil
}
