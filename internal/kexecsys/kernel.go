package kexecsys

import (
	"errors"
	"fmt"
	"os"

	uroot "github.com/u-root/u-root/pkg/boot/kexec" // its Reboot
	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/internal/keyring"
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
	call := func() error { return kexecFileLoad(kernelFD, initrdFD, cmdline, int(flags)) }
	if flags&kexec.FileOnCrash != 0 && flags&kexec.FileUnload == 0 && wantsDiskKeys() {
		return wrap("kexec_file_load", flags.String(), keyring.WithUser(call))
	}
	return wrap("kexec_file_load", flags.String(), call())
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
