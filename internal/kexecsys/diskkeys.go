package kexecsys

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/internal/keyring"
)

// configfs is where the kernel's configfs is mounted, and diskKeys what
// kernel/crash_dump_dm_crypt.c has there (Linux 6.16).
const (
	configfs = "/sys/kernel/config"
	diskKeys = configfs + "/crash_dm_crypt_keys"
)

// ReuseDiskKeys says whether the next kexec_file_load for a crash takes the keys for
// encrypted disks from the image that is loaded, instead of from keyrings. It is
// EINVAL if no image with keys is loaded (kernel/crash_dump_dm_crypt.c).
func (Kernel) ReuseDiskKeys(reuse bool) error {
	if reuse {
		return writeKernel(diskKeys+"/reuse", "1")
	}
	return writeKernel(diskKeys+"/reuse", "0")
}

// FindDiskKey looks for a key of type logon, which kernel/crash_dump_dm_crypt.c asks
// for, where the request_key of a KexecFileLoad looks. Without one it is ENOKEY.
func (Kernel) FindDiskKey(description string) error {
	_, err := keyring.Find("logon", description)
	return err
}

// AddDiskKey makes each kexec_file_load for a crash copy the key of type logon with that description into the crash
// memory. name is the key's among those that are configured. It mounts configfs where nobody has. ENOENT means that the
// kernel was built without CONFIG_CRASH_DM_CRYPT.
func (Kernel) AddDiskKey(name, description string) error {
	if _, err := os.Stat(diskKeys); errors.Is(err, fs.ErrNotExist) {
		err := unix.Mount("configfs", configfs, "configfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
		if err != nil && !errors.Is(err, unix.EBUSY) && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENODEV) {
			return fmt.Errorf("mount configfs on %s: %w", configfs, err)
		}
	}
	dir := diskKeys + "/" + name
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	if err := writeKernel(dir+"/description", description); err != nil {
		return errors.Join(err, unix.Rmdir(dir))
	}
	return nil
}

// RemoveDiskKey undoes AddDiskKey.
func (Kernel) RemoveDiskKey(name string) error {
	if err := unix.Rmdir(diskKeys + "/" + name); err != nil {
		return &fs.PathError{Op: "rmdir", Path: diskKeys + "/" + name, Err: err}
	}
	return nil
}

// wantsDiskKeys tells whether a load for a crash asks for keys.
func wantsDiskKeys() bool {
	b, err := os.ReadFile(diskKeys + "/count")
	return err == nil && strings.TrimSpace(string(b)) != "0"
}

// writeKernel writes a file of the kernel's.
func writeKernel(name, text string) error {
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}
