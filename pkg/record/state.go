package record

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/gokexec/gokexec/pkg/memmap"
	"github.com/gokexec/gokexec/pkg/plan"
	"github.com/gokexec/gokexec/pkg/statedir"
)

// stateName is the record of the last good crash load in the state directory.
const stateName = statedir.RecordName

// Version rises when a field changes its meaning.
const Version = 2

// maxState bounds what is read of a record, in bytes.
const maxState = 1 << 20

// ErrNone is wrapped when nothing is recorded, or what is there can't be read:
// both are the same to a caller.
var ErrNone = errors.New("no note of an earlier load")

// State is the record of the last good crash load: what was asked for, so that
// the very same can be loaded again, and what came of it.
type State struct {
	Version int        `json:"version"`
	Loaded  time.Time  `json:"loaded_at"`
	Asked   *plan.Spec `json:"asked_for"` // see State.Spec

	Result
}

// Result is what came of a crash load.
type Result struct {
	Method     plan.Method     `json:"method"`
	Cmdline    string          `json:"loaded_cmdline"`
	Elfcorehdr memmap.PhysAddr `json:"elfcorehdr,omitempty"`  // where it should be; 0: not known
	Updated    bool            `json:"kernel_updates_header"` // of the method Segments
	Generation string          `json:"machine,omitempty"`     // when it was planned; see machine.Host.Generation
	Memory     Fingerprint     `json:"memory,omitzero"`       // after the load
	DiskKeys   []string        `json:"disk_keys,omitempty"`   // see plan.Plan.DiskKeys; with the method Segments they are missing
	KeyCount   int             `json:"key_count,omitempty"`   // how many keys of encrypted disks the kernel has handed over, those of others too
}

// New records the load of p, but for what only a look at the memory tells.
// State.Spec undoes it.
func New(p *plan.Plan) *State {
	s := &State{Version: Version, Loaded: time.Now().UTC(), Asked: p.Spec}
	s.Result = Result{Method: p.Method, Cmdline: p.Cmdline, Updated: p.Hotplug, Generation: p.Generation, DiskKeys: p.DiskKeys}
	if header, ok := p.Segment(plan.RoleElfcorehdr); ok {
		s.Elfcorehdr = header.Phys
	}
	return s
}

// Spec gives what was asked for, by its files' paths and with a new seed.
func (s *State) Spec() *plan.Spec {
	spec := *s.Asked
	spec.ReadSeed()
	return &spec
}

// ChangedFiles names the inputs of spec, s.Spec with its files opened (plan.Open), that are not those
// of the load any more.
func (s *State) ChangedFiles(spec *plan.Spec) []string {
	var changed []string
	for _, f := range [][2]*plan.Source{{s.Asked.Kernel, spec.Kernel}, {s.Asked.Initrd, spec.Initrd}, {s.Asked.DTB, spec.DTB}} {
		if f[0] != nil && !f[0].Same(f[1]) {
			changed = append(changed, f[0].Path)
		}
	}
	return changed
}

// Write puts the record into dir, whole or not at all.
func (s *State) Write(dir string) error {
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the record of the load: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(dir, stateName+".*")
	if err != nil {
		return err
	}
	_, err = tmp.Write(append(b, '\n'))
	err = errors.Join(err, tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), filepath.Join(dir, stateName))
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	return nil
}

// Read reads the record in dir. A missing, torn or foreign one is ErrNone.
func Read(dir string) (*State, error) {
	f, err := os.Open(filepath.Join(dir, stateName))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNone, err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxState))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNone, err)
	}
	return parseState(b)
}

func parseState(b []byte) (*State, error) {
	s := &State{}
	if err := json.Unmarshal(b, &struct{ Version *int }{&s.Version}); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNone, err)
	}
	if s.Version == 1 {
		return parseState1(b)
	}
	if s.Version != Version {
		return nil, fmt.Errorf("%w: version %d is not of this program", ErrNone, s.Version)
	}
	if err := json.Unmarshal(b, s); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNone, err)
	}
	if s.Asked == nil || s.Asked.Kernel == nil || s.Asked.Kernel.Path == "" {
		return nil, fmt.Errorf("%w: it names no kernel", ErrNone)
	}
	return s, nil
}

// Remove forgets the record in dir.
func Remove(dir string) error {
	err := os.Remove(filepath.Join(dir, stateName))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil
	}
	return err
}
