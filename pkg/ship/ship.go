package ship

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/pkg/dumpdir"
	"github.com/gokexec/gokexec/pkg/fleet"
	"github.com/gokexec/gokexec/pkg/seal"
	"github.com/gokexec/gokexec/pkg/store"
)

// Shipper sends dumps.
type Shipper struct {
	Store store.Store
	// Location names the store in records: what went to another one is sent again.
	Location string
	// MachineID is this machine's, as fleet.MachineID gives it.
	MachineID string
	// Encrypt are those that everything but manifests is encrypted for, if it is not yet; none: it is sent as it is.
	Encrypt seal.Recipients
	// Limit is how many dumps of a fingerprint all machines together send; 0: no limit. TTL is fleet.Claims'.
	Limit int
	TTL   time.Duration
	// Keep is how many of the newest dumps keep their memory here although the store has confirmed it; negative: all.
	Keep int
	// Say gets what is worth knowing.
	Say func(format string, args ...any)
	// Now is the time; time.Now by default.
	Now func() time.Time
}

// Errors of Run.
var (
	// ErrDeferred: other machines are sending dumps of the same crash. Come again later.
	ErrDeferred = errors.New("others are sending dumps of the same crash; come again later")
	// ErrLocked: another process ships the same directory.
	ErrLocked = errors.New("another process sends the dumps of this directory")
)

// Summary is what Run did.
type Summary struct {
	// Dumps is how many there are, Sent and Duplicates how many of those it finished: with their memory, and without since
	// enough of the fingerprint are stored. Pending is how many are not finished.
	Dumps      int `json:"dumps"`
	Sent       int `json:"sent"`
	Duplicates int `json:"duplicates"`
	Pending    int `json:"pending"`
	// Failures is how many failed, of those that are pending.
	Failures int `json:"failures"`
	// Bytes were sent; Reused were there from attempts before.
	Bytes  int64 `json:"bytes"`
	Reused int64 `json:"reused"`
	// Freed is how many bytes of memory were removed here.
	Freed int64 `json:"freed"`
}

func (s *Shipper) say(format string, args ...any) {
	if s.Say != nil {
		s.Say(format, args...)
	}
}

func (s *Shipper) now() time.Time {
	if s.Now == nil {
		return time.Now()
	}
	return s.Now()
}

// Run sends the dumps in a directory, the newest first. An error about one does not keep the others from it. The error is
// ErrDeferred if nothing else is left to do.
func (s *Shipper) Run(ctx context.Context, dir string) (sum Summary, err error) {
	root, err := os.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return sum, nil // there was no dump yet
	}
	if err != nil {
		return sum, err
	}
	defer root.Close()
	unlock, err := lock(root)
	if err != nil {
		return sum, fmt.Errorf("%s: %w", dir, err)
	}
	defer unlock()
	dumps, err := listDumps(root)
	if err != nil {
		return sum, err
	}
	sum.Dumps = len(dumps)
	var errs []error
	deferred := false
	kept := 0
	for i := range dumps {
		rec, err := s.one(ctx, root, &dumps[i], &sum)
		switch {
		case err == nil:
			if err := s.retain(root, dumps[i].name, rec, &kept, &sum); err != nil {
				errs = append(errs, err)
			}
			continue
		case errors.Is(err, ErrDeferred):
			deferred = true
		default:
			sum.Failures++
			errs = append(errs, fmt.Errorf("%s: %w", dumps[i].name, err))
		}
		sum.Pending++
		kept++
		if ctx.Err() != nil {
			sum.Pending += len(dumps) - i - 1
			break
		}
	}
	err = errors.Join(errs...)
	if totalErr := addTotals(root, sum, s.now()); err == nil {
		err = totalErr
	}
	if err == nil && deferred {
		err = ErrDeferred
	}
	return sum, err
}

// lock keeps other processes from the directory; the kernel releases it when this process ends.
func lock(root *os.Root) (func(), error) {
	d, err := root.Open(".")
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(d.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		d.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = ErrLocked
		}
		return nil, err
	}
	return func() { d.Close() }, nil
}

// one sends a dump, as far as that was not done, and records how it went.
func (s *Shipper) one(ctx context.Context, root *os.Root, d *dump, sum *Summary) (Record, error) {
	dir, err := root.OpenRoot(d.name)
	if err != nil {
		return Record{}, err
	}
	defer dir.Close()
	rec, err := readRecord(dir, s.Location)
	if err != nil {
		return rec, err
	}
	if !rec.Over.IsZero() {
		return rec, nil
	}
	rec.CrashID = fleet.CrashID(s.MachineID, d.crash(), d.number)
	rec.Attempts++
	rec.Error = ""
	if err := rec.write(dir); err != nil {
		return rec, err // nothing is sent that could not be noted
	}
	s.say("%s: crash %s", d.name, rec.CrashID)
	w := &shipment{Shipper: s, dir: dir, dump: d, rec: &rec, sum: sum}
	err = w.send(ctx)
	if err == nil {
		rec.Over = s.now().UTC().Truncate(time.Second)
		switch rec.VMCore {
		case fleet.Duplicate:
			sum.Duplicates++
		default:
			sum.Sent++
		}
	} else {
		rec.Error = err.Error()
	}
	if writeErr := rec.write(dir); err == nil {
		err = writeErr
	}
	if err == nil {
		w.removeSpool()
	}
	return rec, err
}

// retain removes the memory of a dump that the store has confirmed, if enough newer ones have theirs.
func (s *Shipper) retain(root *os.Root, name string, rec Record, kept *int, sum *Summary) error {
	dir, err := root.OpenRoot(name)
	if err != nil {
		return err
	}
	defer dir.Close()
	file := memory(dir)
	if file == "" {
		return nil
	}
	if *kept++; s.Keep < 0 || *kept <= s.Keep || rec.VMCore != fleet.Stored || !rec.Confirmed {
		return nil
	}
	*kept--
	info, err := dir.Lstat(file)
	if err != nil {
		return err
	}
	if err := dir.Remove(file); err != nil {
		return err
	}
	sum.Freed += info.Size()
	s.say("%s: removed %s, %d MB; it is stored at %s", name, file, info.Size()/1e6, s.Location)
	return dumpdir.Sync(dir)
}

func addTotals(root *os.Root, sum Summary, now time.Time) error {
	var t dumpdir.Totals
	_ = dumpdir.ReadJSON(root, dumpdir.TotalsName, &t) // one that is damaged begins again
	t.Bytes += sum.Bytes
	t.Failures += int64(sum.Failures)
	t.Sent += int64(sum.Sent)
	t.Pending, t.LastRun = sum.Pending, now.UTC().Truncate(time.Second)
	if sum.Pending == 0 {
		t.LastSuccess = t.LastRun
	}
	return writeJSON(root, dumpdir.TotalsName, t)
}
