package main

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/internal/imagetest"
)

// writers are the commands that write a file, by what comes before its name.
func writers(b *bench) map[string][]string {
	init := imagetest.GoodELF(elf.EM_AARCH64, binary.LittleEndian)
	return map[string][]string{
		"collect":    {"collect"},
		"elfcorehdr": {"elfcorehdr", "build", "-o"},
		"initramfs":  {"initramfs", "--sysroot", b.dir, "-k", "9.9", "--arch", "arm64", "--init", b.file("init", init.Bytes()), "raw:/dev/nvme0n1", "-o"},
	}
}

// eachWriter runs a test for each command that can write a file here.
func eachWriter(t *testing.T, test func(t *testing.T, b *bench, argv []string)) {
	b := newBench(t)
	for name := range writers(b) {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			test(t, b, writers(b)[name])
		})
	}
}

func noLeftovers(t *testing.T, dir string) {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(dir, ".*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left over in %s: %q, %v", dir, left, err)
	}
}

func TestOutputReplaces(t *testing.T) {
	eachWriter(t, func(t *testing.T, b *bench, argv []string) {
		dir := t.TempDir()
		at := func(name string) string { return filepath.Join(dir, name) }
		b.want(exitOK, "", "", append(argv, at("new"))...)
		want, err := os.ReadFile(at("new"))
		if err != nil || len(want) == 0 {
			t.Fatalf("%d bytes, %v", len(want), err)
		}
		mode(t, at("new"), 0o600)
		// An existing file keeps its mode, also if links lead to it; the links stay.
		if err := errors.Join(os.Mkdir(at("sub"), 0o755), os.Symlink("sub", at("dir")), os.WriteFile(at("sub/old"), []byte("old"), 0o644),
			os.Chmod(at("sub/old"), 0o644), os.Symlink("dir/hop", at("link")), os.Symlink("../dir/old", at("sub/hop")), os.Symlink("sub/made", at("dangling")),
			os.Symlink("nowhere/made", at("lost")), os.Symlink("loop", at("loop"))); err != nil {
			t.Fatal(err)
		}
		if os.Getuid() == 0 {
			if err := os.Chown(at("sub/old"), 65534, 65534); err != nil {
				t.Fatal(err)
			}
		}
		owner := ownerOf(t, at("sub/old"))
		for _, name := range []string{"link", "dangling"} {
			b.want(exitOK, "", "", append(argv, at(name))...)
			if info, err := os.Lstat(at(name)); err != nil || info.Mode()&fs.ModeSymlink == 0 {
				t.Errorf("%s is no link any more: %v, %v", name, info, err)
			}
			if got, err := os.ReadFile(at(name)); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s holds %d bytes, %v; want %d", name, len(got), err, len(want))
			}
		}
		mode(t, at("sub/old"), 0o644)
		mode(t, at("sub/made"), 0o600)
		if got := ownerOf(t, at("sub/old")); got != owner {
			t.Errorf("the owner is %d now, it was %d", got, owner)
		}
		for name, wrong := range map[string]string{"sub": "is a directory", "sub/": "is a directory", "sub/.": "is a directory", "dir": "is a directory",
			"lost": "no such file", "none/x": "no such file", "none/": "is a directory", "loop": "too many levels", "new/x": "not a directory"} {
			path := at("") + "/" + name
			b.want(exitFailure, "", wrong, append(argv, path)...)
		}
		noLeftovers(t, dir)
		noLeftovers(t, at("sub"))
	})
}

func ownerOf(t *testing.T, path string) uint32 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	return st.Uid
}

func mode(t *testing.T, path string, want fs.FileMode) {
	t.Helper()
	if info, err := os.Lstat(path); err != nil || info.Mode() != want {
		t.Errorf("%s: %v, %v; want %v", path, info, err, want)
	}
}

