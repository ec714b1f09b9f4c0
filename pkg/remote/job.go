package remote

import (
	"encoding/json"
	"fmt"
	"io"
)

// ProgramName is the program that has the network: it is beside gokexec, or in ../lib/gokexec.
const ProgramName = "gokexec-remote"

// JobVariable is the environment variable that gokexec-remote finds its job in, as JSON.
const JobVariable = "GOKEXEC_REMOTE_JOB"

// Job is what gokexec-remote is told to do.
type Job struct {
	Settings Settings `json:"settings"`

	// Crash is what the objects belong to, and Capture that this is the kernel that captures it, whose clock may be set to
	// what follows from that. Of serve.
	Crash   *Crash `json:"crash,omitempty"`
	Capture bool   `json:"capture,omitempty"`

	// Ship is what is to be sent. Of ship.
	Ship *Ship `json:"ship,omitempty"`
}

// Ship is what is to be sent after the reboot, and what stays.
type Ship struct {
	// Directories have the dumps.
	Directories []string `json:"directories"`
	// Root is the machine's root, of which etc/machine-id is read.
	Root string `json:"root"`
	// MaxPerFingerprint is how many dumps of one fingerprint all machines together send; 0: no limit.
	MaxPerFingerprint int `json:"max_per_fingerprint"`
	// ClaimSeconds is how old a claim may become without being renewed.
	ClaimSeconds int `json:"claim_seconds"`
	// Keep is how many of the newest dumps keep their memory although it is stored; negative: all.
	Keep int `json:"keep"`
	// JSON: the summary is printed as JSON.
	JSON bool `json:"json,omitempty"`
}

// Variable is the job as gokexec-remote finds it in its environment: [JobVariable], an equals sign, and JSON.
func (j Job) Variable() (string, error) {
	b, err := json.Marshal(j)
	return JobVariable + "=" + string(b), err
}

// ReadJob reads a Job, and checks its settings. Unknown keys and trailing data are errors.
func ReadJob(r io.Reader) (Job, error) {
	var j Job
	if err := decode(r, &j); err != nil {
		return Job{}, fmt.Errorf("the job: %w", err)
	}
	return j, j.Settings.Validate()
}
