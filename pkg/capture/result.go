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
	KernelRelease string `json:"kernel_release,omitempty"`
	// BuildID is that of its vmlinux, in hexadecimal: what debugging information is found by.
	BuildID   string     `json:"build_id,omitempty"`
	Machine   string     `json:"machine,omitempty"`
	CrashTime *time.Time `json:"crash_time,omitempty"`
	// CaptureTime is when the capture began, by the capture kernel's clock.
	CaptureTime time.Time `json:"capture_time"`

	Log    SavedLog    `json:"log"`
	VMCore SavedVMCore `json:"vmcore"`
	// Report is nil where none was to be made.
	Report *SavedReport `json:"report,omitempty"`

	Durations Durations `json:"durations"`
	// RateBytesPerSecond is how much memory went into the dump a second.
	RateBytesPerSecond int64     `json:"rate_bytes_per_second"`
	Memory             MemoryUse `json:"memory"`
	// CPUs is how many the capture kernel gave.
	CPUs int `json:"cpus"`

	// Hooks are how the hooks ended, as far as they have run.
	Hooks []HookResult `json:"hooks,omitempty"`

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
	// Format, Compression (of kdump) and DumpLevel are the form of the dump.
	Format      Format `json:"format,omitempty"`
	Compression string `json:"compression,omitempty"`
	DumpLevel   int    `json:"dump_level"`
	// SizeBytes is the size of the old memory as an ELF file, SavedBytes that of the dump.
	SizeBytes  int64 `json:"size_bytes"`
	SavedBytes int64 `json:"saved_bytes"`
	// MemoryPages counts the pages of the machine, KeptPages those in the dump, and ZeroPages those of them
	// that are zeroes and took no room: of PageSizeBytes each.
	MemoryPages uint64 `json:"memory_pages"`
	KeptPages   uint64 `json:"kept_pages"`
	ZeroPages   uint64 `json:"zero_pages"`
	// Classes counts the pages by what they were used for ([pagefilter.Class]); nil if they were
	// not told apart. The classes that the dump level leaves out are not in the dump, but for
	// those that are refused.
	Classes map[string]uint64 `json:"classes,omitempty"`
	Refused []RefusedClass    `json:"refused,omitempty"`
	// UnknownPages counts those that are in the class "kept" since what they are used for can't be read.
	UnknownPages uint64 `json:"unknown_pages"`
	// IncompletePages counts the pages, of PageSizeBytes each, that could not
	// be read and are zeros in the dump; the first ones are listed by physical
	// address (0x...).
	IncompletePages      int64    `json:"incomplete_pages"`
	PageSizeBytes        int      `json:"page_size_bytes"`
	FirstIncompletePages []string `json:"first_incomplete_pages,omitempty"`
}

// RefusedClass is a class of pages that is kept although the dump level leaves it out, since it can't
// be told for certain.
type RefusedClass struct {
	Class  string `json:"class"`
	Reason string `json:"reason"`
}

// Durations are the times of the stages.
type Durations struct {
	ReadLogSeconds float64 `json:"read_log_seconds"` // extract the log
	TargetSeconds  float64 `json:"target_seconds"`   // wait for the device, mount
	SaveLogSeconds float64 `json:"save_log_seconds"` // write the log, durable
	FilterSeconds  float64 `json:"filter_seconds"`   // find out what the memory consists of
	MemorySeconds  float64 `json:"memory_seconds"`   // write the dump
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
	s := shortError(err)
	if !slices.Contains(r.Errors, s) {
		r.Errors = append(r.Errors, s)
	}
}

// shortError is the text of an error, bounded.
func shortError(err error) string {
	s := err.Error()
	if len(s) > maxErrorBytes {
		s = s[:maxErrorBytes] + "..."
	}
	return strings.ToValidUTF8(s, "\ufffd")
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
	c.Hooks = append([]HookResult(nil), r.Hooks...)
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
		s := fmt.Sprintf("complete: %s in %.1f s, saved to %s", r.VMCore.text(), r.Durations.TotalSeconds, where)
		if r.Log.File == "" {
			s += ", without the kernel log"
		}
		return s
	case Incomplete:
		s := fmt.Sprintf("incomplete: %s saved to %s", r.VMCore.text(), where)
		if n := r.VMCore.IncompletePages; n > 0 {
			s += fmt.Sprintf(", %d pages could not be read", n)
		}
		return s
	case LogOnly:
		return fmt.Sprintf("log-only: the kernel log is saved to %s, the memory is not", where)
	}
	return "failed: nothing is saved"
}

// text says how large the dump is, and of how much.
func (v *SavedVMCore) text() string {
	saved, size := v.SavedBytes/1e6, v.SizeBytes/1e6
	switch {
	case v.Format == FormatELF && v.DumpLevel == 0 && v.SavedBytes >= v.SizeBytes:
		return fmt.Sprintf("%d MB", saved)
	case v.Format == FormatELF:
		return fmt.Sprintf("%d of %d MB (level %d)", saved, size, v.DumpLevel)
	}
	return fmt.Sprintf("%d of %d MB (level %d, %s)", saved, size, v.DumpLevel, v.Compression)
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
