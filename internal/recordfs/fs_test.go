package recordfs

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/fstest"
)

func unpack(t *testing.T, b []byte) fs.FS {
	t.Helper()
	dir := t.TempDir()
	if err := Unpack(bytes.NewReader(b), dir); err != nil {
		t.Fatal(err)
	}
	return os.DirFS(dir)
}

func TestUnpackRefuses(t *testing.T) {
	for _, h := range []tar.Header{{Typeflag: tar.TypeReg, Name: "../out"}, {Typeflag: tar.TypeReg, Name: "/out"}, {Typeflag: tar.TypeSymlink, Name: "l", Linkname: "/etc"}} {
		var buf bytes.Buffer
		w := tar.NewWriter(&buf)
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if err := Unpack(&buf, t.TempDir()); err == nil {
			t.Errorf("Unpack took %q of type %q", h.Name, h.Typeflag)
		}
	}
}

// What is read of the record is what was read of the machine.
func TestRecordReplay(t *testing.T) {
	machine := fstest.MapFS{
		"proc/cmdline":               {Data: []byte("quiet\n")},
		"proc/kcore":                 {Data: bytes.Repeat([]byte("0123456789abcdef"), 16)},
		"proc/unread":                {Data: []byte("x")},
		"sys/devices/cpu/cpu0/notes": {Data: []byte("1000\n")},
		"sys/devices/cpu/cpu1/notes": {Data: []byte("2000\n")},
		"sys/devices/cpu/possible":   {Data: []byte("0-1\n")},
	}
	const limit = 64
	read := func(t *testing.T, root fs.FS) string {
		t.Helper()
		var said strings.Builder
		for _, name := range []string{"proc/cmdline", "proc/none", "sys/devices/cpu/cpu1/notes"} {
			b, err := fs.ReadFile(root, name)
			said.Write(b)
			if errors.Is(err, fs.ErrNotExist) {
				said.WriteString("none ")
			} else if err != nil {
				t.Fatal(err)
			}
		}
		dirs, err := fs.ReadDir(root, "sys/devices/cpu")
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range dirs {
			if d.IsDir() {
				said.WriteString(d.Name() + " ")
			}
		}
		f, err := root.Open("proc/kcore")
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		b := make([]byte, 20)
		if _, err := f.(io.ReaderAt).ReadAt(b, 30); err != nil {
			t.Fatal(err)
		}
		said.Write(b)
		return said.String()
	}
	r := New(machine, limit)
	want := read(t, r)
	// Behind the limit: passed on, not kept.
	f, err := r.Open("proc/kcore")
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 16)
	if _, err := f.(io.ReaderAt).ReadAt(b, 240); err != nil || string(b) != "0123456789abcdef" {
		t.Errorf("ReadAt(240) = %q, %v; want what is there", b, err)
	}
	f.Close()
	var buf bytes.Buffer
	if err := r.WriteTar(&buf); err != nil {
		t.Fatal(err)
	}
	record := unpack(t, buf.Bytes())
	if got := read(t, record); got != want {
		t.Errorf("the record reads %q; want %q", got, want)
	}
	if _, err := fs.Stat(record, "proc/unread"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that nobody read is in the record: %v", err)
	}
	if info, err := fs.Stat(record, "proc/kcore"); err != nil || info.Size() > limit {
		t.Errorf("kcore in the record: %v, %v; want %d bytes at most", info, err, limit)
	}
	if got, err := fs.ReadFile(r, "proc/cmdline"); err != nil || string(got) != "quiet\n" {
		t.Errorf("ReadFile = %q, %v", got, err)
	}
}

func TestRecordTwice(t *testing.T) {
	var first []byte
	for i := range 2 {
		r := New(fstest.MapFS{"a/b": {Data: []byte("x")}, "a/c": {Data: nil}}, 10)
		for _, name := range []string{"a/c", "a/b"} {
			if _, err := fs.ReadFile(r, name); err != nil {
				t.Fatal(err)
			}
		}
		var buf bytes.Buffer
		if err := r.WriteTar(&buf); err != nil {
			t.Fatal(err)
		}
		if i == 1 && !bytes.Equal(buf.Bytes(), first) {
			t.Error("the same reads make another archive")
		}
		first = buf.Bytes()
	}
}
