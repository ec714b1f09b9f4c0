package capture

import (
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/gokexec/gokexec/pkg/network"
	"github.com/gokexec/gokexec/pkg/stack"
)

// System is what capture asks of the operating system. [NewSystem] is the real
// one; tests have others. Names are absolute paths. Errors unwrap to errnos.
type System interface {
	Files
	Mounts
	Devices
	Process
	// Network makes the network of this kernel.
	Network() (network.Maker, error)
}

// Files are the files, devices and directories of a system.
type Files interface {
	// FS is the tree that /proc and /sys are read from; its names have no
	// leading slash.
	FS() fs.FS

	// OpenFile is os.OpenFile. With O_EXCL (and no O_CREATE) a block device that is in
	// use (mounted, swap, part of an array) must be refused.
	OpenFile(name string, flag int, perm fs.FileMode) (File, error)
	// Mkdir is os.Mkdir.
	Mkdir(name string, perm fs.FileMode) error
	// Pin opens a directory and returns a name that stays its own wherever it is moved, and what
	// gives it up. With own the directory must be this user's, and no link leads to it.
	Pin(name string, own bool) (pinned string, release func() error, err error)
	// Root is os.OpenRoot: what is reached through it is below that directory.
	Root(name string) (*os.Root, error)
	// Rename is os.Rename.
	Rename(oldname, newname string) error
	// SyncDir makes the names in a directory durable.
	SyncDir(name string) error
	// Stat is os.Stat.
	Stat(name string) (fs.FileInfo, error)
	// Lstat is os.Lstat.
	Lstat(name string) (fs.FileInfo, error)
	// Space is how much room a mounted filesystem has, as statfs(2) of a
	// directory in it.
	Space(dir string) (Space, error)
}

// Mounts are the filesystems of a system.
type Mounts interface {
	// Mount mounts a filesystem, noatime, nosuid, nodev and noexec. Something
	// already mounted there by the kernel or before is EBUSY.
	Mount(source, target, fstype, data string) error
	// Unmount unmounts, and detaches what is busy.
	Unmount(target string) error
	// Detach unmounts what hangs: what waits for it ends with an error, and what is not written is lost.
	Detach(target string) error
	// Sync writes everything back, as sync(2).
	Sync()
}

// Devices makes block devices of others.
type Devices interface {
	stack.Mapper
	// Mknod makes the node of a block device, for root alone.
	Mknod(name string, n stack.Number) error
}

// Process is this process, as the init that it may be.
type Process interface {
	// UserKey looks for the key of type user of that description where the kernel looks for one of this process, and
	// tells its size in bytes. ENOKEY if there is none.
	UserKey(description string) (size int, err error)
	// Console makes the file the standard input, output and error, and returns
	// it for writing.
	Console(name string) (io.Writer, error)
	// Place tells where this process is, and changes nothing.
	Place() Place
	// RunChild runs a program to its end, or to its time limit. It has a session of its own; what it has started
	// ends with it; and the kernel takes memory from it first. The error is nil for exit code 0.
	RunChild(Child) error
	// StartHelper starts a program of gokexec's own, which is trusted, and does not wait for it. messages gets what it prints
	// to its standard error, and must not block.
	StartHelper(argv, env []string, messages io.Writer) (*Helper, error)
	// BecomeInit ignores the signals that would kill a process and starts
	// reaping orphaned children.
	BecomeInit()
	// Shell runs a shell on the terminal and waits for its end.
	Shell(argv []string, terminal string) error
	// Reboot reboots, powers off or halts by reboot(2). It returns only an
	// error.
	Reboot(Action) error
}

// Child is a program for RunChild.
type Child struct {
	Path   string
	Args   []string // without its name
	Env    []string
	Limit  time.Duration
	Output io.Writer // gets what it prints; must not block
	// Own is a program of ours, which changes nothing of the system and starts nothing.
	Own bool
}

// File is an open file or device.
type File interface {
	io.ReaderAt
	io.Writer
	io.WriterAt
	io.Closer
	// Sync is fsync(2).
	Sync() error
	// Truncate is ftruncate(2).
	Truncate(size int64) error
	// Size is the length of a file or the capacity of a block device, in bytes.
	Size() (int64, error)
	// WriteBack starts writing the given bytes (offset and length) to the disk;
	// with wait it waits for them and drops them from the page cache.
	WriteBack(offset, length int64, wait bool) error
}
