package capture

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"math/bits"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// exclusive is the open flag for a device that nobody else may use: for block
// devices O_EXCL without O_CREAT means just that (open(2)).
const exclusive = unix.O_EXCL

// NewSystem returns the running system.
func NewSystem() System { return &linuxSystem{} }

type linuxSystem struct {
	mu       sync.Mutex
	init     bool
	children map[int]chan unix.WaitStatus // those somebody waits for
}

func (*linuxSystem) FS() fs.FS { return os.DirFS("/") }

func (*linuxSystem) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	f, err := os.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return &linuxFile{File: f}, nil
}

func (*linuxSystem) Mkdir(name string, perm fs.FileMode) error { return os.Mkdir(name, perm) }
func (*linuxSystem) Rename(oldname, newname string) error      { return os.Rename(oldname, newname) }
func (*linuxSystem) Stat(name string) (fs.FileInfo, error)     { return os.Stat(name) }
func (*linuxSystem) Lstat(name string) (fs.FileInfo, error)    { return os.Lstat(name) }

func (*linuxSystem) SyncDir(name string) error {
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

func (*linuxSystem) Mount(source, target, fstype, data string) error {
	flags := uintptr(unix.MS_NOATIME | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC)
	if fstype == "devtmpfs" {
		flags &^= unix.MS_NODEV
	}
	if err := unix.Mount(source, target, fstype, flags, data); err != nil {
		return fmt.Errorf("mount %s on %s (type %s): %w", source, target, fstype, err)
	}
	return nil
}

func (*linuxSystem) Unmount(target string) error {
	err := unix.Unmount(target, 0)
	if errors.Is(err, unix.EBUSY) {
		err = unix.Unmount(target, unix.MNT_DETACH)
	}
	if err != nil {
		return fmt.Errorf("unmount %s: %w", target, err)
	}
	return nil
}

func (*linuxSystem) Space(dir string) (Space, error) {
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

func (*linuxSystem) Sync() { unix.Sync() }

func (*linuxSystem) Console(name string) (io.Writer, error) {
	f, err := os.OpenFile(name, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	for fd := range 3 {
		if err := unix.Dup3(int(f.Fd()), fd, 0); err != nil && int(f.Fd()) != fd {
			return nil, fmt.Errorf("dup %s to %d: %w", name, fd, err)
		}
	}
	return os.Stdout, nil
}

func (s *linuxSystem) BecomeInit() error {
	if pid := os.Getpid(); pid != 1 {
		return fmt.Errorf("this is process %d", pid)
	}
	signal.Ignore(unix.SIGHUP, unix.SIGINT, unix.SIGTERM, unix.SIGPIPE, unix.SIGUSR1, unix.SIGUSR2)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.init {
		return nil
	}
	s.init = true
	s.children = make(map[int]chan unix.WaitStatus)
	ch := make(chan os.Signal, 1)
	signal.Notify(ch, unix.SIGCHLD)
	go func() {
		for range ch {
			s.reap()
		}
	}()
	return nil
}

// reap collects every child that has ended.
func (s *linuxSystem) reap() {
	// Holding the lock keeps Shell from registering a child too late.
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, unix.WNOHANG, nil)
		if err == unix.EINTR {
			continue
		}
		if err != nil || pid <= 0 {
			return
		}
		if ch, ok := s.children[pid]; ok {
			delete(s.children, pid)
			ch <- status
		}
	}
}

func (s *linuxSystem) Shell(argv []string, terminal string) error {
	attr := &os.ProcAttr{
		Env: []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/", "TERM=linux"},
		Dir: "/", Files: []*os.File{os.Stdin, os.Stdout, os.Stderr},
		Sys: &syscall.SysProcAttr{Setsid: true},
	}
	// Job control wants a real terminal; /dev/console can't be a controlling one.
	if f, err := os.OpenFile(terminal, os.O_RDWR|unix.O_NOCTTY, 0); err == nil {
		defer f.Close()
		if _, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS); err == nil && terminal != consolePath {
			attr.Files = []*os.File{f, f, f}
			attr.Sys.Setctty = true
		}
	}
	s.mu.Lock()
	p, err := os.StartProcess(argv[0], argv, attr)
	if err != nil {
		s.mu.Unlock()
		return err
	}
	if !s.init {
		s.mu.Unlock()
		_, err := p.Wait()
		return err
	}
	ch := make(chan unix.WaitStatus, 1)
	s.children[p.Pid] = ch
	s.mu.Unlock()
	<-ch
	return p.Release()
}

func (*linuxSystem) Reboot(a Action) error {
	// Unsigned, as halt's magic number doesn't fit a 32-bit int.
	var cmd uint32 = unix.LINUX_REBOOT_CMD_RESTART
	switch a {
	case Poweroff:
		cmd = unix.LINUX_REBOOT_CMD_POWER_OFF
	case Halt:
		cmd = unix.LINUX_REBOOT_CMD_HALT
	}
	if err := unix.Reboot(int(cmd)); err != nil {
		return fmt.Errorf("reboot(%s): %w", a, err)
	}
	return nil
}

type linuxFile struct {
	*os.File
	noWriteBack bool // the filesystem can't write back a range
}

func (f *linuxFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if info.Mode()&fs.ModeDevice == 0 {
		return info.Size(), nil
	}
	return f.Seek(0, io.SeekEnd)
}

func (f *linuxFile) WriteBack(offset, length int64, wait bool) error {
	fd := int(f.Fd())
	if f.noWriteBack {
		if !wait {
			return nil
		}
		return unix.Fdatasync(fd)
	}
	flags := unix.SYNC_FILE_RANGE_WRITE
	if wait {
		flags |= unix.SYNC_FILE_RANGE_WAIT_BEFORE | unix.SYNC_FILE_RANGE_WAIT_AFTER
	}
	err := unix.SyncFileRange(fd, offset, length, flags)
	switch {
	case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EINVAL), errors.Is(err, unix.ESPIPE):
		f.noWriteBack = true
		return f.WriteBack(offset, length, wait)
	case err != nil:
		return fmt.Errorf("write back %s: %w", f.Name(), err)
	}
	if wait {
		// Advice only: without it the page cache is reclaimed a little later.
		_ = unix.Fadvise(fd, offset, length, unix.FADV_DONTNEED)
	}
	return nil
}
