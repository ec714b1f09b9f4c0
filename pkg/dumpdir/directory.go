package dumpdir

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"syscall"
	"time"
)

// MaxJSON bounds the JSON files of a dump, in bytes.
const MaxJSON = 1 << 20

// Entry is a directory with the name of a dump.
type Entry struct {
	Name   string
	When   time.Time // of the crash
	Number int       // of several of one second
}

// Compare orders dumps by age, the oldest first.
func (e Entry) Compare(o Entry) int {
	return cmp.Or(e.When.Compare(o.When), cmp.Compare(e.Number, o.Number))
}

// List lists the directories with the name of a dump that belong to this user alone, the oldest first. No link is followed.
func List(root *os.Root) ([]Entry, error) {
	dir, err := root.Open(".")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	var entries []Entry
	for _, name := range names {
		e := Entry{Name: name}
		var ok bool
		if e.When, e.Number, ok = ParseName(name); !ok {
			continue
		}
		if info, err := root.Lstat(name); err == nil && info.IsDir() && Own(info) {
			entries = append(entries, e)
		}
	}
	slices.SortFunc(entries, Entry.Compare)
	return entries, nil
}

// Own tells whether a file is this user's, and nobody else may change it.
func Own(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == os.Geteuid() && info.Mode().Perm()&0o022 == 0
}

// OpenRegular opens a regular file, and tells its size in bytes. No link is followed, and no device opened.
func OpenRegular(dir *os.Root, name string) (f *os.File, size int64, err error) {
	irregular := fmt.Errorf("%s is not a regular file", name)
	info, err := dir.Lstat(name)
	if err != nil {
		return nil, 0, err
	}
	if !info.Mode().IsRegular() {
		return nil, 0, irregular
	}
	f, err = dir.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return nil, 0, err
	}
	// What was opened counts.
	if info, err = f.Stat(); err == nil && !info.Mode().IsRegular() {
		err = irregular
	}
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, info.Size(), nil
}

// ReadJSON reads a regular file of at most [MaxJSON] bytes. No link is followed.
func ReadJSON(dir *os.Root, name string, into any) error {
	f, _, err := OpenRegular(dir, name)
	if err != nil {
		return err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, MaxJSON+1))
	if err == nil && len(b) > MaxJSON {
		err = fmt.Errorf("%s: larger than %d bytes", name, MaxJSON)
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// Sync writes the names in a directory to the disk, where its filesystem can do that.
func Sync(dir *os.Root) error {
	d, err := dir.Open(".")
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, syscall.ENOTSUP) {
		return err
	}
	return nil
}
