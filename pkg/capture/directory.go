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
	"syscall"
	"time"

	"github.com/gokexec/gokexec/pkg/dumpdir"
)

// fullSlack is what a dump that filled its filesystem gives back, in bytes, so
// that the result can be stored.
const fullSlack = 1 << 20

// maxCuts bounds how often a dump is cut back until the reserve is free.
const maxCuts = 4

// directorySink is a new directory in a mounted filesystem.
type directorySink struct {
	sys   Files
	dir   string
	shown string // dir as the user knows it
	now   string // dir as every process can name it
	keep  reserve
	old   *tidying // what may be removed to make room; nil: nothing
	after func() error
}

// newDirectory makes the directory for a dump of the given time inside parent.
// prefix is cut from the names shown to users: the mount point. keep is what a
// dump leaves free of the filesystem, and dumps how many are kept.
func newDirectory(sys Files, parent, prefix string, t time.Time, keep reserve, dumps keepDumps) (*directorySink, error) {
	base := path.Join(parent, t.UTC().Format(dumpdir.TimeLayout))
	dir := base
	for i := 1; ; i++ {
		err := sys.Mkdir(dir, 0o700)
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrExist) || i > dumpdir.MaxNumber {
			return nil, err
		}
		dir = fmt.Sprintf("%s-%d", base, i)
	}
	if err := sys.SyncDir(parent); err != nil {
		return nil, fmt.Errorf("sync %s: %w", parent, err)
	}
	s := &directorySink{sys: sys, dir: dir, now: dir, shown: path.Join("/", strings.TrimPrefix(dir, prefix)), keep: keep}
	s.old = dumps.of(sys, parent, path.Base(dir))
	return s, nil
}

func (s *directorySink) location() string { return s.shown }

func (s *directorySink) directory() string { return s.now }

// put writes the file under another name first, so that one of this name is
// whole. What fits of a log stays on a full disk; of other files nothing does.
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
	if err != nil && name != LogName {
		_ = f.Truncate(0)
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
	s.old.beforeDump()
	// Without room nothing is begun; the log is there by now.
	if room, space, err := s.roomFor(1); err == nil && room <= 0 {
		return nil, s.full(space)
	}
	name := path.Join(s.dir, IncompleteName)
	f, err := s.sys.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	return &directoryDump{newWriteBehind(f, 0), s, name, 0, false}, nil
}

// roomFor is how much more may be written, in bytes. If that is less than growth, old dumps make room, as far as
// they may be removed.
func (s *directorySink) roomFor(growth int64) (int64, Space, error) {
	for {
		room, space, err := s.keep.room(s.sys, s.dir)
		if err != nil || room >= growth || !s.old.makeRoom() {
			return room, space, err
		}
	}
}

// full says that the rest of the filesystem is kept free.
func (s *directorySink) full(space Space) error {
	return fmt.Errorf("%s: of %d MB, %d MB are free, and %d MB are to stay so (keep-free): %w",
		s.shown, space.Total/1e6, max(space.Available, 0)/1e6, s.keep.of(space)/1e6, syscall.ENOSPC)
}

func (s *directorySink) close() error {
	err := s.old.close()
	if s.after == nil {
		return err
	}
	return errors.Join(err, s.after())
}

type directoryDump struct {
	*writeBehind
	sink *directorySink
	name string
	room int64 // bytes by which it may grow until the next look at the free space
	// refused is set when the filesystem itself said that it is full, also for other
	// files: it, or a quota, has less room than it told.
	refused bool
}

// stale: a hole in a file is zeroes.
func (d *directoryDump) stale() bool { return false }

func (d *directoryDump) restart() error {
	d.writeBehind.restart()
	d.room, d.refused = 0, false
	return d.file.Truncate(0)
}

func (d *directoryDump) Write(p []byte) (int, error) { return d.WriteAt(p, d.size()) }

// WriteAt stops where the reserve begins. How much room there is is asked again
// for each window, as nobody but the filesystem knows what a block costs it.
func (d *directoryDump) WriteAt(p []byte, offset int64) (int, error) {
	written := 0
	for len(p) > 0 {
		part := p[:min(int64(len(p)), writeBehindWindow)]
		if growth := offset + int64(len(part)) - d.size(); growth > d.room {
			room, space, err := d.sink.roomFor(growth)
			if over := growth - room; err == nil && over > 0 {
				if part = part[:max(int64(len(part))-over, 0)]; len(part) == 0 {
					return written, d.sink.full(space)
				}
			}
			d.room = max(min(room, writeBehindWindow), growth)
		}
		before := d.size()
		n, err := d.writeBehind.WriteAt(part, offset)
		written, offset, p = written+n, offset+int64(n), p[n:]
		if d.room -= d.size() - before; err != nil {
			d.refused = NoRoom(err) && !errors.Is(err, syscall.EFBIG)
			return written, err
		}
	}
	return written, nil
}

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

// abandon cuts the dump back as far as it went into the reserve: what the
// filesystem counts, it may count late. Where the filesystem was full without
// knowing, the dump gives back enough for the result.
func (d *directoryDump) abandon(error) error {
	syncErr, err := d.file.Sync(), error(nil)
	for range maxCuts {
		room, _, _ := d.sink.keep.room(d.sink.sys, d.sink.dir)
		if d.refused && room >= 0 {
			room = -fullSlack
		}
		d.refused = false
		if room >= 0 || d.offset == 0 || err != nil {
			break
		}
		d.offset = max(0, (d.offset+room)&^(dumpAlign-1))
		if err = d.file.Truncate(d.offset); err == nil {
			syncErr = d.file.Sync()
		}
	}
	return errors.Join(err, syncErr, d.file.Close(), d.sink.sys.SyncDir(d.sink.dir))
}
