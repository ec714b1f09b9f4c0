package main

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/bootloader"
)

const (
	setupRecordPath    = defaultLibDir + "/setup.json"
	setupRecordVersion = 1
)

// setupRecord is what gokexec setup has done, and what was there before. It is written before each step, so that a step that
// broke off can be taken back.
type setupRecord struct {
	Version int      `json:"version"`
	Loader  string   `json:"loader"` // as bootloader.Change has it
	Words   []string `json:"words"`  // that the command line got
	// Present is what the command lines had before.
	Present     []bootloader.Reservation `json:"present,omitempty"`
	Files       []setupRecordFile        `json:"files,omitempty"`
	Directories []string                 `json:"directories,omitempty"` // created, those above first
	Units       []setupRecordUnit        `json:"units,omitempty"`
	Undo        [][]string               `json:"undo,omitempty"`         // commands that follow when the files are back
	RulesHidden bool                     `json:"rules_hidden,omitempty"` // the distributions' udev rules
}

// setupRecordFile is a file that was written.
type setupRecordFile struct {
	Path string `json:"path"`
	Old  []byte `json:"old"` // null: there was none
	New  string `json:"new"` // digest; "": it was removed
}

// setupRecordUnit is a unit that was enabled, disabled or started.
type setupRecordUnit struct {
	Name    string `json:"name"`
	Enabled bool   `json:"enabled"` // what it is now
	Was     bool   `json:"was"`
	Started bool   `json:"started,omitempty"`
}

// readSetupRecord reads what was done; nil if nothing was.
func readSetupRecord(files *machineFiles) (*setupRecord, error) {
	b, err := files.read(setupRecordPath)
	if b == nil {
		return nil, err
	}
	r := &setupRecord{}
	if err := json.Unmarshal(b, r); err != nil {
		return nil, &advice.Problem{What: fmt.Sprintf("%s: %v", setupRecordPath, err), Err: err, Hint: "remove the file: what an earlier setup did can't be taken back then"}
	}
	if r.Version != setupRecordVersion {
		return nil, &advice.Problem{What: fmt.Sprintf("%s: version %d, this gokexec knows %d", setupRecordPath, r.Version, setupRecordVersion), Hint: "use the gokexec that wrote it"}
	}
	return r, nil
}

func (r *setupRecord) save(files *machineFiles) error {
	made, err := files.makeDirs(defaultLibDir, 0o700)
	if err != nil {
		return err
	}
	r.Directories = append(r.Directories, made...)
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return files.write(setupRecordPath, append(b, '\n'), privateFile)
}

// file notes that a file is to get new content. What it was before the first change counts, unless somebody else has
// changed it since.
func (r *setupRecord) file(name string, old, content []byte) {
	for i, f := range r.Files {
		if f.Path == name {
			if f.New != digest(old) {
				r.Files[i].Old = old
			}
			r.Files[i].New = digest(content)
			return
		}
	}
	r.Files = append(r.Files, setupRecordFile{Path: name, Old: old, New: digest(content)})
}

// unit notes the change of a unit; what it was before the first one stays.
func (r *setupRecord) unit(name string, was, enabled bool) *setupRecordUnit {
	for i := range r.Units {
		if r.Units[i].Name == name {
			r.Units[i].Enabled = enabled
			return &r.Units[i]
		}
	}
	r.Units = append(r.Units, setupRecordUnit{Name: name, Was: was, Enabled: enabled})
	return &r.Units[len(r.Units)-1]
}

// owns tells whether setup has written a file.
func (r *setupRecord) owns(name string) bool {
	return slices.ContainsFunc(r.Files, func(f setupRecordFile) bool { return f.Path == name })
}
