package capture

import (
	"errors"
	"io/fs"
	"strings"

	"golang.org/x/sys/unix"
)

// Place is where a process is, as far as it matters to one that may be an init.
type Place int

const (
	// Elsewhere is any process but the first one of the machine: the first one of a
	// container too.
	Elsewhere Place = iota
	// CaptureKernel is the init of a kernel that a panic has started, or of an initramfs
	// that was built for that.
	CaptureKernel
	// OtherKernel is the init of any other kernel.
	OtherKernel
)

// initialPIDNamespace is the link /proc/PID/ns/pid of every process that is in no
// container (include/linux/proc_ns.h, PROC_PID_INIT_INO).
const initialPIDNamespace = "pid:[4026531836]"

// findPlace tells where PID 1 is. proc is a procfs, nil where none can be had; root is
// the root filesystem, and rootType its type (statfs(2)).
func findPlace(proc, root fs.FS, rootType int64) Place {
	initramfs := rootType == unix.RAMFS_MAGIC || rootType == unix.TMPFS_MAGIC
	_, err := fs.Stat(root, strings.TrimPrefix(ConfigPath, "/"))
	ours := initramfs && err == nil
	if proc == nil {
		// Before Linux 5.2, and not yet mounted.
		if ours {
			return CaptureKernel
		}
		return Elsewhere
	}
	link, err := fs.ReadLink(proc, "self/ns/pid")
	switch {
	case errors.Is(err, fs.ErrNotExist):
		// A kernel without such namespaces has no containers.
	case err != nil || link != initialPIDNamespace:
		return Elsewhere
	}
	if _, err := fs.Stat(proc, "vmcore"); err == nil || ours {
		return CaptureKernel
	}
	return OtherKernel
}
