package loader

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/gokexec/gokexec/pkg/memmap"
)

// stateName is the note of the last good crash load in the state directory.
const stateName = "crash.json"

// stateVersion rises when a field changes its meaning.
const stateVersion = 1

// maxState bounds what is read as a note, in bytes.
const maxState = 1 << 20

// ErrNoState is wrapped when nothing is noted, or what is there can't be read:
// both are the same to a caller.
var ErrNoState = errors.New("no note of an earlier load")

// State is the note of the last good crash load: its inputs, so that the very
// same can be loaded again.
type State struct {
	Version int       `json:"version"`
	Method  Method    `json:"method"`
	Kernel  StateFile `json:"kernel"`
	Initrd  StateFile `json:"initrd,omitzero"`
	Cmdline string    `json:"cmdline"`
	Loaded  time.Time `json:"loaded_at"`
	Asked   Method    `json:"method_asked_for"`

	// Of use once the load has been looked at (LoadSettled).
	Generation string      `json:"machine,omitempty"` // see Generation
	Memory     Fingerprint `json:"memory,omitzero"`

	Elfcorehdr memmap.PhysAddr `json:"elfcorehdr,omitempty"` // where it should be; 0: not known

	// Of the method Segments.
	Hotplug  Hotplug `json:"hotplug"` // as asked for
	Updated  bool    `json:"kernel_updates_header"`
	NoChecks bool    `json:"no_checks,omitempty"`
	Serial   Serial  `json:"serial,omitzero"`

	Options SegmentOptions `json:"segment_options,omitzero"`
	DTB     StateFile      `json:"dtb,omitzero"` // if one was given
}

// StateFile names an input and what it looked like.
type StateFile struct {
	Path     string    `json:"path"`
	Size     int64     `json:"size_bytes"`
	Modified time.Time `json:"modified_at"`
}

func newState(p *Plan) *State {
	s := &State{Version: stateVersion, Method: p.Method, Asked: p.asked, Cmdline: p.Cmdline, Loaded: time.Now().UTC(), Kernel: stateFile(p.Kernel.Path), Options: p.options}
	if p.Initrd != nil {
		s.Initrd = stateFile(p.Initrd.Path)
	}
	if p.Method == Segments {
		s.Hotplug, s.Updated, s.NoChecks, s.Serial = p.wantedHotplug, p.Hotplug, p.NoChecks, p.Serial
		if p.dtb != nil {
			s.DTB = stateFile(p.dtb.Path)
		}
		if header, ok := p.Segment(RoleElfcorehdr); ok {
			s.Elfcorehdr = header.Phys
		}
	}
	return s
}

func stateFile(path string) StateFile {
	abs, err := filepath.Abs(path)
	if err != nil {
		abs = path
	}
	f := StateFile{Path: abs}
	if info, err := os.Stat(abs); err == nil {
		f.Size, f.Modified = info.Size(), info.ModTime().UTC()
	}
	return f
}

// Write puts the note into dir, whole or not at all.
func (s *State) Write(dir string) error {
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the note of the load: %w", err)
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

// ReadState reads the note in dir. A missing, torn or foreign one is ErrNoState.
func ReadState(dir string) (*State, error) {
	f, err := os.Open(filepath.Join(dir, stateName))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoState, err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxState))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoState, err)
	}
	return parseState(b)
}

func parseState(b []byte) (*State, error) {
	s := &State{}
	if err := json.Unmarshal(b, s); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoState, err)
	}
	if s.Version != stateVersion || s.Kernel.Path == "" {
		return nil, fmt.Errorf("%w: version %d with kernel %q is not a note of this program", ErrNoState, s.Version, s.Kernel.Path)
	}
	return s, nil
}

// RemoveState forgets the note in dir.
func RemoveState(dir string) error {
	err := os.Remove(filepath.Join(dir, stateName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Spec opens the noted inputs. The caller closes Kernel and Initrd.
func (s *State) Spec() (*Spec, error) {
	spec := &Spec{Kind: Crash, Cmdline: s.Cmdline, CmdlineExact: true,
		Method: s.Method, Hotplug: s.Hotplug, NoChecks: s.NoChecks, Serial: s.Serial, Options: s.Options}
	spec.ReadSeed()
	var err error
	if spec.Kernel, err = Open(s.Kernel.Path); err != nil {
		return nil, err
	}
	// A kernel that is a UKI brings its initrd itself.
	if s.Initrd.Path != "" && s.Initrd.Path != s.Kernel.Path {
		if spec.Initrd, err = Open(s.Initrd.Path); err != nil {
			return nil, errors.Join(err, spec.Kernel.Close())
		}
	}
	if s.DTB.Path != "" {
		if spec.DTB, err = Open(s.DTB.Path); err != nil {
			return nil, errors.Join(err, spec.Kernel.Close(), spec.Initrd.Close())
		}
	}
	return spec, nil
}
