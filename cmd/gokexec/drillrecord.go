package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/gokexec/gokexec/pkg/capture"
	"github.com/gokexec/gokexec/pkg/memmap"
	"github.com/gokexec/gokexec/pkg/record"
)

// Where what outlives a boot is kept.
const (
	defaultLibDir = "/var/lib/gokexec"
	// drillName is a drill that is under way: gokexec-drill.service starts where it is.
	drillName = "drill.json"
	// lastDrillName is how the last one ended.
	lastDrillName = "last-drill.json"
	// drillVersion rises when a field of either changes its meaning.
	drillVersion = 1
)

// drillRecord is what a drill expects of the dump that follows.
type drillRecord struct {
	Version   int       `json:"version"`
	Token     string    `json:"token"`
	Requested time.Time `json:"requested_at"`
	BootID    string    `json:"boot_id"`
	Release   string    `json:"kernel_release"`
	// Targets are the capture kernel's, in its words.
	Targets []capture.Target `json:"targets"`
	// Logged tells that the token is in the kernel log.
	Logged bool `json:"token_in_log"`
	// Pages are those that hold the token all over, by physical address, PageSize bytes each.
	Pages    []memmap.PhysAddr `json:"token_pages"`
	PageSize int               `json:"page_size_bytes"`
	// Memory is what the dump has to know of.
	Memory []record.CrashMemory `json:"memory"`
}

// lastDrill is how a drill ended.
type lastDrill struct {
	Version   int       `json:"version"`
	Passed    bool      `json:"passed"`
	Reason    string    `json:"reason,omitempty"` // why not
	Requested time.Time `json:"requested_at"`
	Verified  time.Time `json:"verified_at"`
	Release   string    `json:"kernel_release"` // of the kernel that was crashed
	Target    string    `json:"target,omitempty"`
	Dump      string    `json:"dump,omitempty"` // its directory, or the device
	// Away is how long the machine was; nil where that is not known.
	Away *drillTimes `json:"away,omitempty"`
}

// drillTimes are the stages from the crash to the verification, in seconds. Those that the clocks can't tell are nil:
// the capture kernel's is the machine's RTC.
type drillTimes struct {
	ToCapture *float64 `json:"crash_to_capture_seconds,omitempty"`
	Capture   *float64 `json:"capture_seconds,omitempty"`
	ToBoot    *float64 `json:"capture_to_boot_seconds,omitempty"`
	ToService *float64 `json:"boot_to_verification_seconds,omitempty"`
	Total     *float64 `json:"total_seconds,omitempty"`
}

// writeDurably writes a file so that it is there, whole, after a crash that follows at once.
func writeDurably(dir, name string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("encode %s: %w", name, err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, name+".*")
	if err != nil {
		return err
	}
	_, err = f.Write(append(b, '\n'))
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(dir, name))
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return syncDir(dir)
}

// removeDurably removes a file; one that is not there is no error.
func removeDurably(dir, name string) error {
	if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// readDrill reads a record of either kind. fs.ErrNotExist is wrapped if there is none.
func readDrill[T any](dir, name string) (*T, error) {
	b, err := readBounded(filepath.Join(dir, name), 1<<20)
	if err != nil {
		return nil, err
	}
	var version struct{ Version int }
	v := new(T)
	if err = json.Unmarshal(b, &version); err == nil {
		err = json.Unmarshal(b, v)
	}
	if err == nil && version.Version != drillVersion {
		err = fmt.Errorf("version %d is not of this program", version.Version)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, name), err)
	}
	return v, nil
}

// text is one line for people.
func (d *lastDrill) text() string {
	at := d.Requested.Local().Format("2006-01-02 15:04 MST")
	if !d.Passed {
		return fmt.Sprintf("failed, %s: %s", at, d.Reason)
	}
	if d.Away != nil && d.Away.Total != nil {
		return fmt.Sprintf("passed, %s; the machine was away for %.0f s", at, *d.Away.Total)
	}
	return "passed, " + at
}
