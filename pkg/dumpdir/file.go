package dumpdir

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// MaxJSON bounds the JSON files of a dump, in bytes.
const MaxJSON = 1 << 20

// OpenRegular opens a regular file, without following a link, and gives its size in bytes. What is something else is not
// opened.
func OpenRegular(dir *os.Root, name string) (*os.File, int64, error) {
	info, err := dir.Lstat(name)
	if err == nil {
		err = regular(info)
	}
	if err != nil {
		return nil, 0, err
	}
	f, err := dir.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return nil, 0, err
	}
	// What was opened counts.
	if info, err = f.Stat(); err == nil {
		err = regular(info)
	}
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, info.Size(), nil
}

func regular(info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", info.Name())
	}
	return nil
}

// ReadJSON reads a regular file of at most MaxJSON bytes, without following a link. The error wraps fs.ErrNotExist if it
// is not there, and json's of a text that is none.
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

// Replace writes a file under another name, and gives it its own when all of it is on the disk. No link is followed.
func Replace(dir *os.Root, name string, write func(io.Writer) error) error {
	temp := name + ".incomplete"
	if err := dir.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := dir.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	err = write(f)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = dir.Rename(temp, name)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, errors.Join(err, dir.Remove(temp)))
	}
	return Sync(dir)
}

// Sync makes the names in a directory durable, where its filesystem can.
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
