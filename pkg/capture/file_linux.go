package capture

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/internal/mapread"
)

// linuxFile is an open file of the running system.
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

// Map makes a reader of the file that maps it, a window for each CPU and some for what is read between.
func (f *linuxFile) Map() (io.ReaderAt, func() error, error) {
	size, err := f.Size()
	if err != nil {
		return nil, nil, err
	}
	m := mapread.New(f.File, size, runtime.GOMAXPROCS(0)+4)
	return m, m.Close, nil
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
