package early

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/announce"
)

// Only these command lines are carried out here; nothing is done for others.
func TestCommandLines(t *testing.T) {
	defer func(was string) { release = was }(release)
	dir := announce.Dir(filepath.Join(t.TempDir(), "gokexec"))
	other, err := dir.TryPending()
	if err != nil || other == nil {
		t.Fatal(other, err)
	}
	defer other.Close()
	for _, tt := range []struct {
		argv, release string
		stdout        string
		marks         bool
		done          bool
	}{
		{"gokexec version", "v1", "gokexec v1 (", false, true},
		{"/usr/sbin/gokexec --version", "v1", "gokexec v1 (", false, true},
		{"./gokexec -V more", "v1", "gokexec v1 (", false, true},
		{"gokexec version", "", "", false, false},
		{"gokexec hotplug", "", "", true, true},
		{"/usr/sbin/gokexec hotplug --hand-over unit", "", "", true, true},
		{"gokexec hotplug --hand-over=unit", "", "", false, false},
		{"gokexec hotplug --daemon", "", "", false, false},
		{"gokexec hotplug --reload-method load", "", "", false, false},
		{"gokexec hotplug --hand-over unit --daemon", "", "", false, false},
		{"gokexec status", "v1", "", false, false},
		{"gokexec", "v1", "", false, false},
		{"", "v1", "", false, false},
		{"kexec --version", "v1", "", false, false},
		{"/sbin/vmcore-dmesg --version", "v1", "", false, false},
		{"makedumpfile -V", "v1", "", false, false},
		{"gokexec/ version", "v1", "", false, false},
		{"gokexec kexec --version", "v1", "", false, false},
	} {
		release = tt.release
		path := filepath.Join(t.TempDir(), "stdout")
		out, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		got := done(strings.Fields(tt.argv), dir, out)
		if err := out.Close(); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got != tt.done || !strings.HasPrefix(string(text), tt.stdout) || (tt.stdout == "") != (len(text) == 0) {
			t.Errorf("%s: done %v, stdout %q; want %v, %q", tt.argv, got, text, tt.done, tt.stdout)
		}
		err = os.Remove(filepath.Join(string(dir), announce.MarkName))
		if marked := err == nil; marked != tt.marks {
			t.Errorf("%s: a mark: %v (%v); want %v", tt.argv, marked, err, tt.marks)
		}
	}
}

// An event is main's if no other process holds the pending lock, or if that or the mark is not certain.
func TestEventsOfMain(t *testing.T) {
	argv := []string{"gokexec", "hotplug"}
	for name, prepare := range map[string]func(t *testing.T, dir string) error{
		"no other process":    func(*testing.T, string) error { return nil },
		"a file":              func(_ *testing.T, dir string) error { return os.WriteFile(dir, nil, 0o600) },
		"the mark is no file": func(_ *testing.T, dir string) error { return os.MkdirAll(filepath.Join(dir, announce.MarkName), 0o700) },
		"the lock is no file": func(_ *testing.T, dir string) error {
			return os.MkdirAll(filepath.Join(dir, announce.PendingName), 0o700)
		},
		"the lock is a link":     lockIsLink,
		"the lock is everyone's": everyonesLock,
	} {
		dir := filepath.Join(t.TempDir(), "gokexec")
		if err := prepare(t, dir); err != nil {
			t.Fatal(err)
		}
		if done(argv, announce.Dir(dir), nil) {
			t.Errorf("%s: the event is not handled", name)
		}
	}
}

func lockIsLink(_ *testing.T, dir string) error {
	return errors.Join(os.Mkdir(dir, 0o700), os.Symlink("elsewhere", filepath.Join(dir, announce.PendingName)))
}

// everyonesLock is held by this process, as it could be by any: neither the file nor the directory keeps others away.
func everyonesLock(t *testing.T, dir string) error {
	held, err := announce.Dir(dir).TryPending()
	if err != nil || held == nil {
		t.Fatal(held, err)
	}
	t.Cleanup(func() { held.Close() })
	return errors.Join(held.Chmod(0o666), os.Chmod(dir, 0o777))
}
