package capture

import (
	"errors"
	"fmt"
	"io"
	"math"
	"syscall"

	"github.com/gokexec/gokexec/pkg/dumpdir"
)

// Names of the entries of a saved dump.
const (
	LogName        = dumpdir.Log
	VMCoreName     = dumpdir.VMCore
	IncompleteName = dumpdir.Incomplete
	ResultName     = dumpdir.Result
)

const incompleteSuffix = ".incomplete"

// sink is the place where one dump goes.
type sink interface {
	// location says where, for the result: a directory or a device.
	location() string
	// directory is where the files are now; "" if they are in none.
	directory() string
	// put stores a small file, makes it durable and returns its size in bytes.
	put(name string, write func(io.Writer) error) (int64, error)
	// note stores a result for the case that this is the last thing this
	// kernel does, where a later put of the same name replaces it.
	note(data []byte) error
	// create begins the dump, of at most size bytes as far as is known.
	create(size int64) (dump, error)
	// close lets go of the place and, if it was mounted, unmounts it.
	close() error
}

// dump is the dump being written, under the name vmcore.incomplete. On a disk it is a
// [writableAt] too; one that is sent elsewhere can only be streamed.
type dump interface {
	io.Writer
	// commit makes all of it durable, and then gives it the name vmcore.
	commit() error
	// abandon keeps what there is as vmcore.incomplete, and makes room for a
	// result when cause is a full disk.
	abandon(cause error) error
	// size is how much of it there is, in bytes.
	size() int64
}

// writableAt is a dump on a disk: it can be written at any place, for formats whose tables
// are known only at the end.
type writableAt interface {
	dump
	io.WriterAt
	// stale reports that places that are never written to hold what the disk had there;
	// else they are zeroes.
	stale() bool
	// restart begins the dump again from its first byte.
	restart() error
}

var (
	_ writableAt = (*directoryDump)(nil)
	_ writableAt = (*rawDump)(nil)
)

func putBytes(s sink, name string, data []byte) error {
	_, err := s.put(name, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
	return err
}

// NoRoom reports whether an error means that a smaller dump would have been written: the disk or its user's share of
// it is full, or the file is as large as the filesystem allows (4 GiB in FAT).
func NoRoom(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}

// writeBehindWindow is how much is handed to the disk at a time, in bytes. At
// most two windows are dirty, as a capture kernel has a few tens of MiB.
const writeBehindWindow = 8 << 20

// writeBehind writes a file from a given offset on and keeps the page cache
// that it takes small, by starting the write of each window when it is full and
// waiting for the one before.
type writeBehind struct {
	file    File
	start   int64 // where it began
	offset  int64 // the end of what is written
	started int64 // everything before is being written back
	waited  int64 // everything before is on the disk

	// What was written again since, from before started: the tables of a dump.
	again, againEnd int64
}

func newWriteBehind(f File, offset int64) *writeBehind {
	return &writeBehind{file: f, start: offset, offset: offset, started: offset, waited: offset}
}

// size is how much is written, in bytes.
func (w *writeBehind) size() int64 { return w.offset - w.start }

// restart begins again.
func (w *writeBehind) restart() { *w = *newWriteBehind(w.file, w.start) }

func (w *writeBehind) Write(p []byte) (int, error) { return w.WriteAt(p, w.size()) }

// WriteAt writes at any place; offset is from where it began.
func (w *writeBehind) WriteAt(p []byte, offset int64) (int, error) {
	if offset < 0 || offset > math.MaxInt64-w.start-int64(len(p)) {
		return 0, fmt.Errorf("write %d bytes at %d of a dump: %w", len(p), offset, syscall.EINVAL)
	}
	n, err := w.file.WriteAt(p, w.start+offset)
	if end := w.start + offset + int64(n); n > 0 {
		if end-int64(n) < w.started {
			if w.again == w.againEnd {
				w.again, w.againEnd = end-int64(n), end
			}
			w.again, w.againEnd = min(w.again, end-int64(n)), max(w.againEnd, end)
		}
		w.offset = max(w.offset, end)
	}
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	if err != nil || w.offset-w.started < writeBehindWindow {
		return n, err
	}
	return n, w.writeBack()
}

// writeBack hands the last window to the disk, and what tells readers of the ones before: without it
// they would be lost with the disk.
func (w *writeBehind) writeBack() error {
	if size := w.againEnd - w.again; size > 0 {
		if err := w.file.WriteBack(w.again, size, false); err != nil {
			return err
		}
		w.again, w.againEnd = 0, 0
	}
	if err := w.file.WriteBack(w.started, w.offset-w.started, false); err != nil {
		return err
	}
	if w.started > w.waited {
		if err := w.file.WriteBack(w.waited, w.started-w.waited, true); err != nil {
			return err
		}
	}
	w.waited, w.started = w.started, w.offset
	return nil
}
