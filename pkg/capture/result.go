package capture

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Exit codes of a capture.
const (
	// ExitComplete: the log and all of the memory are saved.
	ExitComplete = 0
	// ExitFailed: nothing is saved.
	ExitFailed = 1
	// ExitUsage: the configuration or the command line is wrong; nothing was tried.
	ExitUsage = 2
	// ExitIncomplete: the dump is saved, but pages could not be read or it
	// broke off.
	ExitIncomplete = 3
	// ExitLogOnly: only the kernel log is saved.
	ExitLogOnly = 4
	// ExitNoLog: all of the memory is saved, but its log could not be read.
	ExitNoLog = 5
)

// Outcome says in one word how a capture went.
type Outcome string

// The outcomes, from worst to best.
const (
	Failed     Outcome = "failed"     // nothing is saved
	LogOnly    Outcome = "log-only"   // the log, and nothing of the memory
	Incomplete Outcome = "incomplete" // a part of the memory
	Complete   Outcome = "complete"   // all of the memory
)

func (o Outcome) rank() int {
	switch o {
	case Complete:
		return 3
	case Incomplete:
		return 2
	case LogOnly:
		return 1
	}
	return 0
}

// Result is the contents of result.json.
type Result struct {
	GokexecVersion string  `json:"gokexec_version"`
	Outcome        Outcome `json:"outcome"`
	// Target is the target as [Target.String] names it, and Location the
	// directory in it, or the device.
	Target   string `json:"target,omitempty"`
	Location string `json:"location,omitempty"`

	// KernelRelease is the crashed kernel's (uname -r), Machine its ELF
	// machine, and CrashTime the time of its crash by its own clock.
	KernelRelease string     `json:"kernel_release,omitempty"`
	Machine       string     `json:"machine,omitempty"`
	CrashTime     *time.Time `json:"crash_time,omitempty"`
	// CaptureTime is when the capture began, by the capture kernel's clock.
	CaptureTime time.Time `json:"capture_time"`

	Log    SavedLog    `json:"log"`
	VMCore SavedVMCore `json:"vmcore"`

	Durations Durations `json:"durations"`
	// RateBytesPerSecond is the speed of copying the memory.
	RateBytesPerSecond int64     `json:"rate_bytes_per_second"`
	Memory             MemoryUse `json:"memory"`

	// Errors are what went wrong, also with targets tried before.
	Errors []string `json:"errors"`
}

// SavedLog is the kernel log.
type SavedLog struct {
	// File is the name of what is saved; empty when nothing is.
	File      string `json:"file,omitempty"`
	SizeBytes int64  `json:"size_bytes"`
	Records   int    `json:"records"`
}

// SavedVMCore is the memory.
type SavedVMCore struct {
	// File is vmcore, or vmcore.incomplete when it broke off; empty when
	// nothing is saved.
	File string `json:"file,omitempty"`
	// SizeBytes is the size of the whole dump, SavedBytes what was written of it.
	SizeBytes  int64 `json:"size_bytes"`
	SavedBytes int64 `json:"saved_bytes"`
	// IncompletePages counts the pages, of PageSizeBytes each, that could not
	// be read and are zeros in the dump; the first ones are listed by physical
	// address (0x...).
	IncompletePages      int64    `json:"incomplete_pages"`
	PageSizeBytes        int      `json:"page_size_bytes"`
	FirstIncompletePages []string `json:"first_incomplete_pages,omitempty"`
}

// Durations are the times of the stages.
type Durations struct {
	ReadLogSeconds float64 `json:"read_log_seconds"` // extract the log
	TargetSeconds  float64 `json:"target_seconds"`   // wait for the device, mount
	SaveLogSeconds float64 `json:"save_log_seconds"` // write the log, durable
	MemorySeconds  float64 `json:"memory_seconds"`   // copy the memory
	CommitSeconds  float64 `json:"commit_seconds"`   // make it durable
	TotalSeconds   float64 `json:"total_seconds"`    // since the capture began
}

// MemoryUse is what the capture took of the capture kernel's memory; 0 is unknown.
type MemoryUse struct {
	PeakRSSBytes         int64 `json:"peak_rss_bytes"` // VmHWM
	MemTotalBytes        int64 `json:"mem_total_bytes"`
	MinMemAvailableBytes int64 `json:"min_mem_available_bytes"`
}

// Bounds that keep a result small enough for resultRoom.
const (
	maxErrors     = 32
	maxErrorBytes = 1000
)

func (r *Result) addError(err error) {
	if err == nil || len(r.Errors) > maxErrors {
		return
	}
	if len(r.Errors) == maxErrors {
		r.Errors = append(r.Errors, "more errors are not listed")
		return
	}
	s := err.Error()
	if len(s) > maxErrorBytes {
		s = s[:maxErrorBytes] + "..."
	}
	s = strings.ToValidUTF8(s, "\ufffd")
	if !slices.Contains(r.Errors, s) {
		r.Errors = append(r.Errors, s)
	}
}

func (r *Result) json() ([]byte, error) {
	if r.Errors == nil {
		r.Errors = []string{}
	}
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode the result: %w", err)
	}
	return append(b, '\n'), nil
}

// clone copies what targets fill in separately.
func (r *Result) clone() *Result {
	c := *r
	c.Errors = append([]string(nil), r.Errors...)
	return &c
}

// better reports whether r saved more than o.
func (r *Result) better(o *Result) bool {
	if r.Outcome != o.Outcome {
		return r.Outcome.rank() > o.Outcome.rank()
	}
	return r.VMCore.SavedBytes > o.VMCore.SavedBytes
}

// Summary says in one line what is saved and where.
func (r *Result) Summary() string {
	where := r.Target
	if r.Location != "" && !strings.HasSuffix(where, ":"+r.Location) {
		where += " in " + r.Location
	}
	switch r.Outcome {
	case Complete:
		s := fmt.Sprintf("complete: %d MB in %.1f s, saved to %s", r.VMCore.SavedBytes/1e6, r.Durations.TotalSeconds, where)
		if r.Log.File == "" {
			s += ", without the kernel log"
		}
		return s
	case Incomplete:
		s := fmt.Sprintf("incomplete: %d of %d MB saved to %s", r.VMCore.SavedBytes/1e6, r.VMCore.SizeBytes/1e6, where)
		if n := r.VMCore.IncompletePages; n > 0 {
			s += fmt.Sprintf(", %d pages could not be read", n)
		}
		return s
	case LogOnly:
		return fmt.Sprintf("log-only: the kernel log is saved to %s, the memory is not", where)
	}
	return "failed: nothing is saved"
}

// Saved reports whether all is saved that can be read: what is unreadable stays so, and
// is no reason to wait in a shell. A nil Result is not.
func (r *Result) Saved() bool { return r != nil && r.VMCore.File == VMCoreName }

// ExitCode is the exit code for what [Run] returned.
func ExitCode(r *Result, err error) int {
	switch {
	case errors.Is(err, ErrConfig):
		return ExitUsage
	case r == nil:
		return ExitFailed
	}
	switch r.Outcome {
	case Complete:
		if r.Log.File == "" {
			return ExitNoLog
		}
		return ExitComplete
	case Incomplete:
		return ExitIncomplete
	case LogOnly:
		return ExitLogOnly
	}
	return ExitFailed
}
