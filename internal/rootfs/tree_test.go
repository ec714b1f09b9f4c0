package rootfs

import (
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/internal/alloctest"
)

// newTree makes a tree of files, of links by "->", and something outside of it.
func newTree(t *testing.T, entries map[string]string) (*Tree, string) {
	t.Helper()
	top := t.TempDir()
	dir := filepath.Join(top, "tree")
	if err := errors.Join(os.Mkdir(dir, 0o755), os.WriteFile(filepath.Join(top, "secret"), []byte("outside"), 0o644)); err != nil {
		t.Fatal(err)
	}
	for name, text := range entries {
		full := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if len(text) > 2 && text[:2] == "->" {
			err = os.Symlink(text[2:], full)
		} else {
			err = os.WriteFile(full, []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	tree, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return tree, dir
}

func TestTree(t *testing.T) {
	tree, _ := newTree(t, map[string]string{"proc/cmdline": "quiet\n", "sys/class/block/sda": "->../../devices/sda", "sys/devices/sda/size": "8\n", "empty": ""})
	if err := fstest.TestFS(tree, "proc/cmdline", "sys/devices/sda/size", "sys/class/block/sda", "empty"); err != nil {
		t.Error(err)
	}
	if _, err := Open(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open(none) = %v", err)
	}
}

// Links lead where chroot(2) would lead them.
func TestTreeLinks(t *testing.T) {
	tree, dir := newTree(t, map[string]string{
		"etc/passwd": "inside", "usr/lib/x": "library", "lib": "->/usr/lib", "abs": "->/etc/passwd", "rel": "->etc/passwd", "up": "->../../../../etc/passwd",
		"etc/up": "->../../etc/passwd", "chain": "->/lib/../chain2", "usr/chain2": "->/abs", "out": "->../secret", "outabs": "->" + os.TempDir(), "loop": "->loop",
		"dir": "->/", "proc/zero": "->/dev/zero",
	})
	for name, want := range map[string]string{"lib/x": "library", "abs": "inside", "rel": "inside", "up": "inside", "etc/up": "inside", "chain": "inside", "dir/dir/abs": "inside"} {
		if b, err := fs.ReadFile(tree, name); err != nil || string(b) != want {
			t.Errorf("ReadFile(%s) = %q, %v; want %q", name, b, err, want)
		}
		if info, err := fs.Stat(tree, name); err != nil || info.Size() != int64(len(want)) {
			t.Errorf("Stat(%s) = %v, %v", name, info, err)
		}
	}
	for name, want := range map[string]error{"out": fs.ErrNotExist, "outabs": fs.ErrNotExist, "proc/zero": fs.ErrNotExist, "loop": unix.ELOOP, "../secret": fs.ErrInvalid, "rel/x": unix.ENOTDIR} {
		if b, err := fs.ReadFile(tree, name); !errors.Is(err, want) {
			t.Errorf("ReadFile(%s) = %q, %v; want %v", name, b, err, want)
		}
		if _, err := fs.Stat(tree, name); !errors.Is(err, want) {
			t.Errorf("Stat(%s) = %v; want %v", name, err, want)
		}
	}
	if to, err := fs.ReadLink(tree, "lib"); err != nil || to != "/usr/lib" {
		t.Errorf("ReadLink(lib) = %q, %v", to, err)
	}
	if list, err := fs.ReadDir(tree, "lib"); err != nil || len(list) != 1 || list[0].Name() != "x" {
		t.Errorf("ReadDir(lib) = %v, %v", list, err)
	}
	// The tree is the one that was opened, wherever it goes.
	if err := os.Rename(dir, dir+"2"); err != nil {
		t.Fatal(err)
	}
	if b, err := fs.ReadFile(tree, "abs"); err != nil || string(b) != "inside" {
		t.Errorf("after a rename ReadFile(abs) = %q, %v", b, err)
	}
}

// What is no file is refused at once, and a large one before it is read.
func TestTreeNoFiles(t *testing.T) {
	tree, dir := newTree(t, map[string]string{"link": "->fifo"})
	at := func(name string) string { return filepath.Join(dir, name) }
	l, err := net.Listen("unix", at("socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := unix.Mkfifo(at("fifo"), 0o644); err != nil {
		t.Fatal(err)
	}
	names := []string{"socket", "fifo", "link"}
	if unix.Mknod(at("zero"), unix.S_IFCHR|0o644, int(unix.Mkdev(1, 5))) == nil {
		names = append(names, "zero")
	}
	for _, name := range names {
		if b, err := fs.ReadFile(tree, name); !errors.Is(err, ErrNotRegular) {
			t.Errorf("ReadFile(%s) = %d bytes, %v", name, len(b), err)
		}
		if f, err := tree.Open(name); !errors.Is(err, ErrNotRegular) {
			t.Errorf("Open(%s) = %v, %v", name, f, err)
		}
	}
	for name, size := range map[string]int64{"10 GB": 10 << 30, "just over": MaxFile + 1} {
		f, err := os.Create(at(name))
		if err := errors.Join(err, f.Truncate(size), f.Close()); err != nil {
			t.Fatal(err)
		}
		var b []byte
		used := alloctest.Bytes(func() { b, err = fs.ReadFile(tree, name) })
		if !errors.Is(err, ErrTooLarge) || used > 1<<20 {
			t.Errorf("ReadFile(%s) = %d bytes, %v; %d bytes were allocated", name, len(b), err, used)
		}
	}
	// A dump or a kcore is read in place.
	f, err := tree.Open("10 GB")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if n, err := f.(io.ReaderAt).ReadAt(make([]byte, 10), 9<<30); n != 10 || err != nil {
		t.Errorf("ReadAt() = %d, %v", n, err)
	}
}
