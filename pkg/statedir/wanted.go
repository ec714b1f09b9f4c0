package statedir

import (
	"encoding/json"
	"errors"
	"os"
	"time"
)

// Wanted says that a crash kernel is to be loaded, and what was done about it since
// it was loaded for the last time. It begins with a load that succeeds and ends only
// with an explicit unload. A load that fails, that is killed or that another program
// makes or undoes does not end it.
type Wanted struct {
	// Failures counts attempts since then to load a crash kernel that is gone.
	Failures int       `json:"failures,omitempty"`
	Last     time.Time `json:"last_attempt,omitzero"`
	Cause    string    `json:"cause,omitempty"` // why the last one failed

	// Unloaded counts how often another program has unloaded it, and it was loaded
	// again. An explicit load starts anew.
	Unloaded int `json:"unloaded_by_others,omitempty"`
}

// Wanted reads the note. A torn one is a Wanted without numbers, and so is the
// record of a load without this note, which an older gokexec has left.
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

// Want writes the note.
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

// Unwant ends it, and what Begin has begun: nothing is to be loaded any more, whatever
// went wrong before.
func (l *Lock) Unwant() error {
	return errors.Join(l.dir.remove(RecordName), l.dir.remove(wantedName), l.dir.SetProblem(""),
		l.dir.remove(markName), l.dir.ClearMark(), l.Done())
}
