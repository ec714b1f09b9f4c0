package kmod

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"testing/fstest"

	"golang.org/x/sys/unix"
)

// fakeKernel answers by what it is given, and notes the calls.
type fakeKernel struct {
	t          *testing.T
	calls      []string
	answers    map[string]error // by image
	decompress error            // to a compressed file
}

func (k *fakeKernel) InitModule(image []byte, params string) error {
	k.calls = append(k.calls, "init "+string(image)+" "+params)
	return k.answers[string(image)]
}

func (k *fakeKernel) FinitModule(fd int, params string, flags int) error {
	b := make([]byte, 1024)
	n, err := unix.Pread(fd, b, 0)
	if err != nil {
		k.t.Fatal(err)
	}
	if packed := PackingOf(b[:n]) != Plain; packed != (flags == unix.MODULE_INIT_COMPRESSED_FILE) {
		k.t.Fatalf("finit_module: flags %#x; compressed %v", flags, packed)
	}
	if flags != 0 {
		k.calls = append(k.calls, "finit compressed")
		return k.decompress
	}
	k.calls = append(k.calls, "finit "+string(b[:n])+" "+params)
	return k.answers[string(b[:n])]
}

func TestLoadFromMemory(t *testing.T) {
	root := fstest.MapFS{
		"a.ko": {Data: []byte("A")}, "b.ko.xz": {Data: pack(t, ".xz", []byte("B"))},
		"c.ko.gz": {Data: pack(t, ".gz", []byte("C"))}, "d.ko.zst": {Data: pack(t, ".zst", []byte("D"))},
		"torn.ko.xz": {Data: pack(t, ".xz", []byte("B"))[:20]},
	}
	list := &List{Kernel: "6.1", Entries: []Entry{
		{Name: "a", Path: "a.ko", Params: "x=1"}, {Name: "b", Path: "b.ko.xz"}, {Name: "gone", Path: "gone.ko"},
		{Name: "c", Path: "c.ko.gz"}, {Name: "torn", Path: "torn.ko.xz", Optional: true}, {Name: "d", Path: "d.ko.zst", Optional: true},
	}}
	k := &fakeKernel{t: t, answers: map[string]error{"B": unix.EEXIST, "C": unix.ENOEXEC, "D": unix.ENODEV}}
	var results []string
	err := Load(t.Context(), k, root, list, func(r Result) {
		s := r.Name
		if r.Loaded {
			s += " loaded"
		}
		if r.Err != nil {
			s += " failed"
		}
		results = append(results, s)
	})
	if want := []string{"init A x=1", "init B ", "init C ", "init D "}; !reflect.DeepEqual(k.calls, want) {
		t.Errorf("calls %q; want %q", k.calls, want)
	}
	if want := []string{"a loaded", "b", "gone failed", "c failed", "torn failed", "d failed"}; !reflect.DeepEqual(results, want) {
		t.Errorf("results %q; want %q", results, want)
	}
	checkErr(t, "Load", err, "load module gone: lstat /gone.ko")
	checkErr(t, "Load", err, "load module c: init_module: ENOEXEC: exec format error (not a module for this kernel")
	if !errors.Is(err, unix.ENOEXEC) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EEXIST) {
		t.Errorf("Load = %v; want ENOEXEC only", err)
	}
}

func TestLoadFromDisk(t *testing.T) {
	for _, tt := range []struct {
		name       string
		decompress error
		want       []string
		wantErr    string
	}{
		{"kernel decompresses", nil, []string{"finit A x=1", "finit compressed"}, ""},
		{"no CONFIG_MODULE_DECOMPRESS", unix.EOPNOTSUPP, []string{"finit A x=1", "finit compressed", "init B "}, ""},
		{"before 5.17", unix.EINVAL, []string{"finit A x=1", "finit compressed", "init B "}, ""},
		{"refused", unix.EKEYREJECTED, []string{"finit A x=1", "finit compressed"}, "load module b: finit_module: EKEYREJECTED"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, b := range map[string][]byte{"a.ko": []byte("A"), "b.ko.xz": pack(t, ".xz", []byte("B"))} {
				if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			k := &fakeKernel{t: t, decompress: tt.decompress}
			list := &List{Kernel: "6.1", Entries: []Entry{{Name: "a", Path: "a.ko", Params: "x=1"}, {Name: "b", Path: "b.ko.xz"}}}
			err := Load(t.Context(), k, os.DirFS(dir), list, nil)
			checkErr(t, "Load", err, tt.wantErr)
			if !reflect.DeepEqual(k.calls, tt.want) {
				t.Errorf("calls %q; want %q", k.calls, tt.want)
			}
		})
	}
}

func TestLoadNoFinit(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.ko"), []byte("A"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(filepath.Join(dir, "a.ko"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	k := &fakeKernel{t: t, answers: map[string]error{"A": unix.ENOSYS}}
	if done, err := insertFile(k, f, ""); done || err != nil {
		t.Errorf("insertFile with ENOSYS = %v, %v; want false", done, err)
	}
}

func TestLoadCanceled(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	root := fstest.MapFS{"a.ko": {Data: []byte("A")}, "b.ko": {Data: []byte("B")}}
	list := &List{Kernel: "6.1", Entries: []Entry{{Name: "a", Path: "a.ko"}, {Name: "b", Path: "b.ko"}}}
	k := &fakeKernel{t: t}
	reason := errors.New("too late")
	err := Load(ctx, k, root, list, func(Result) { cancel(reason) })
	if !errors.Is(err, reason) || len(k.calls) != 1 {
		t.Errorf("Load = %v after %q; want one call, %v", err, k.calls, reason)
	}
}

// TestSystem checks that the real calls are wired: a module that is no ELF
// file is refused, for whatever reason comes first.
func TestSystem(t *testing.T) {
	if err := System().InitModule(bytes.Repeat([]byte{'x'}, 100), ""); !errors.Is(err, unix.ENOEXEC) && !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.ENOSYS) {
		t.Errorf("InitModule(garbage) = %v; want ENOEXEC, EPERM or ENOSYS", err)
	}
	if err := System().FinitModule(-1, "", 0); !errors.Is(err, unix.EBADF) && !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.ENOSYS) {
		t.Errorf("FinitModule(-1) = %v; want EBADF, EPERM or ENOSYS", err)
	}
}