// What is no regular file is written through, and stays what it is.
func TestOutputThrough(t *testing.T) {
	eachWriter(t, func(t *testing.T, b *bench, argv []string) {
		whole := filepath.Join(b.dir, "whole")
		b.want(exitOK, "", "", append(argv, whole)...)
		want, err := os.ReadFile(whole)
		if err != nil {
			t.Fatal(err)
		}
		fifo, link := filepath.Join(b.dir, "fifo"), filepath.Join(b.dir, "link")
		if err := errors.Join(unix.Mkfifo(fifo, 0o600), os.Symlink(fifo, link)); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{fifo, link} {
			got := make(chan []byte)
			go func() {
				data, _ := os.ReadFile(fifo)
				got <- data
			}()
			b.want(exitOK, "", "", append(argv, path)...)
			if data := <-got; !bytes.Equal(data, want) {
				t.Errorf("the FIFO got %d bytes; want %d", len(data), len(want))
			}
			mode(t, fifo, fs.ModeNamedPipe|0o600)
		}
		// A socket can't be opened; a device is written to, where a node can be made.
		socket, node := filepath.Join(b.dir, "socket"), filepath.Join(b.dir, "node")
		if err := unix.Mknod(socket, unix.S_IFSOCK|0o600, 0); err != nil {
			t.Fatal(err)
		}
		b.want(exitFailure, "", "no such device or address", append(argv, socket)...)
		for minor, code := range map[uint32]int{3: exitOK, 7: exitFailure} { // null, full
			if unix.Mknod(node, unix.S_IFCHR|0o600, int(unix.Mkdev(1, minor))) != nil {
				break
			}
			if f, err := os.OpenFile(node, os.O_WRONLY, 0); err == nil {
				f.Close()
				b.want(code, "", map[bool]string{true: "no space left"}[code != exitOK], append(argv, node)...)
			}
			mode(t, node, fs.ModeDevice|fs.ModeCharDevice|0o600)
			os.Remove(node)
		}
		noLeftovers(t, b.dir)
	})
}

// A failure leaves the old file, and no other file in the directory.
func TestOutputFails(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	if err := os.WriteFile(path, []byte("old"), 0o640); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	_, err := writeOutput(&env{}, path, privateFile, func(w io.Writer) (int, error) {
		if n, err := w.Write([]byte("half")); err != nil {
			return n, err
		}
		return 0, broken
	})
	if got, _ := os.ReadFile(path); !errors.Is(err, broken) || string(got) != "old" {
		t.Errorf("writeOutput() = %v, the file holds %q", err, got)
	}
	mode(t, path, 0o640)
	noLeftovers(t, dir)
	if _, err := writeOutput(&env{}, "", privateFile, func(w io.Writer) (int, error) { return 0, nil }); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a name: %v", err)
	}
}

// The pages and completions of help are for everybody, and go where links lead.
func TestOutputOfHelp(t *testing.T) {
	for option, name := range map[string]string{"--man": "gokexec.8", "--completions": "_gokexec"} {
		b, dir := newBench(t), t.TempDir()
		if err := os.Symlink("elsewhere", filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		b.want(exitOK, "", "", "help", option, dir)
		if info, err := os.Lstat(filepath.Join(dir, "elsewhere")); err != nil || info.Mode()&0o444 != 0o444 || info.Size() == 0 {
			t.Errorf("help %s: %v, %v", option, info, err)
		}
		b.want(exitFailure, "", "no such file", "help", option, filepath.Join(dir, "none"))
	}
}

// child is gokexec as another process, with descriptors of its own.
func (b *bench) child(script string, argv ...string) (code int, out string) {
	b.t.Helper()
	c := exec.Command("sh", append([]string{"-c", script, os.Args[0]}, argv...)...)
	c.Env, c.Dir = append(os.Environ(), stormVar+"="+b.kernel.Dir), b.dir
	text, err := c.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		b.t.Fatal(err)
	}
	return c.ProcessState.ExitCode(), string(text)
}

