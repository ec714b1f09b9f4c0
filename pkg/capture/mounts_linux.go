package capture

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// linuxMounts are the Mounts of the running system.
type linuxMounts struct{}

func (linuxMounts) Mount(source, target, fstype, data string) error {
	flags := uintptr(unix.MS_NOATIME | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC)
	if fstype == "devtmpfs" {
		flags &^= unix.MS_NODEV
	}
	if err := unix.Mount(source, target, fstype, flags, data); err != nil {
		return fmt.Errorf("mount %s on %s (type %s): %w", source, target, fstype, err)
	}
	return nil
}

func (linuxMounts) Unmount(target string) error {
	err := unix.Unmount(target, 0)
	if errors.Is(err, unix.EBUSY) {
		err = unix.Unmount(target, unix.MNT_DETACH)
	}
	if err != nil {
		return fmt.Errorf("unmount %s: %w", target, err)
	}
	return nil
}

// Detach ends the requests that wait for a server (nfs: nfs_umount_begin).
func (linuxMounts) Detach(target string) error {
	if err := unix.Unmount(target, unix.MNT_FORCE|unix.MNT_DETACH); err != nil {
		return fmt.Errorf("detach %s: %w", target, err)
	}
	return nil
}

func (linuxMounts) Sync() { unix.Sync() }
