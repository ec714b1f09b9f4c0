package kexecsys

import (
	"errors"
	"fmt"
	"os"

	uroot "github.com/u-root/u-root/pkg/boot/kexec" // its Reboot
	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/pkg/kexec"
)

// Kernel is the running kernel.
type Kernel struct{}

// KexecFileLoad passes the kernel and initrd files to kexec_file_load(2). A nil
// initrd means none. With kexec.FileUnload both files are nil.
func (Kernel) KexecFileLoad(kernel, initrd *os.File, cmdline string, flags kexec.FileFlags) error {
	kernelFD, initrdFD := -1, -1
	if kernel != nil {
		kernelFD = int(kernel.Fd())
	}
	if initrd != nil {
		initrdFD = int(initrd.Fd())
	} else {
		flags |= kexec.FileNoInitramfs
	}
	err := kexecFileLoad(kernelFD, initrdFD, cmdline, int(flags))
	return wrap("kexec_file_load", flags.String(), err)
}

// ReuseDiskKeys says whether the next kexec_file_load for a crash takes the keys for
// encrypted disks from the image that is loaded, instead of from keyrings. It is
// EINVAL if no image with keys is loaded (kernel/crash_dump_dm_crypt.c).
func (Kernel) ReuseDiskKeys(reuse bool) error {
	f, err := os.OpenFile("/sys/kernel/config/crash_dm_crypt_keys/reuse", os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	value := "0"
	if reuse {
		value = "1"
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}

// FindDiskKey looks for a key of type logon, which kernel/crash_dump_dm_crypt.c asks
// for, in the session keyring: where request_key in this process would find it, since
// gokexec has no keyring of its own thread or process (keyctl(2), KEYCTL_SEARCH).
func (Kernel) FindDiskKey(description string) error {
	_, err := unix.KeyctlSearch(unix.KEY_SPEC_SESSION_KEYRING, "logon", description, 0)
	return err
}

// Reboot jumps into the kernel loaded for an ordinary kexec, with
// reboot(LINUX_REBOOT_CMD_KEXEC). It returns only when that fails.
func (Kernel) Reboot() error {
	return wrap("reboot", "KEXEC", uroot.Reboot())
}

func wrap(call, flags string, err error) error {
	if err == nil {
		return nil
	}
	var errno unix.Errno
	if errors.As(err, &errno) {
		return &kexec.Error{Call: call, Flags: flags, Errno: errno}
	}
	return fmt.Errorf("%s(%s): %w", call, flags, err)
}
