package vmlab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// freshFor is how long a resolved package set, or apt's lists, are used before
// the archive is asked again.
const freshFor = 24 * time.Hour

// cache is the laboratory's directory: what has been downloaded, unpacked, built.
type cache struct {
	dir string
}

// openCache makes the directory gokexec under os.UserCacheDir, or the one that
// GOKEXEC_VM_CACHE names.
func openCache() (cache, error) {
	dir := os.Getenv("GOKEXEC_VM_CACHE")
	if dir == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			return cache{}, fmt.Errorf("no place for the VM laboratory's files: %w", err)
		}
		dir = filepath.Join(base, "gokexec")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return cache{}, err
	}
	return cache{dir}, nil
}

func (c cache) path(elem ...string) string {
	return filepath.Join(append([]string{c.dir}, elem...)...)
}

// lock takes the named lock, exclusively, against other processes and other
// goroutines; the lock dies with the process.
func (c cache) lock(ctx context.Context, name string) (unlock func(), err error) {
	path := c.path("lock", name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, fmt.Errorf("wait for lock %s: %w", path, context.Cause(ctx))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// Cached is a directory of the cache, which fill makes, once: it gets a temporary one that takes the place if there is no
// error. Other processes and goroutines that want the same wait for it.
func Cached(ctx context.Context, name string, fill func(tmp string) error) (string, error) {
	c, err := openCache()
	if err != nil {
		return "", err
	}
	unlock, err := c.lock(ctx, strings.ReplaceAll(name, "/", "-"))
	if err != nil {
		return "", err
	}
	defer unlock()
	dir := c.path(name)
	return dir, unpackInto(dir, fill)
}

// unpackInto makes dir by fill, which gets a temporary directory next to it: dir
// either doesn't exist or is whole. An existing dir is kept.
func unpackInto(dir string, fill func(tmp string) error) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	parent := filepath.Dir(dir)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(parent, ".unpack-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if err := os.Chmod(tmp, 0o755); err != nil {
		return err
	}
	if err := fill(tmp); err != nil {
		return err
	}
	return os.Rename(tmp, dir)
}

// readRecord decodes a JSON file; a missing or torn one is no record.
func readRecord(path string, record any) (ok bool) {
	text, err := os.ReadFile(path)
	return err == nil && json.Unmarshal(text, record) == nil
}

// recorded is what every record has.
type recorded struct {
	Dir      string    `json:"dir"` // under the cache
	Resolved time.Time `json:"resolved"`
}

func (r recorded) base() recorded { return r }

// current returns the record at path if what it names is still there and good, and
// was looked for today; else what fetch gets, which is recorded. Where the archive is
// out of reach, yesterday's serves. A nil good takes all.
func current[R interface{ base() recorded }](ctx context.Context, c cache, path string, good func(R) bool, fetch func() (R, error)) (R, error) {
	var record R
	have := readRecord(path, &record)
	if have {
		_, err := os.Stat(c.path(record.base().Dir))
		have = err == nil && (good == nil || good(record))
	}
	if have && time.Since(record.base().Resolved) <= freshFor && !refreshWanted() {
		return record, nil
	}
	newer, err := fetch()
	switch {
	case err == nil:
		return newer, writeRecord(path, newer)
	case !have || refreshWanted() || ctx.Err() != nil:
		return record, err
	}
	return record, nil
}

// writeRecord replaces a JSON file.
func writeRecord(path string, record any) error {
	text, err := json.MarshalIndent(record, "", "\t")
	if err != nil {
		return err
	}
	return replaceFile(path, append(text, '\n'), 0o644)
}

func replaceFile(path string, content []byte, mode fs.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(content)
	if err := errors.Join(err, f.Chmod(mode), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// refreshWanted says whether GOKEXEC_VM_REFRESH asks for a new resolution now.
func refreshWanted() bool {
	return os.Getenv("GOKEXEC_VM_REFRESH") == "1"
}
