package capture

import (
	"bytes"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestSystemFiles uses the real system where that needs no privileges.
func TestSpace(t *testing.T) {
	s, err := NewSystem().Space(t.TempDir())
	if err != nil || s.Total <= 0 || s.Available < 0 || s.Available > s.Total {
		t.Errorf("Space = %+v, %v", s, err)
	}
	if _, err := NewSystem().Space("/proc"); err == nil {
		t.Error("Space of /proc: no error")
	}
	if got := bytesOf(1<<60, 4096); got != 1<<63-1 {
		t.Errorf("bytesOf(1<<60, 4096) = %d", got)
	}
}

func TestSystemFiles(t *testing.T) {
	sys, dir := NewSystem(), t.TempDir()
	sub := filepath.Join(dir, "sub")
	if err := sys.Mkdir(sub, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := sys.Mkdir(sub, 0o700); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Mkdir again: %v; want ErrExist", err)
	}
	name := filepath.Join(sub, "f")
	f, err := sys.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := newWriteBehind(f, 0)
	data := bytes.Repeat([]byte("0123456789abcdef"), (3*writeBehindWindow+5000)/16)
	for rest := data; len(rest) > 0; {
		n, err := w.Write(rest[:min(len(rest), chunkSize)])
		if err != nil {
			t.Fatal(err)
		}
		rest = rest[n:]
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	if size, err := f.Size(); err != nil || size != int64(len(data)) {
		t.Errorf("Size = %d, %v; want %d", size, err, len(data))
	}
	if got := mustRead(t, name); !bytes.Equal(got, data) {
		t.Error("contents differ")
	}
	if err := sys.SyncDir(sub); err != nil {
		t.Error(err)
	}
	if err := sys.Rename(name, name+"2"); err != nil {
		t.Error(err)
	}
	if info, err := sys.Lstat(name + "2"); err != nil || info.Size() != int64(len(data)) {
		t.Errorf("Lstat: %v", err)
	}
	if err := sys.Unmount(sub); err == nil {
		t.Error("Unmount of what isn't mounted: no error")
	}
	if err := sys.Mount("none", filepath.Join(dir, "none"), "tmpfs", ""); err == nil {
		t.Error("Mount on what isn't there: no error")
	}
	if _, err := sys.Console(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Console: %v; want ErrNotExist", err)
	}
}

// rangeRecorder notes which bytes are dirty, written back and waited for.
type rangeRecorder struct {
	File
	t              *testing.T
	dirty, started map[int64]bool // by byte / 4096
	most           int
	fail           error
}

func (r *rangeRecorder) WriteAt(p []byte, offset int64) (int, error) {
	for i := range int64(len(p)) {
		r.dirty[(offset+i)/4096] = true
	}
	r.most = max(r.most, len(r.dirty))
	return len(p), nil
}

func (r *rangeRecorder) WriteBack(offset, length int64, wait bool) error {
	for i := offset / 4096; i <= (offset+length-1)/4096; i++ {
		if wait {
			if !r.started[i] {
				r.t.Errorf("page %d is waited for before its write is started", i)
			}
			delete(r.dirty, i)
		}
		r.started[i] = true
	}
	return r.fail
}

// TestWriteBehind: at most two windows and a chunk are ever dirty.
func TestWriteBehind(t *testing.T) {
	r := &rangeRecorder{t: t, dirty: map[int64]bool{}, started: map[int64]bool{}}
	w := newWriteBehind(r, 512)
	rnd := rand.New(rand.NewPCG(1, 2))
	for total := 0; total < 10*writeBehindWindow; {
		n := rnd.IntN(chunkSize) + 1
		if m, err := w.Write(make([]byte, n)); m != n || err != nil {
			t.Fatalf("Write = %d, %v", m, err)
		}
		total += n
	}
	if limit := 2 * (writeBehindWindow + chunkSize) / 4096; r.most > limit {
		t.Errorf("%d pages were dirty; want at most %d", r.most, limit)
	}
	r.fail = syscall.EIO
	var err error
	for range 2 * writeBehindWindow / chunkSize {
		if _, err = w.Write(make([]byte, chunkSize)); err != nil {
			break
		}
	}
	if !errors.Is(err, syscall.EIO) {
		t.Errorf("Write: %v; want the error of the write-back", err)
	}
}
