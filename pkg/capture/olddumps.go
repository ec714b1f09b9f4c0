package capture

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/gokexec/gokexec/pkg/dumpdir"
)

// oldDump is a dump that a capture has left in a directory.
type oldDump struct {
	name     string // of its directory
	when     time.Time
	number   int   // of several of one second
	bytes    int64 // that its memory takes on the disk; 0: it has none
	complete bool
}

// compare orders dumps by age, the oldest first.
func (d oldDump) compare(o oldDump) int {
	if c := d.when.Compare(o.when); c != 0 {
		return c
	}
	return d.number - o.number
}

// listDumps lists the dumps of gokexec in a directory, the oldest first: its directories with such a name and
// a result, that belong to this user alone. No link is followed.
func listDumps(root *os.Root) ([]oldDump, error) {
	var dumps []oldDump
	err := dumpdir.Each(root, func(found dumpdir.Dump, dir *os.Root) {
		if !hasResult(dir) {
			return
		}
		d := oldDump{name: found.Name, when: found.Crash, number: found.Number}
		for _, name := range []string{VMCoreName, IncompleteName} {
			if info, err := dir.Lstat(name); err == nil && info.Mode().IsRegular() {
				d.bytes += onDisk(info)
				d.complete = d.complete || name == VMCoreName
			}
		}
		dumps = append(dumps, d)
	})
	slices.SortFunc(dumps, oldDump.compare)
	return dumps, err
}

// OpenOwn opens a directory in which files of a dump may be written: it belongs to this user alone, and the last part of
// its name is no link.
func OpenOwn(dir string) (*os.Root, error) {
	info, err := os.Lstat(dir)
	switch {
	case err != nil:
		return nil, err
	case !info.IsDir():
		return nil, &fs.PathError{Op: "open", Path: dir, Err: syscall.ENOTDIR}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	// What was opened counts.
	if info, err = root.Stat("."); err == nil && !dumpdir.Own(info) {
		err = fmt.Errorf("%s belongs to others, or may be changed by others: nothing is written there", dir)
	}
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return root, nil
}

// onDisk is what removing a file gives back, in bytes: at least 1, so that it is not nothing.
func onDisk(info fs.FileInfo) int64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return max(st.Blocks*512, 1)
	}
	return max(info.Size(), 1)
}

// hasResult tells whether a directory has the result of a capture.
func hasResult(dir *os.Root) bool {
	var r Result
	if dumpdir.ReadJSON(dir, ResultName, &r) != nil || r.CaptureTime.IsZero() {
		return false
	}
	switch r.Outcome {
	case Failed, LogOnly, Incomplete, Complete:
		return true
	}
	return false
}

// removeMemory removes the memory of a dump; its log and its result stay.
func removeMemory(root *os.Root, d oldDump) error {
	sub, err := root.OpenRoot(d.name)
	if err != nil {
		return err
	}
	defer sub.Close()
	for _, name := range []string{VMCoreName, IncompleteName} {
		if err := sub.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s: %w", d.name, err)
		}
	}
	return dumpdir.Sync(sub)
}

// expendable are the dumps with memory that may be removed, the oldest first: not the newest, nor the newest that is
// complete, nor the one named own, which is being written.
func expendable(dumps []oldDump, own string) []oldDump {
	dumps = slices.DeleteFunc(slices.Clone(dumps), func(d oldDump) bool { return d.bytes == 0 || d.name == own })
	newest, complete := len(dumps)-1, -1
	for i, d := range dumps {
		if d.complete {
			complete = i
		}
	}
	var list []oldDump
	for i, d := range dumps {
		if i != newest && i != complete {
			list = append(list, d)
		}
	}
	return list
}

// withMemory counts the dumps that have their memory, without the one named own.
func withMemory(dumps []oldDump, own string) int {
	n := 0
	for _, d := range dumps {
		if d.bytes > 0 && d.name != own {
			n++
		}
	}
	return n
}
