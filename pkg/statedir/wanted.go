package statedir

import (
	"encoding/json"
	"errors"
	"os"
	"time"

	"github.com/gokexec/gokexec/internal/announce"
)

// Wanted says that a crash kernel shall be loaded, and counts the attempts since it was
// last loaded. A crash kernel is wanted from the first successful load until an explicit
// unload. A load that fails or is killed, and loads and unloads by another program, do
// not change that.
type Wanted struct {
	// Failures counts failed attempts to load a lost crash kernel.
	Failures int       `json:"failures,omitempty"`
	Last     time.Time `json:"last_attempt,omitzero"`
	Cause    string    `json:"cause,omitempty"` // why the last one failed

	// Unloaded counts how often it was loaded again after another program had unloaded
	// it. An explicit load resets it.
	Unloaded int `json:"unloaded_by_others,omitempty"`
}

// Wanted reads the file. If it is damaged, the counts are zero. If only the saved state
// of a load exists, which an older gokexec has written, a crash kernel is wanted too.
func (d Dir) Wanted() (w Wanted, wanted bool) {
	b, err := os.ReadFile(d.path(wantedName))
	if err != nil {
		return Wanted{}, d.exists(wantedName) || d.exists(RecordName)
	}
	if json.Unmarshal(b, &w) != nil || w.Failures < 0 || w.Unloaded < 0 {
		w = Wanted{}
	}
	return w, true
}

// Want writes the file.
func (l *Lock) Want(w Wanted) error {
	w.Cause = w.Cause[:min(len(w.Cause), maxText)]
	b, err := json.Marshal(w)
	if err != nil {
		return err
	}
	return l.dir.write(wantedName, string(b)+"\n")
}

// Wanted is Dir.Wanted.
func (l *Lock) Wanted() (Wanted, bool) { return l.dir.Wanted() }

// Unwant records that no crash kernel is wanted: it removes all files except the locks.
func (l *Lock) Unwant() error {
	return errors.Join(l.dir.remove(RecordName), l.dir.remove(wantedName), l.dir.SetProblem(""),
		l.dir.remove(announce.MarkName), l.dir.ClearMark(), l.dir.dropWaiting(), l.Done())
}
