package capture

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"
)

// timeLayout names a dump's directory: ISO 8601 without colons, which FAT and
// scp can't have.
const timeLayout = "20060102T150405Z"

// maxSuffix bounds the search for a free directory name.
const maxSuffix = 999

// fullSlack is what a dump that filled its filesystem gives back, in bytes, so
// that the result can be stored.
const fullSlack = 1 << 20

// directorySink is a new directory in a mounted filesystem.
type directorySink struct {
	sys   System
	dir   string
	shown string // dir as the user knows it
	after func() error
}

// newDirectory makes the directory for a dump of the given time inside parent.
// prefix is cut from the names shown to users: the mount point.
func newDirectory(sys System, parent, prefix string, t time.Time) (*directorySink, error) {
	base := path.Join(parent, t.UTC().Format(timeLayout))
	dir := base
	for i := 1; ; i++ {
		err := sys.Mkdir(dir, 0o700)
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrExist) || i > maxSuffix {
			return nil, err
		}
		dir = fmt.Sprintf("%s-%d", base, i)
	}
	if err := sys.SyncDir(parent); err != nil {
		return nil, fmt.Errorf("sync %s: %w", parent, err)
	}
	return &directorySink{sys: sys, dir: dir, shown: path.Join("/", strings.TrimPrefix(dir, prefix))}, nil
}

func (s *directorySink) location() string { return s.shown }

// put writes the file under another name first, so that one of this name is
// whole. What fits of it stays on a full disk.
func (s *directorySink) put(name string, write func(io.Writer) error) (int64, error) {
	temp := path.Join(s.dir, name+incompleteSuffix)
	f, err := s.sys.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return 0, err
	}
	w := newWriteBehind(f, 0)
	b := bufio.NewWriterSize(w, 64<<10)
	err = write(b)
	if err == nil {
		err = b.Flush()
	}
	if syncErr := f.Sync(); err == nil {
		err = syncErr
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return 0, fmt.Errorf("write %s: %w", name, err)
	}
	return w.offset, s.rename(temp, path.Join(s.dir, name))
}

func (s *directorySink) rename(from, to string) error {
	if err := s.sys.Rename(from, to); err != nil {
		return err
	}
	if err := s.sys.SyncDir(s.dir); err != nil {
		return fmt.Errorf("sync %s: %w", s.dir, err)
	}
	return nil
}

func (s *directorySink) note(data []byte) error { return putBytes(s, ResultName, data) }

func (s *directorySink) create(int64) (dump, error) {
	name := path.Join(s.dir, IncompleteName)
	f, err := s.sys.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	return &directoryDump{newWriteBehind(f, 0), s, name}, nil
}

func (s *directorySink) close() error {
	if s.after == nil {
		return nil
	}
	return s.after()
}

type directoryDump struct {
	*writeBehind
	sink *directorySink
	name string
}

func (d *directoryDump) size() int64 { return d.offset }

func (d *directoryDump) commit() error {
	err := d.file.Sync()
	if closeErr := d.file.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("sync %s: %w", IncompleteName, err)
	}
	return d.sink.rename(d.name, path.Join(d.sink.dir, VMCoreName))
}

func (d *directoryDump) abandon(cause error) error {
	var err error
	if isFull(cause) {
		d.offset = max(0, (d.offset-fullSlack)&^(fullSlack-1))
		err = d.file.Truncate(d.offset)
	}
	return errors.Join(err, d.file.Sync(), d.file.Close(), d.sink.sys.SyncDir(d.sink.dir))
}
