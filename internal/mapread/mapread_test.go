package mapread

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// testFile has three windows and a part of one.
func testFile(t *testing.T) (*os.File, []byte) {
	t.Helper()
	content := make([]byte, 3*WindowSize+12345)
	r := rand.NewChaCha8([32]byte{1})
	r.Read(content)
	name := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f, content
}

// Whatever is read, by many at once and with few windows, is what the file has.
func TestReadAt(t *testing.T) {
	file, content := testFile(t)
	for _, windows := range []int{1, 2, 9} {
		f := New(file, int64(len(content)), windows)
		var wg sync.WaitGroup
		for seed := range uint64(4) {
			wg.Go(func() {
				r := rand.New(rand.NewPCG(seed, 0))
				for range 200 {
					at, length := r.IntN(len(content)), 1<<r.IntN(23)
					b := make([]byte, length)
					n, err := f.ReadAt(b, int64(at))
					if want := content[at:min(at+length, len(content))]; !bytes.Equal(b[:n], want) || n < length && err != io.EOF || n == length && err != nil {
						t.Errorf("ReadAt(%d bytes at %d) = %d, %v; want %d of the file", length, at, n, err, len(want))
					}
				}
			})
		}
		wg.Wait()
		if !f.Mapped() {
			t.Error("the file was not mapped")
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestBounds(t *testing.T) {
	file, content := testFile(t)
	f := New(file, int64(len(content)), 2)
	defer f.Close()
	b := make([]byte, 10)
	if n, err := f.ReadAt(b, int64(len(content))); n != 0 || err != io.EOF {
		t.Errorf("at the end: %d, %v; want EOF", n, err)
	}
	if n, err := f.ReadAt(b, -1); n != 0 || err == nil {
		t.Errorf("before the begin: %d, %v; want an error", n, err)
	}
}

// A page that faults is an error of the read, and not the end of the program; the pages around
// it are there.
func TestFault(t *testing.T) {
	file, content := testFile(t)
	f := New(file, int64(len(content)), 2)
	defer f.Close()
	b := make([]byte, 4096)
	for range 2 { // maps the window
		if _, err := f.ReadAt(b, WindowSize); err != nil {
			t.Fatal(err)
		}
	}
	if err := file.Truncate(WindowSize + 8192); err != nil {
		t.Fatal(err)
	}
	if n, err := f.ReadAt(b, WindowSize+8192); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("behind the new end: %d, %v; want EOF, as read(2)", n, err)
	}
	if n, err := f.ReadAt(b, WindowSize+4096); n != len(b) || err != nil || !bytes.Equal(b, content[WindowSize+4096:][:4096]) {
		t.Errorf("before it: %d, %v", n, err)
	}
	long := make([]byte, 3*4096)
	if n, err := f.ReadAt(long, WindowSize); n != 8192 || !errors.Is(err, io.EOF) || !bytes.Equal(long[:n], content[WindowSize:][:n]) {
		t.Errorf("over it: %d, %v; want 8192, EOF", n, err)
	}
}

// InPlace gives what the file has, where that is not too much; a page that faults, and what is in no
// mapping, is reported.
func TestInPlace(t *testing.T) {
	file, content := testFile(t)
	f := New(file, int64(len(content)), 2)
	defer f.Close()
	var got []byte
	use := func(b []byte) error {
		got = append(got[:0], b...)
		return nil
	}
	for _, tt := range []struct {
		offset, length int
		want           bool
	}{
		{5, worthMapping, true}, {WindowSize - worthMapping, worthMapping, true}, {3*WindowSize + 45, 12300, false}, {3*WindowSize + 45, 12300, true},
		{WindowSize - 1, worthMapping, true}, {WindowSize - 1, MaxInPlace, true}, {2*WindowSize - 1, MaxInPlace + 2, false}, {len(content) - 100, 101, false}, {-1, 8, false}, {len(content) + WindowSize, 8, false}, {0, -1, false},
	} {
		ok, err := f.InPlace(int64(tt.offset), tt.length, use)
		if ok != tt.want || err != nil || ok && !bytes.Equal(got, content[tt.offset:][:tt.length]) {
			t.Errorf("InPlace(%d bytes at %d) = %v, %v; want %v", tt.length, tt.offset, ok, err, tt.want)
		}
	}
	want := errors.New("of the user")
	if ok, err := f.InPlace(0, 8, func([]byte) error { return want }); !ok || err != want {
		t.Errorf("InPlace() = %v, %v; want the error of what it called", ok, err)
	}
	if err := file.Truncate(4096); err != nil {
		t.Fatal(err)
	}
	if ok, err := f.InPlace(0, worthMapping, use); ok || err != nil {
		t.Errorf("InPlace() = %v, %v after the file has become shorter; want false", ok, err)
	}
	if ok, err := f.InPlace(7, 8, use); !ok || err != nil || !bytes.Equal(got, content[7:15]) {
		t.Errorf("InPlace() = %v, %v of what is still there", ok, err)
	}
	for i := range f.windows {
		if f.windows[i].users != 0 {
			t.Errorf("window %d is still in use", i)
		}
	}
}

// A mapping is made for a part that is read a second time, or by much at once.
func TestWorthMapping(t *testing.T) {
	file, content := testFile(t)
	f := New(file, int64(len(content)), 2)
	defer f.Close()
	mapped := func(base int64) bool {
		return f.windows[0].data != nil && f.windows[0].base == base || f.windows[1].data != nil && f.windows[1].base == base
	}
	read := func(length int, at int64) {
		b := make([]byte, length)
		if _, err := f.ReadAt(b, at); err != nil || !bytes.Equal(b, content[at:][:length]) {
			t.Errorf("ReadAt(%d bytes at %d): %v", length, at, err)
		}
	}
	if read(8, 5); mapped(0) {
		t.Error("mapped for 8 bytes")
	}
	if read(8, 4000); !mapped(0) {
		t.Error("not mapped when read again")
	}
	if read(worthMapping, WindowSize+7); !mapped(WindowSize) {
		t.Error("not mapped for a long read")
	}
}

// What can't be mapped is read.
func TestNotMapped(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	defer r.Close()
	content := []byte("some text")
	f := New(r, int64(len(content)), 1)
	f.file = bytes.NewReader(content)
	b := make([]byte, len(content))
	f.again(0)
	if n, err := f.ReadAt(b, 0); n != len(b) || err != nil || !bytes.Equal(b, content) || f.Mapped() {
		t.Errorf("ReadAt = %q, %v, mapped %v; want the text, not mapped", b[:n], err, f.Mapped())
	}
}

// A panic that is no fault stays one.
func TestOtherPanic(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("the panic is lost")
		}
	}()
	f := &File{windows: make([]window, 1), file: bytes.NewReader(nil), size: WindowSize}
	f.windows[0] = window{data: []byte{1}}
	_, _ = f.ReadAt(make([]byte, 1), 5) // beyond what is mapped
}

