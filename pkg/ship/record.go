package ship

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
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

// maxJSON bounds the JSON files of a dump, in bytes.
const maxJSON = 1 << 20

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
	err := readJSON(dir, dumpdir.Shipped, &r)
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
	return r, readJSON(root, dumpdir.Shipped, &r)
}

func (r *Record) write(dir *os.Root) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(dir, dumpdir.Shipped, append(b, '\n'))
}

// readJSON reads a regular file, without following a link.
func readJSON(dir *os.Root, name string, into any) error {
	f, _, err := openRegular(dir, name)
	if err != nil {
		return err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxJSON+1))
	if err == nil && len(b) > maxJSON {
		err = fmt.Errorf("%s: larger than %d bytes", name, maxJSON)
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// openRegular opens a regular file of this user, without following a link.
func openRegular(dir *os.Root, name string) (*os.File, int64, error) {
	f, err := dir.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", name)
	}
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, info.Size(), nil
}

// writeFile replaces a small file, so that it is whole after a power cut.
func writeFile(dir *os.Root, name string, data []byte) error {
	temp := name + ".part"
	f, err := dir.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return commitFile(dir, f, err, temp, name)
}

// commitFile makes a file that was written durable, and gives it its name.
func commitFile(dir *os.Root, f *os.File, err error, temp, name string) error {
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = dir.Rename(temp, name)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, errors.Join(err, dir.Remove(temp)))
	}
	return syncDir(dir)
}

func syncDir(dir *os.Root) error {
	d, err := dir.Open(".")
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, syscall.ENOTSUP) {
		return err
	}
	return nil
}