// The standard output is written where it stands, and nothing else gets into it.
func TestOutputToDescriptors(t *testing.T) {
	eachWriter(t, func(t *testing.T, b *bench, argv []string) {
		whole := filepath.Join(b.dir, "whole")
		b.want(exitOK, "", "", append(argv, whole)...)
		want, err := os.ReadFile(whole)
		if err != nil {
			t.Fatal(err)
		}
		for _, tt := range []struct{ script, path string }{
			{`printf x >to; "$0" "$@" >>to`, "-"},
			{`printf x >to; "$0" "$@" >>to`, "/dev/stdout"},
			{`(printf x; "$0" "$@") >to`, "/dev/stdout"},
			{`(printf x; "$0" "$@") >to`, "/proc/thread-self/fd/1"},
			{`(printf x; "$0" "$@") | cat >to`, "/dev/fd/1"},
			{`(printf x; "$0" "$@" 5>&1 >/dev/null) >to`, "/dev/fd/5"},
		} {
			code, out := b.child(tt.script, append(argv, tt.path)...)
			got, err := os.ReadFile(filepath.Join(b.dir, "to"))
			if code != 0 || err != nil || string(got) != "x"+string(want) {
				t.Errorf("%s: %s: %d, %d bytes, %v, %s; want %d bytes", tt.script, tt.path, code, len(got), err, out, len(want)+1)
			}
		}
		for script, wrong := range map[string]string{`"$0" "$@" >/dev/full`: "no space left", `"$0" "$@" >&-`: "bad file descriptor"} {
			for _, path := range []string{"-", "/dev/stdout"} {
				if code, out := b.child(script, append(argv, path)...); code == 0 || !strings.Contains(out, wrong) {
					t.Errorf("%s: %s: %d, %s; want an error: %s", script, path, code, out, wrong)
				}
			}
		}
		// A pipe that nobody reads ends it, by SIGPIPE or by the error.
		r, w, err := os.Pipe()
		if err := errors.Join(err, r.Close()); err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		for _, path := range []string{"-", "/dev/stdout"} {
			c := exec.Command(os.Args[0], append(argv[:len(argv):len(argv)], path)...)
			c.Env, c.Stdout = append(os.Environ(), stormVar+"="+b.kernel.Dir), w
			if err := c.Run(); err == nil {
				t.Errorf("%s, with no reader: no error", path)
			}
		}
		if code, out := b.child(`"$0" "$@"`, append(argv, "/dev/fd/77")...); code == 0 {
			t.Errorf("to a descriptor that is not open: %d, %s", code, out)
		}
	})
}

// What can't be printed is a failure, unless the exit code is about the machine.
func TestOutputFull(t *testing.T) {
	for _, argv := range [][]string{{"status"}, {"status", "--json"}, {"memmap"}, {"elfcorehdr", "build"}, {"version"}, {"help"}, {"help", "load"}, {"check", "--help"},
		{"load", "--crash", "vmlinuz", "--dry-run"}, {"load", "--crash", "vmlinuz", "--dry-run", "--json"}} {
		b := newBench(t)
		b.load()
		code, out := b.child(`"$0" "$@" >/dev/full`, argv...)
		if code != exitFailure || strings.Count(out, "no space left") != 1 {
			t.Errorf("%v: %d, %s; want that it failed", argv, code, out)
		}
	}
	b := newBench(t)
	if code, out := b.child(`"$0" "$@" >/dev/full`, "load", "--crash", b.vmlinuz); code != exitOK || !strings.Contains(out, "no space left") {
		t.Errorf("load: %d, %s; want what became of the load, and that its words are lost", code, out)
	}
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	e := &env{stdout: full, stderr: io.Discard}
	if code := runAs(context.Background(), e, []string{"gokexec", "version"}); code != exitFailure {
		t.Errorf("version > /dev/full = %d", code)
	}
}

// Where its directory can't be written, a file stays.
func TestOutputReadOnlyDirectory(t *testing.T) {
	b, dir := newBench(t), t.TempDir()
	path := filepath.Join(dir, "file")
	if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := exec.Command("sh", "-c", `mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" || exit 77; exec "$0" collect "$1/file"`, os.Args[0], dir)
	c.Env = append(os.Environ(), stormVar+"="+b.kernel.Dir)
	c.SysProcAttr = namespaces(unix.CLONE_NEWNS)
	out, err := c.CombinedOutput()
	if c.ProcessState == nil || c.ProcessState.ExitCode() == 77 {
		t.Skipf("no mount namespaces here: %v: %s", err, out)
	}
	if err == nil || !strings.Contains(string(out), "can't be replaced: its directory can't be written") {
		t.Errorf("collect: %v, %s", err, out)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "old" {
		t.Errorf("the file holds %q, %v", got, err)
	}
}
