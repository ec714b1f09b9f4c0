package statedir

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/internal/announce"
)

// Names in the directory, beside those of announce. The lock files are never removed: a lock on a removed file
// excludes no other process.
const (
	pendingLink = "pending"
	reloadName  = "reload.lock"
	lookingName = "mark.looking"
	waitingName = "mark.waiting"
	loadingName = "loading"
	wantedName  = "wanted"
	problemName = "problem"

	// RecordName is the file with the saved state of the last crash load.
	RecordName = "crash.json"
)

// maxText bounds the message of a problem, in bytes.
const maxText = 4096

// Default is the directory on a running machine.
const Default = announce.Default

// Dir is the directory with the locks and the saved state: Default, or another that is
// empty after a boot.
type Dir string

// Mark records that memory or CPUs have changed and no process has checked yet.
func (d Dir) Mark() error { return announce.Dir(d).Mark() }

// MarkSize is the number of events that were marked since the mark was taken.
func (d Dir) MarkSize() int64 {
	info, err := os.Lstat(d.path(announce.MarkName))
	if err != nil {
		return 0
	}
	return info.Size()
}

// TakeMark renames the mark: events marked from now on belong to the next check. A
// missing mark is no error: another process took it and will check before we do.
func (d Dir) TakeMark() error {
	err := os.Rename(d.path(announce.MarkName), d.path(lookingName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// ClearMark removes the mark that TakeMark has renamed.
func (d Dir) ClearMark() error { return d.remove(lookingName) }

// Marked tells whether there is an event that no completed check has handled, as is
// normal right after an event.
func (d Dir) Marked() bool {
	return d.exists(announce.MarkName) || d.exists(lookingName) || d.exists(waitingName)
}

// Problem returns the message of the last check that found a problem and could not repair
// it, or "" if there is none.
func (d Dir) Problem() string {
	b, err := os.ReadFile(d.path(problemName))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b[:min(len(b), maxText)]))
}

// SetProblem saves the message for Problem; "" removes it.
func (d Dir) SetProblem(text string) error {
	if text == "" {
		return d.remove(problemName)
	}
	return d.write(problemName, text+"\n")
}

func (d Dir) path(name string) string { return filepath.Join(string(d), name) }

func (d Dir) exists(name string) bool {
	_, err := os.Lstat(d.path(name))
	return err == nil
}

func (d Dir) write(name, text string) error {
	if err := os.MkdirAll(string(d), 0o700); err != nil {
		return err
	}
	return os.WriteFile(d.path(name), []byte(text), 0o600)
}

func (d Dir) remove(name string) error {
	err := os.Remove(d.path(name))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return nil
	}
	return err
}
