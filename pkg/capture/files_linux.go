package capture

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/bits"
	"os"

	"golang.org/x/sys/unix"
)

// exclusive is the open flag for a device that nobody else may use: for block
// devices O_EXCL without O_CREAT means just that (open(2)).
const exclusive = unix.O_EXCL

// linuxFiles are the Files of the running system.
type linuxFiles struct{}

func (linuxFiles) FS() fs.FS { return os.DirFS("/") }

func (linuxFiles) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	f, err := os.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return &linuxFile{File: f}, nil
}

func (linuxFiles) Mkdir(name string, perm fs.FileMode) error { return os.Mkdir(name, perm) }
func (linuxFiles) Root(name string) (*os.Root, error)        { return os.OpenRoot(name) }
func (linuxFiles) Rename(oldname, newname string) error      { return os.Rename(oldname, newname) }
func (linuxFiles) Stat(name string) (fs.FileInfo, error)     { return os.Stat(name) }
func (linuxFiles) Lstat(name string) (fs.FileInfo, error)    { return os.Lstat(name) }

// Pin gives the descriptor's name in /proc (proc(5)), which leads to the directory itself.
func (linuxFiles) Pin(name string, own bool) (string, func() error, error) {
	flags := os.O_RDONLY | unix.O_DIRECTORY
	if own {
		flags |= unix.O_NOFOLLOW
	}
	d, err := os.OpenFile(name, flags, 0)
	if err != nil {
		return "", nil, err
	}
	if own {
		err = checkOwner(int(d.Fd()))
	}
	if err != nil {
		return "", nil, errors.Join(&fs.PathError{Op: "open", Path: name, Err: err}, d.Close())
	}
	return fmt.Sprintf("/proc/self/fd/%d", d.Fd()), d.Close, nil
}

// checkOwner makes sure that a directory has the owner that new files in it get: this user, or whom the
// filesystem (FAT, NFS with its squashing) takes for every one.
func checkOwner(dir int) error {
	const probe = ".gokexec"
	fd, err := unix.Openat(dir, probe, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	var file, st unix.Stat_t
	err = errors.Join(unix.Fstat(fd, &file), unix.Fstat(dir, &st), unix.Close(fd), unix.Unlinkat(dir, probe, 0))
	if err == nil && file.Uid != st.Uid {
		err = fmt.Errorf("%w: it was made for this dump, and belongs to user %d now", fs.ErrPermission, st.Uid)
	}
	return err
}

func (linuxFiles) SyncDir(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	err = d.Sync()
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOTSUP) {
		err = nil // a filesystem that has no fsync for directories
	}
	return errors.Join(err, d.Close())
}

func (linuxFiles) Space(dir string) (Space, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return Space{}, fmt.Errorf("statfs %s: %w", dir, err)
	}
	if s.Blocks == 0 {
		return Space{}, fmt.Errorf("statfs %s: %w", dir, unix.ENOTSUP)
	}
	block := uint64(s.Frsize)
	if block == 0 {
		block = uint64(s.Bsize)
	}
	return Space{Total: bytesOf(s.Blocks, block), Available: bytesOf(s.Bavail, block)}, nil
}

// bytesOf multiplies, and stops at the largest number: some filesystems say that they
// have no end.
func bytesOf(blocks, size uint64) int64 {
	if high, low := bits.Mul64(blocks, size); high == 0 && low <= math.MaxInt64 {
		return int64(low)
	}
	return math.MaxInt64
}
