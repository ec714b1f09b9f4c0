package initramfs

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"math"
	"path"
	"slices"
	"strings"
)

// File is an additional file, directory or link for the archive. The
// zero Mode is a regular file of mode 0644.
type File struct {
	// Path is where it goes, without a leading slash. Missing parents are
	// made, with mode 0755.
	Path string
	// Mode is the kind (regular, fs.ModeDir or fs.ModeSymlink) and the
	// permissions, with fs.ModeSetuid, fs.ModeSetgid and fs.ModeSticky.
	Mode fs.FileMode
	// Content is a regular file's contents, of Size bytes. It is read while
	// the archive is written, and not closed.
	Content io.ReaderAt
	Size    int64 // bytes
	// Target is a symbolic link's.
	Target string
}

// Bytes returns a regular file with contents in memory.
func Bytes(path string, perm fs.FileMode, b []byte) File {
	return File{Path: path, Mode: perm.Perm(), Content: bytes.NewReader(b), Size: int64(len(b))}
}

// item is an entry of the archive before it is written.
type item struct {
	path string
	mode uint64 // st_mode
	// open gives a regular file's or a link's contents.
	open         func() (io.ReaderAt, int64, error)
	major, minor uint64 // of a device node
	implied      bool   // a parent nobody asked for
}

const (
	// maxPath is PATH_MAX: init/initramfs.c skips longer names and link
	// targets, each with its NUL.
	maxPath = 4096 - 1
	// maxSize is what the 8 hex digits of c_filesize hold.
	maxSize = math.MaxUint32
)

// layout is the archive's items by path.
type layout map[string]*item

func (l layout) add(it *item) error {
	if !fs.ValidPath(it.path) || it.path == "." || strings.ContainsRune(it.path, 0) || len(it.path) > maxPath {
		return fmt.Errorf("initramfs: %q: bad path", it.path)
	}
	if it.path == trailer {
		return fmt.Errorf("initramfs: %q: this name ends the archive", it.path)
	}
	if old, ok := l[it.path]; ok {
		isDir := it.mode&modeType == modeDir
		if !old.implied || !isDir {
			return fmt.Errorf("initramfs: /%s: there twice", it.path)
		}
	}
	l[it.path] = it
	for p := path.Dir(it.path); p != "."; p = path.Dir(p) {
		parent, ok := l[p]
		if !ok {
			l[p] = &item{path: p, mode: modeDir | 0o755, implied: true}
			continue
		}
		if parent.mode&modeType != modeDir {
			return fmt.Errorf("initramfs: /%s: /%s is not a directory", it.path, p)
		}
	}
	return nil
}

func (l layout) dir(name string, perm uint64) error {
	return l.add(&item{path: name, mode: modeDir | perm})
}

func (l layout) char(name string, perm, major, minor uint64) error {
	return l.add(&item{path: name, mode: modeChar | perm, major: major, minor: minor})
}

func (l layout) file(f File) error {
	it := &item{path: f.Path, mode: permissions(f.Mode)}
	switch f.Mode.Type() {
	case 0:
		if f.Mode == 0 {
			it.mode = 0o644
		}
		if f.Content == nil && f.Size != 0 || f.Size < 0 {
			return fmt.Errorf("initramfs: /%s: %d bytes without contents", f.Path, f.Size)
		}
		it.mode |= modeFile
		it.open = func() (io.ReaderAt, int64, error) { return f.Content, f.Size, nil }
	case fs.ModeDir:
		it.mode |= modeDir
	case fs.ModeSymlink:
		if f.Target == "" || len(f.Target) > maxPath || strings.ContainsRune(f.Target, 0) {
			return fmt.Errorf("initramfs: /%s: bad link target %q", f.Path, f.Target)
		}
		it.mode = modeLink | 0o777
		it.open = func() (io.ReaderAt, int64, error) {
			return strings.NewReader(f.Target), int64(len(f.Target)), nil
		}
	default:
		return fmt.Errorf("initramfs: /%s: mode %v: want a regular file, a directory or a symbolic link", f.Path, f.Mode)
	}
	return l.add(it)
}

// permissions are the lower 12 bits of st_mode.
func permissions(m fs.FileMode) uint64 {
	p := uint64(m.Perm())
	for _, b := range []struct {
		mode fs.FileMode
		bit  uint64
	}{{fs.ModeSetuid, 0o4000}, {fs.ModeSetgid, 0o2000}, {fs.ModeSticky, 0o1000}} {
		if m&b.mode != 0 {
			p |= b.bit
		}
	}
	return p
}

// write writes all items, sorted by path, so that a directory comes before
// what is in it.
func (l layout) write(w io.Writer) ([]Entry, error) {
	paths := make([]string, 0, len(l))
	for p := range l {
		paths = append(paths, p)
	}
	slices.Sort(paths)
	cw := &cpioWriter{w: w}
	var entries []Entry
	for _, p := range paths {
		it := l[p]
		var content io.Reader
		var size int64
		if it.open != nil {
			r, n, err := it.open()
			if err != nil {
				return nil, err
			}
			if n > maxSize {
				return nil, fmt.Errorf("initramfs: /%s: %d bytes; the format holds at most %d", p, n, int64(maxSize))
			}
			size = n
			if size > 0 {
				content = io.NewSectionReader(r, 0, size)
			}
		}
		if err := cw.entry(it, content, size); err != nil {
			return nil, fmt.Errorf("initramfs: write /%s: %w", p, err)
		}
		entries = append(entries, Entry{Path: p, Mode: fileMode(it.mode), Size: size})
	}
	if err := cw.end(); err != nil {
		return nil, fmt.Errorf("initramfs: write trailer: %w", err)
	}
	return entries, nil
}

// fileMode is permissions' counterpart, for what layout makes.
func fileMode(mode uint64) fs.FileMode {
	m := fs.FileMode(mode & 0o777)
	switch mode & modeType {
	case modeDir:
		m |= fs.ModeDir
	case modeLink:
		m |= fs.ModeSymlink
	case modeChar:
		m |= fs.ModeDevice | fs.ModeCharDevice
	}
	if mode&0o1000 != 0 {
		m |= fs.ModeSticky
	}
	if mode&0o2000 != 0 {
		m |= fs.ModeSetgid
	}
	if mode&0o4000 != 0 {
		m |= fs.ModeSetuid
	}
	return m
}
