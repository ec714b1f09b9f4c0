package ship

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/gokexec/gokexec/pkg/dumpdir"
	"github.com/gokexec/gokexec/pkg/fleet"
	"github.com/gokexec/gokexec/pkg/remote"
)

// Record is the contents of ship.json: what was sent of a dump.
type Record struct {
	Location string `json:"location"`
	CrashID  string `json:"crash_id"`
	// VMCore is where the memory is: it was stored, or will not be. Pending: it is not over.
	VMCore fleet.State `json:"vmcore"`
	// Confirmed: the store has confirmed the digest of the memory.
	Confirmed bool            `json:"confirmed"`
	Files     []remote.Stored `json:"files"`
	// Over is when all was done; the zero time if it is not.
	Over     time.Time `json:"over,omitzero"`
	Attempts int       `json:"attempts"`
	// Error is what was wrong with the last attempt.
	Error string `json:"error,omitempty"`
}

// file tells what is stored of a file.
func (r *Record) file(name string) (remote.Stored, bool) {
	for _, f := range r.Files {
		if f.Name == name {
			return f, true
		}
	}
	return remote.Stored{}, false
}

// set notes what is stored of a file.
func (r *Record) set(stored remote.Stored) {
	for i := range r.Files {
		if r.Files[i].Name == stored.Name {
			r.Files[i] = stored
			return
		}
	}
	r.Files = append(r.Files, stored)
}

// readRecord reads ship.json; none is there for a dump that is new, and for one that went to another place.
func readRecord(dir *os.Root, location string) (Record, error) {
	empty := Record{Location: location, VMCore: fleet.Pending}
	var r Record
	err := dumpdir.ReadJSON(dir, dumpdir.Shipped, &r)
	var syntax *json.SyntaxError
	if errors.Is(err, fs.ErrNotExist) || err == nil && r.Location != location || errors.As(err, &syntax) {
		return empty, nil
	}
	return r, err
}

// ReadRecord reads the ship.json of a dump's directory; fs.ErrNotExist if nothing was sent of it.
func ReadRecord(dir string) (Record, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return Record{}, err
	}
	defer root.Close()
	var r Record
	return r, dumpdir.ReadJSON(root, dumpdir.Shipped, &r)
}

func (r *Record) write(dir *os.Root) error { return writeJSON(dir, dumpdir.Shipped, r) }

func writeJSON(dir *os.Root, name string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return dumpdir.Replace(dir, name, func(w io.Writer) error {
		_, err := w.Write(append(b, '\n'))
		return err
	})
}
