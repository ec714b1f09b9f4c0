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
	if unanswered(err) || errors.Is(err, syscall.EIO) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.ESTALE) {
		h.err.CompareAndSwap(nil, &err)
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

// asked gets something unless the host is gone.
func asked[T any](h *hostFiles, get func() (T, error)) (answer T, err error) {
	err = h.asking(func() error {
		answer, err = get()
		return err
	})
	return answer, err
}

func (h *hostFiles) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	f, err := asked(h, func() (File, error) { return h.Files.OpenFile(name, flag, perm) })
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

func (h *hostFiles) Root(name string) (*os.Root, error) {
	return asked(h, func() (*os.Root, error) { return h.Files.Root(name) })
}

func (h *hostFiles) Rename(oldname, newname string) error {
	return h.asking(func() error { return h.Files.Rename(oldname, newname) })
}

func (h *hostFiles) SyncDir(name string) error {
	return h.asking(func() error { return h.Files.SyncDir(name) })
}

func (h *hostFiles) Stat(name string) (fs.FileInfo, error) {
	return asked(h, func() (fs.FileInfo, error) { return h.Files.Stat(name) })
}

func (h *hostFiles) Lstat(name string) (fs.FileInfo, error) {
	return asked(h, func() (fs.FileInfo, error) { return h.Files.Lstat(name) })
}

func (h *hostFiles) Space(dir string) (Space, error) {
	return asked(h, func() (Space, error) { return h.Files.Space(dir) })
}

// hostFile is an open file of another machine.
type hostFile struct {
	File
	host *hostFiles
}

func (f *hostFile) ReadAt(p []byte, offset int64) (int, error) {
	return asked(f.host, func() (int, error) { return f.File.ReadAt(p, offset) })
}

func (f *hostFile) Write(p []byte) (int, error) {
	return asked(f.host, func() (int, error) { return f.File.Write(p) })
}

func (f *hostFile) WriteAt(p []byte, offset int64) (int, error) {
	return asked(f.host, func() (int, error) { return f.File.WriteAt(p, offset) })
}

func (f *hostFile) Sync() error { return f.host.asking(f.File.Sync) }

func (f *hostFile) Truncate(size int64) error {
	return f.host.asking(func() error { return f.File.Truncate(size) })
}

func (f *hostFile) Size() (int64, error) { return asked(f.host, f.File.Size) }

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
