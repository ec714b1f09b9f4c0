// Package sysfs reads small files of /proc and /sys out of an fs.FS whose root is that of a machine:
// the running one, or a collected tree. Errors name paths as the administrator knows them, with
// the leading slash that names in an fs.FS lack.
package sysfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// maxText bounds what ReadString reads, in bytes. An attribute of sysfs has at most a page
// (Documentation/filesystems/sysfs.rst), of 64 KiB on some machines.
const maxText = 64 << 10

// Rooted puts the leading slash back into the path of an *fs.PathError.
func Rooted(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) && !path.IsAbs(pe.Path) {
		return &fs.PathError{Op: pe.Op, Path: "/" + pe.Path, Err: pe.Err}
	}
	return err
}

// ReadFile reads a whole file; more than limit bytes are an error. Files of /proc and /sys don't
// tell their size beforehand.
func ReadFile(root fs.FS, name string, limit int64) ([]byte, error) {
	f, err := root.Open(name)
	if err != nil {
		return nil, Rooted(err)
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > limit { // of a tree
		return nil, tooLarge(name, limit)
	}
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, Rooted(err)
	}
	if int64(len(b)) > limit {
		return nil, tooLarge(name, limit)
	}
	return b, nil
}

func tooLarge(name string, limit int64) error {
	return fmt.Errorf("/%s: larger than %d bytes", name, limit)
}

// ReadString reads a file of at most 64 KiB, without its last newline.
func ReadString(root fs.FS, name string) (string, error) {
	b, err := ReadFile(root, name, maxText)
	return strings.TrimSuffix(string(b), "\n"), err
}

// ReadUint reads a file that holds an unsigned number, and perhaps a newline. base and bits are those
// of strconv.ParseUint.
func ReadUint(root fs.FS, name string, base, bits int) (uint64, error) {
	text, err := ReadString(root, name)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(text, base, bits)
	if err != nil {
		return 0, fmt.Errorf("/%s: %.200q is not a number of base %d and up to %d bits", name, text, base, bits)
	}
	return n, nil
}

// ReadKiB reads a line "NAME:   123 kB" of a file such as /proc/meminfo or /proc/self/status, in bytes (kernel:
// fs/proc/meminfo.c, fs/proc/task_mmu.c).
func ReadKiB(root fs.FS, file, name string) (int64, error) {
	text, err := ReadString(root, file)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(line, ":")
		if key != name {
			continue
		}
		number, unit, _ := strings.Cut(strings.TrimSpace(value), " ")
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil || n < 0 || n > 1<<53 || unit != "kB" {
			return 0, fmt.Errorf("/%s: %s: %q is not a size in kB", file, name, strings.TrimSpace(value))
		}
		return n << 10, nil
	}
	return 0, fmt.Errorf("/%s: no %s", file, name)
}