// brokenAt fails every read that touches a place, as a whole.
type brokenAt struct {
	r  io.ReaderAt
	at int64
}

var errBroken = errors.New("broken")

func (b brokenAt) ReadAt(p []byte, offset int64) (int, error) {
	if offset <= b.at && b.at < offset+int64(len(p)) {
		return 0, errBroken
	}
	return b.r.ReadAt(p, offset)
}

// All that is in front of a page that can't be read is returned, and what is behind it can be read.
func TestPages(t *testing.T) {
	content := make([]byte, 10*4096)
	rand.NewChaCha8([32]byte{2}).Read(content)
	r := Pages(brokenAt{bytes.NewReader(content), 5*4096 + 7}, 4096)
	for _, tt := range []struct {
		offset, length, want int
		err                  error
	}{
		{0, 10 * 4096, 5 * 4096, errBroken}, {100, 6 * 4096, 5*4096 - 100, errBroken}, {5 * 4096, 4096, 0, errBroken}, {5 * 4096, 9000, 0, errBroken},
		{5*4096 + 8, 8, 8, nil}, {6 * 4096, 4 * 4096, 4 * 4096, nil}, {6 * 4096, 5 * 4096, 4 * 4096, io.EOF}, {5*4096 + 1, 100, 0, errBroken},
	} {
		b := make([]byte, tt.length)
		n, err := r.ReadAt(b, int64(tt.offset))
		if n != tt.want || !errors.Is(err, tt.err) || !bytes.Equal(b[:n], content[tt.offset:][:n]) {
			t.Errorf("ReadAt(%d bytes at %d) = %d, %v; want %d, %v", tt.length, tt.offset, n, err, tt.want, tt.err)
		}
	}
}
