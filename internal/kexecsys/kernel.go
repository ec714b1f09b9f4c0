package kexecsys

import (
	"errors"
	"fmt"
	"os"

	"github.com/u-root/u-root/pkg/boot/kexec"
	"golang.org/x/sys/unix"
)

// Kernel is the running kernel.
type Kernel struct{}

// KexecFileLoad hands the kernel and initrd files to kexec_file_load(2). A nil
// initrd means none. With FileUnload both files are nil.
func (Kernel) KexecFileLoad(kernel, initrd *os.File, cmdline string, flags FileFlags) error {
	kernelFD, initrdFD := -1, -1
	if kernel != nil {
		kernelFD = int(kernel.Fd())
	}
	if initrd != nil {
		initrdFD = int(initrd.Fd())
	} else {
		flags |= FileNoInitramfs
	}
	err := kexecFileLoad(kernelFD, initrdFD, cmdline, int(flags))
	return wrap("kexec_file_load", flags.String(), err)
}

// KexecLoad hands segments to kexec_load(2). No segments means unload.
func (Kernel) KexecLoad(entry uint64, segments []Segment, flags LoadFlags) error {
	if len(segments) == 0 {
		_, _, errno := unix.Syscall6(unix.SYS_KEXEC_LOAD, 0, 0, 0, uintptr(flags|nativeArch), 0, 0)
		if errno != 0 {
			return wrap("kexec_load", flags.String(), errno)
		}
		return nil
	}
	segs := make(kexec.Segments, 0, len(segments))
	for i, s := range segments {
		last := s.Phys + s.MemSize
		if uint64(uintptr(last)) != last || uint64(uintptr(entry)) != entry {
			return fmt.Errorf("kexec_load: segment %d at %#x or entry %#x is beyond this program's pointer size", i, s.Phys, entry)
		}
		data := s.Data
		if len(data) == 0 {
			data = []byte{0} // u-root takes the address of the first byte
		}
		segs = append(segs, kexec.NewSegment(data, kexec.Range{Start: uintptr(s.Phys), Size: uint(s.MemSize)}))
	}
	err := kexec.Load(uintptr(entry), segs, uint64(flags|nativeArch))
	var failed kexec.ErrKexec
	if errors.As(err, &failed) {
		// u-root's error prints every segment and has no Unwrap.
		err = failed.Errno
	}
	return wrap("kexec_load", flags.String(), err)
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

// Reboot jumps into the kernel loaded for an ordinary kexec, with
// reboot(LINUX_REBOOT_CMD_KEXEC). It returns only when that fails.
func (Kernel) Reboot() error {
	return wrap("reboot", "KEXEC", kexec.Reboot())
}

func wrap(call, flags string, err error) error {
	if err == nil {
		return nil
	}
	var errno unix.Errno
	if errors.As(err, &errno) {
		return &Error{Call: call, Flags: flags, Errno: errno}
	}
	return fmt.Errorf("%s(%s): %w", call, flags, err)
}
