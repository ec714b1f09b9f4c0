package kexec

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// LoadFlags are the flags of kexec_load (include/uapi/linux/kexec.h). The
// architecture in bits 16 to 31 is left 0, which means the running one.
type LoadFlags uint64

// Flags of kexec_load.
const (
	LoadOnCrash          LoadFlags = unix.KEXEC_ON_CRASH              // into the crash region, for a panic
	LoadPreserveContext  LoadFlags = unix.KEXEC_PRESERVE_CONTEXT      // kexec jump; needs CONFIG_KEXEC_JUMP
	LoadUpdateElfcorehdr LoadFlags = unix.KEXEC_UPDATE_ELFCOREHDR     // 6.6: the kernel may rewrite the elfcorehdr
	LoadHotplugSupport   LoadFlags = unix.KEXEC_CRASH_HOTPLUG_SUPPORT // 6.10: the same, for every architecture that can
)

// String lists the flags by their kernel names without prefix.
func (f LoadFlags) String() string {
	return flagNames(uint64(f), []string{"ON_CRASH", "PRESERVE_CONTEXT", "UPDATE_ELFCOREHDR", "CRASH_HOTPLUG_SUPPORT"})
}

// FileFlags are the flags of kexec_file_load (include/uapi/linux/kexec.h).
type FileFlags uint64

// Flags of kexec_file_load.
const (
	FileUnload      FileFlags = unix.KEXEC_FILE_UNLOAD
	FileOnCrash     FileFlags = unix.KEXEC_FILE_ON_CRASH
	FileNoInitramfs FileFlags = unix.KEXEC_FILE_NO_INITRAMFS
	FileDebug       FileFlags = unix.KEXEC_FILE_DEBUG     // 6.8: segments and command line to the kernel log
	FileNoCMA       FileFlags = unix.KEXEC_FILE_NO_CMA    // 6.17: don't place segments in CMA
	FileForceDTB    FileFlags = unix.KEXEC_FILE_FORCE_DTB // 6.18, x86: hand the boot device tree on
)

// String lists the flags by their kernel names without prefix.
func (f FileFlags) String() string {
	return flagNames(uint64(f), []string{"UNLOAD", "ON_CRASH", "NO_INITRAMFS", "DEBUG", "NO_CMA", "FORCE_DTB"})
}

func flagNames(f uint64, names []string) string {
	var set []string
	for i, name := range names {
		if f&(1<<i) != 0 {
			set = append(set, name)
			f &^= 1 << i
		}
	}
	if f != 0 {
		set = append(set, fmt.Sprintf("%#x", f))
	}
	if len(set) == 0 {
		return "none"
	}
	return strings.Join(set, "|")
}

// Segment is one piece of memory that kexec_load copies to its place.
type Segment struct {
	Data    []byte // what is copied; shorter than MemSize means the rest is zero
	Phys    uint64 // physical address, page aligned
	MemSize uint64 // bytes, a multiple of the page size
}

// Error is a failed kexec system call.
type Error struct {
	Call  string // "kexec_load", "kexec_file_load", "reboot"
	Flags string
	Errno unix.Errno
}

// Error says which call failed and how.
func (e *Error) Error() string {
	if e.Flags == "" {
		return e.Call + ": " + e.Errno.Error()
	}
	return fmt.Sprintf("%s(%s): %s", e.Call, e.Flags, e.Errno.Error())
}

// Unwrap gives the errno.
func (e *Error) Unwrap() error { return e.Errno }
