package recordfs

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"sync"
)

// ErrNotSupported means that the file under the recorded one can't do that.
var ErrNotSupported = errors.New("not supported by the file system under it")

// FS passes everything to another file system, and records what was read.
// It is safe for concurrent use.
type FS struct {
	root  fs.FS
	limit int64

	mu    sync.Mutex
	files map[string][]byte
	dirs  map[string]bool
}

// New records what is read from root: of each file, the first limit bytes. What
// follows is passed on, but not recorded: /proc/kcore has no end.
func New(root fs.FS, limit int64) *FS {
	return &FS{root: root, limit: limit, files: map[string][]byte{}, dirs: map[string]bool{}}
}

// Open implements fs.FS. A file that was opened is kept even if it is empty.
func (r *FS) Open(name string) (fs.File, error) {
	f, err := r.root.Open(name)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if info.IsDir() {
		r.dirs[name] = true
	} else if _, ok := r.files[name]; !ok {
		r.files[name] = []byte{}
	}
	return &file{File: f, fs: r, name: name}, nil
}

// keep notes that b was read at an offset of a file.
func (r *FS) keep(name string, b []byte, off int64) {
	if off < 0 || off >= r.limit || len(b) == 0 {
		return
	}
	b = b[:min(int64(len(b)), r.limit-off)]
	r.mu.Lock()
	defer r.mu.Unlock()
	old := r.files[name]
	if end := int(off) + len(b); len(old) < end {
		old = append(old, make([]byte, end-len(old))...)
	}
	copy(old[off:], b)
	r.files[name] = old
}

// WriteTar writes what was read as a tar archive, sorted by name, with nothing
// in it that differs from one run to the next: no owner, no times.
func (r *FS) WriteTar(w io.Writer) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	dirs := maps.Clone(r.dirs)
	for name := range r.files {
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			dirs[dir] = true
		}
	}
	delete(dirs, ".")
	names := slices.Sorted(maps.Keys(dirs))
	names = append(names, slices.Sorted(maps.Keys(r.files))...)
	t := tar.NewWriter(w)
	for _, name := range names {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(r.files[name])), Format: tar.FormatUSTAR}
		if dirs[name] {
			h.Typeflag, h.Name, h.Mode = tar.TypeDir, name+"/", 0o755
		}
		if err := t.WriteHeader(h); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if _, err := t.Write(r.files[name]); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return t.Close()
}

// file is an open one.
type file struct {
	fs.File
	fs   *FS
	name string
	pos  int64
}

func (f *file) Read(b []byte) (int, error) {
	n, err := f.File.Read(b)
	f.fs.keep(f.name, b[:max(n, 0)], f.pos)
	f.pos += int64(n)
	return n, err
}

// ReadAt implements io.ReaderAt, where the file under it does.
func (f *file) ReadAt(b []byte, off int64) (int, error) {
	r, ok := f.File.(io.ReaderAt)
	if !ok {
		return 0, &fs.PathError{Op: "readat", Path: f.name, Err: ErrNotSupported}
	}
	n, err := r.ReadAt(b, off)
	f.fs.keep(f.name, b[:max(n, 0)], off)
	return n, err
}

// ReadDir implements fs.ReadDirFile. It records the directories in it; files are
// recorded only when they are opened.
func (f *file) ReadDir(n int) ([]fs.DirEntry, error) {
	d, ok := f.File.(fs.ReadDirFile)
	if !ok {
		return nil, &fs.PathError{Op: "readdir", Path: f.name, Err: ErrNotSupported}
	}
	list, err := d.ReadDir(n)
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	for _, e := range list {
		if e.IsDir() {
			f.fs.dirs[path.Join(f.name, e.Name())] = true
		}
	}
	return list, err
}
