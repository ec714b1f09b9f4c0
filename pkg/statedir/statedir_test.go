package statedir

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// newDir is a directory that is not there yet, below one that others may enter.
func newDir(t *testing.T) Dir {
	t.Helper()
	parent := filepath.Join(t.TempDir(), "run")
	if err := errors.Join(os.Mkdir(parent, 0o755), os.Chmod(filepath.Dir(filepath.Dir(parent)), 0o755)); err != nil {
		t.Fatal(err)
	}
	return Dir(filepath.Join(parent, "gokexec"))
}

func lock(t *testing.T, d Dir) *Lock {
	t.Helper()
	l, err := d.LockReload(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Release() })
	return l
}

func TestLockReload(t *testing.T) { synctest.Test(t, testLockReload) }

func testLockReload(t *testing.T) {
	d := newDir(t)
	if d.Locked() {
		t.Error("a new directory is locked")
	}
	if _, err := os.Lstat(string(d)); err == nil {
		t.Error("a look at the lock has made the directory")
	}
	l := lock(t, d)
	if !d.Locked() || l.File() == nil || l.Inherited() {
		t.Errorf("locked: %v, file %v, inherited %v", d.Locked(), l.File(), l.Inherited())
	}
	if _, err := d.LockReload(t.Context(), 10*time.Millisecond); !errors.Is(err, ErrLocked) {
		t.Errorf("a second LockReload = %v; want ErrLocked", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel)
	if _, err := d.LockReload(ctx, time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("a second LockReload, cancelled = %v; want that", err)
	}
	if err := errors.Join(l.Release(), d.Inherited().Release()); err != nil || d.Locked() {
		t.Errorf("Release = %v, locked %v", err, d.Locked())
	}
}

// The lock is never on a file that another user can open: that one could hold it.
func TestLockIsPrivate(t *testing.T) {
	others := func(path string) os.FileMode {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Mode().Perm() & 0o077
	}
	t.Run("its own file", func(t *testing.T) {
		if l := lock(t, newDir(t)); others(l.File().Name()) != 0 {
			t.Errorf("%s is open to others", l.File().Name())
		}
	})
	t.Run("a file that others can open", func(t *testing.T) {
		d := newDir(t)
		err := errors.Join(os.Mkdir(string(d), 0o755), os.WriteFile(d.path(reloadName), nil, 0o600), os.Chmod(d.path(reloadName), 0o644))
		if err != nil {
			t.Fatal(err)
		}
		if l, err := d.LockReload(t.Context(), 0); !errors.Is(err, ErrNoLock) || l == nil || l.File() != nil {
			t.Errorf("LockReload = %+v, %v; want ErrNoLock, and a Lock without a file", l, err)
		}
		// In a directory of one's own its mode is of no matter.
		if err := os.Chmod(string(d), 0o700); err != nil {
			t.Fatal(err)
		}
		if l := lock(t, d); l.File().Name() != d.path(reloadName) {
			t.Errorf("locked %s; want its own file", l.File().Name())
		}
	})
	t.Run("the nearest directory of one's own", func(t *testing.T) {
		d := newDir(t)
		parent := filepath.Dir(string(d))
		// No directory can be made where a file is.
		if err := errors.Join(os.WriteFile(string(d), nil, 0o600), os.Chmod(string(d), 0o644)); err != nil {
			t.Fatal(err)
		}
		l, err := d.LockReload(t.Context(), 0)
		if !errors.Is(err, ErrNoLock) || l == nil || l.File() != nil || d.Locked() {
			t.Errorf("LockReload below a directory for all = %+v, %v; want ErrNoLock", l, err)
		}
		if err := os.Chmod(parent, 0o700); err != nil {
			t.Fatal(err)
		}
		if l := lock(t, d); l.File().Name() != parent {
			t.Errorf("locked %s; want %s", l.File().Name(), parent)
		}
		if !d.Locked() {
			t.Error("not locked")
		}
	})
	t.Run("another user's", func(t *testing.T) {
		if os.Geteuid() != 0 {
			t.Skip("only root makes another user's file")
		}
		d := newDir(t)
		if err := errors.Join(os.Mkdir(string(d), 0o700), os.WriteFile(d.path(reloadName), nil, 0o600), os.Chown(d.path(reloadName), 65534, 65534), os.Chown(string(d), 65534, 65534)); err != nil {
			t.Fatal(err)
		}
		if _, err := d.LockReload(t.Context(), 0); !errors.Is(err, ErrNoLock) {
			t.Errorf("LockReload = %v; want ErrNoLock", err)
		}
	})
	t.Run("a link", func(t *testing.T) {
		d := newDir(t)
		target := filepath.Join(t.TempDir(), "target")
		if err := errors.Join(os.Mkdir(string(d), 0o700), os.Symlink(target, d.path(reloadName))); err != nil {
			t.Fatal(err)
		}
		if l := lock(t, d); l.File().Name() != string(d) {
			t.Errorf("locked %s; want the directory", l.File().Name())
		}
		if _, err := os.Lstat(target); err == nil {
			t.Error("the link was followed")
		}
	})
}

// The machine's own directory has more places than any other: the two must not meet.
func TestPlaces(t *testing.T) {
	own, other := Dir(Default).places(), Dir("/run/other").places()
	if got := strings.Join(other, " "); got != "/run/other /run /" {
		t.Errorf("places of another directory: %s", got)
	}
	if len(own) <= len(other) || own[0] != "/run/gokexec" {
		t.Errorf("places of the default: %q", own)
	}
	for _, place := range own[len(other):] {
		if strings.HasPrefix(place, "/tmp") || strings.HasPrefix(place, "/dev/shm") || strings.HasPrefix(place, "/run") {
			t.Errorf("%s may be another user's, or as full as /run", place)
		}
	}
}

func TestWantedNote(t *testing.T) {
	d := newDir(t)
	if w, wanted := d.Wanted(); wanted || w != (Wanted{}) {
		t.Errorf("in no directory: %+v, %v", w, wanted)
	}
	l := lock(t, d)
	want := Wanted{Failures: 3, Last: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Cause: "no\nmemory", Unloaded: 2}
	if err := l.Want(want); err != nil {
		t.Fatal(err)
	}
	if w, wanted := d.Wanted(); !wanted || w != want {
		t.Errorf("read %+v, %v; want %+v", w, wanted, want)
	}
	for _, torn := range []string{"", "{", "null", `{"failures":-1}`, `{"failures":"x"}`, "\x00\x00"} {
		if err := os.WriteFile(d.path(wantedName), []byte(torn), 0o600); err != nil {
			t.Fatal(err)
		}
		if w, wanted := d.Wanted(); !wanted || w != (Wanted{}) {
			t.Errorf("torn as %q: %+v, %v; want it wanted", torn, w, wanted)
		}
	}
	if err := errors.Join(os.Remove(d.path(wantedName)), os.WriteFile(d.path(RecordName), []byte("{"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, wanted := d.Wanted(); !wanted {
		t.Error("the record of a load without the note does not count")
	}
	err := errors.Join(l.Begin(), d.Mark(), d.TakeMark(), d.Mark(), d.SetProblem("x"), l.Want(want), l.Unwant())
	if err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(string(d))
	if err != nil || len(left) != 1 || left[0].Name() != reloadName {
		t.Errorf("after Unwant there are %v, %v; want the lock alone", left, err)
	}
	// The longest cause can be read back.
	long := Wanted{Cause: strings.Repeat("x", 1<<20)}
	if err := l.Want(long); err != nil {
		t.Fatal(err)
	}
	if w, wanted := d.Wanted(); !wanted || len(w.Cause) != maxText {
		t.Errorf("a cause of 1 MiB comes back with %d bytes, %v; want %d", len(w.Cause), wanted, maxText)
	}
}

func TestMark(t *testing.T) {
	d := newDir(t)
	if err := d.TakeMark(); err != nil || d.Marked() || d.MarkSize() != 0 {
		t.Errorf("without a mark: %v, %v, %d", err, d.Marked(), d.MarkSize())
	}
	if err := errors.Join(d.Mark(), d.Mark()); err != nil || !d.Marked() || d.MarkSize() != 2 {
		t.Errorf("after two: %v, %v, %d; want 2", err, d.Marked(), d.MarkSize())
	}
	if err := d.TakeMark(); err != nil || !d.Marked() || d.MarkSize() != 0 {
		t.Errorf("taken: %v, %v, %d; want it there, and none new", err, d.Marked(), d.MarkSize())
	}
	if err := errors.Join(d.Mark(), d.ClearMark()); err != nil || d.MarkSize() != 1 {
		t.Errorf("cleared: %v, %d; want the new one left", err, d.MarkSize())
	}
	p, err := d.TryPending()
	if err != nil || p == nil {
		t.Fatalf("TryPending = %v, %v", p, err)
	}
	if other, err := d.TryPending(); other != nil || err != nil {
		t.Errorf("a second TryPending = %v, %v; want none", other, err)
	}
	if err := p.Release(); err != nil {
		t.Fatal(err)
	}
}

// The link of the pending lock is what the udev rule tests: it leads somewhere exactly while the
// lock is held.
func TestPendingLink(t *testing.T) {
	if dir := os.Getenv("GOKEXEC_PENDING_CHILD"); dir != "" {
		p, err := Dir(dir).TryPending()
		if err != nil || p == nil {
			t.Fatalf("TryPending = %v, %v", p, err)
		}
		if err := p.Cover(); err != nil {
			t.Fatal(err)
		}
		fmt.Println("held")
		select {}
	}
	d := newDir(t)
	held := func(what string, want bool) {
		t.Helper()
		if _, err := os.Stat(d.path(pendingLink)); (err == nil) != want {
			t.Errorf("%s: the link leads somewhere: %v (%v); want %v", what, err == nil, err, want)
		}
	}
	take := func() *Pending {
		t.Helper()
		p, err := d.TryPending()
		if err != nil || p == nil {
			t.Fatalf("TryPending = %v, %v", p, err)
		}
		return p
	}
	held("before", false)
	p := take()
	held("not covering", false)
	if err := p.Cover(); err != nil || !d.Marked() {
		t.Fatalf("Cover = %v; marked: %v", err, d.Marked())
	}
	held("covering", true)
	if other, err := d.TryPending(); other != nil || err != nil {
		t.Errorf("a second TryPending = %v, %v; want none", other, err)
	}
	held("after another process found it held", true)
	if err := errors.Join(p.Take(), p.Release()); err != nil {
		t.Fatal(err)
	}
	held("released", false)
	if err := d.ClearMark(); err != nil || d.Marked() {
		t.Errorf("after the check: %v, marked: %v", err, d.Marked())
	}

	child := exec.Command(os.Args[0], "-test.run=^TestPendingLink$")
	child.Env = append(os.Environ(), "GOKEXEC_PENDING_CHILD="+string(d))
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if line != "held\n" {
		t.Errorf("the child says %q, %v", line, err)
	}
	held("by another process", true)
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // it was killed
	held("killed", false)
	// A process with the killed one's number, and a descriptor of that number, is not taken for it.
	at, err := os.Readlink(d.path(pendingLink))
	if err != nil {
		t.Fatalf("the killed process left no link: %v", err)
	}
	other, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	parts := strings.Split(at, "/") // "", proc, PID, fd, number, name
	parts[2], parts[4] = "self", fmt.Sprint(other.Fd())
	if err := errors.Join(os.Remove(d.path(pendingLink)), os.Symlink(strings.Join(parts, "/"), d.path(pendingLink))); err != nil {
		t.Fatal(err)
	}
	held("another process's descriptor", false)
	l := lock(t, d)
	p = take()
	if err := errors.Join(p.Cover(), l.Unwant()); err != nil || !d.Marked() {
		t.Errorf("Unwant: %v, marked: %v; want the mark of the process that waits left", err, d.Marked())
	}
	held("covering again", true)
	if err := errors.Join(p.Release(), l.Unwant()); err != nil || d.Marked() {
		t.Errorf("Unwant: %v, marked: %v; want no mark", err, d.Marked())
	}
}

// Any bytes of a note are read, and what is read is written again.
func FuzzWanted(f *testing.F) {
	for _, s := range []string{"", "{}", `{"failures":3,"last_attempt":"2026-01-02T03:04:05Z","cause":"x","unloaded_by_others":1}`, `{"failures":1e400}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, note []byte) {
		d := Dir(t.TempDir())
		if err := os.WriteFile(d.path(wantedName), note, 0o600); err != nil {
			t.Fatal(err)
		}
		w, wanted := d.Wanted()
		if !wanted || w.Failures < 0 || w.Unloaded < 0 {
			t.Fatalf("%q reads as %+v, %v", note, w, wanted)
		}
		if b, err := json.Marshal(w); err == nil && len(b) < maxText {
			if err := (&Lock{dir: d}).Want(w); err != nil {
				t.Fatal(err)
			}
			if again, _ := d.Wanted(); again.Failures != w.Failures || again.Unloaded != w.Unloaded || !again.Last.Equal(w.Last) {
				t.Errorf("%+v comes back as %+v", w, again)
			}
		}
	})
}
