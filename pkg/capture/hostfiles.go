package capture

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync/atomic"
	"syscall"
)

// hostFiles are files of another machine. When it has stopped answering, which took its time to be noticed, nothing
// else waits for it: what follows fails at once.
type hostFiles struct {
	Files
	err atomic.Pointer[error]
}

// gone is why the host is not asked any more; nil if it is.
func (h *hostFiles) gone() error {
	if p := h.err.Load(); p != nil {
		return fmt.Errorf("the server was given up: %w", *p)
	}
	return nil
}

// heed takes an error for a host that stopped answering, if it is one (nfs(5), soft).
func (h *hostFiles) heed(err error) error {
	for _, errno := range []syscall.Errno{syscall.EIO, syscall.ETIMEDOUT, syscall.EHOSTDOWN, syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.ESTALE} {
		if errors.Is(err, errno) {
			h.err.CompareAndSwap(nil, &err)
		}
	}
	return err
}

// asking does something unless the host is gone.
func (h *hostFiles) asking(do func() error) error {
	if err := h.gone(); err != nil {
		return err
	}
	return h.heed(do())
}

func (h *hostFiles) OpenFile(name string, flag int, perm fs.FileMode) (f File, err error) {
	err = h.asking(func() error {
		f, err = h.Files.OpenFile(name, flag, perm)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &hostFile{f, h}, nil
}

func (h *hostFiles) Mkdir(name string, perm fs.FileMode) error {
	return h.asking(func() error { return h.Files.Mkdir(name, perm) })
}

func (h *hostFiles) Pin(name string, own bool) (pinned string, release func() error, err error) {
	err = h.asking(func() error {
		pinned, release, err = h.Files.Pin(name, own)
		return err
	})
	return pinned, release, err
}

func (h *hostFiles) Root(name string) (root *os.Root, err error) {
	err = h.asking(func() error {
		root, err = h.Files.Root(name)
		return err
	})
	return root, err
}

func (h *hostFiles) Rename(oldname, newname string) error {
	return h.asking(func() error { return h.Files.Rename(oldname, newname) })
}

func (h *hostFiles) SyncDir(name string) error {
	return h.asking(func() error { return h.Files.SyncDir(name) })
}

func (h *hostFiles) Stat(name string) (info fs.FileInfo, err error) {
	err = h.asking(func() error {
		info, err = h.Files.Stat(name)
		return err
	})
	return info, err
}

func (h *hostFiles) Lstat(name string) (info fs.FileInfo, err error) {
	err = h.asking(func() error {
		info, err = h.Files.Lstat(name)
		return err
	})
	return info, err
}

func (h *hostFiles) Space(dir string) (s Space, err error) {
	err = h.asking(func() error {
		s, err = h.Files.Space(dir)
		return err
	})
	return s, err
}

// hostFile is an open file of another machine.
type hostFile struct {
	File
	host *hostFiles
}

func (f *hostFile) ReadAt(p []byte, offset int64) (n int, err error) {
	err = f.host.asking(func() error {
		n, err = f.File.ReadAt(p, offset)
		return err
	})
	return n, err
}

func (f *hostFile) Write(p []byte) (n int, err error) {
	err = f.host.asking(func() error {
		n, err = f.File.Write(p)
		return err
	})
	return n, err
}

func (f *hostFile) WriteAt(p []byte, offset int64) (n int, err error) {
	err = f.host.asking(func() error {
		n, err = f.File.WriteAt(p, offset)
		return err
	})
	return n, err
}

func (f *hostFile) Sync() error { return f.host.asking(f.File.Sync) }

func (f *hostFile) Truncate(size int64) error {
	return f.host.asking(func() error { return f.File.Truncate(size) })
}

func (f *hostFile) Size() (n int64, err error) {
	err = f.host.asking(func() error {
		n, err = f.File.Size()
		return err
	})
	return n, err
}

func (f *hostFile) WriteBack(offset, length int64, wait bool) error {
	return f.host.asking(func() error { return f.File.WriteBack(offset, length, wait) })
}

// Close does not wait for a host that is gone: close(2) of NFS writes back what is not written.
func (f *hostFile) Close() error {
	if err := f.host.gone(); err != nil {
		go func() { _ = f.File.Close() }()
		return err
	}
	return f.host.heed(f.File.Close())
}
