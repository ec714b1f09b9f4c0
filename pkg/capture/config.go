package capture

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// ConfigPath is where [Init] looks for its configuration.
const ConfigPath = "/etc/gokexec/capture.json"

// Defaults of the durations in a [Config].
const (
	DefaultDeviceTimeout = 60 * time.Second
	DefaultStallTimeout  = 300 * time.Second
	// DefaultNetworkTimeout leaves time for a switch that forwards nothing for 30 s after the link is there (IEEE
	// 802.1D).
	DefaultNetworkTimeout = 45 * time.Second
)

// DefaultKeepDumpDays is the default of [Config.KeepDumpDays].
const DefaultKeepDumpDays = 7

// maxDays bounds Config.KeepDumpDays: a century.
const maxDays = 36525

// maxKeepDumps bounds Config.KeepDumps.
const maxKeepDumps = 10000

// maxConfigSize bounds what ParseConfig reads, in bytes.
const maxConfigSize = 1 << 20

// maxSeconds bounds the durations of a Config: a week.
const maxSeconds = 7 * 24 * 3600

// ErrConfig is wrapped by every error about a configuration.
var ErrConfig = errors.New("bad capture configuration")

// Action is what PID 1 does at its end.
type Action string

// The actions. Shell runs a shell on the console and reboots after it.
const (
	Reboot   Action = "reboot"
	Poweroff Action = "poweroff"
	Halt     Action = "halt"
	Shell    Action = "shell"
)

func (a Action) valid() bool {
	switch a {
	case Reboot, Poweroff, Halt, Shell:
		return true
	}
	return false
}

// Config says where to save and what to do then. The zero value of every field
// but Targets stands for its default.
type Config struct {
	// Targets are tried in order until one holds the whole dump.
	Targets []Target `json:"targets"`
	// Format is the form of the dump. Default: [FormatKdump].
	Format Format `json:"format,omitempty"`
	// Compress is how the pages of a dump of FormatKdump are packed: zstd, zlib, snappy, lzo or
	// none, as [kdumpfile.ParseCodec] reads it. Default: zstd.
	Compress string `json:"compress,omitempty"`
	// DumpLevel is what is left out of the dump: a sum as makedumpfile -d takes it (see
	// [pagefilter.Level]), or a list such as "1,31", of which the next one is tried when a target
	// has no room for a dump of the one before. Default: 31.
	DumpLevel string `json:"dump_level,omitempty"`
	// FinalAction is what Init does when everything that can be read is saved.
	// Default: reboot.
	FinalAction Action `json:"final_action,omitempty"`
	// FailureAction is what Init does otherwise. Default: reboot.
	FailureAction Action `json:"failure_action,omitempty"`
	// DeviceTimeoutSeconds bounds the wait for each target's device to appear.
	// Default: 60.
	DeviceTimeoutSeconds int `json:"device_timeout_seconds,omitempty"`
	// StallTimeoutSeconds is how long a target may go without any progress (a
	// disk that stopped answering) before it is given up. Default: 300.
	StallTimeoutSeconds int `json:"stall_timeout_seconds,omitempty"`
	// NetworkTimeoutSeconds bounds each step of the way to a host: until the interface has a carrier, until it has an
	// address, until the host has answered, and from then on each wait for the host. Default: 45.
	NetworkTimeoutSeconds int `json:"network_timeout_seconds,omitempty"`
	// KeepFree is what a dump leaves free in the filesystem of a directory or
	// filesystem target, for a machine that comes up after the crash: a part ("10%"), or a
	// size ("512M", "2G"; powers of 1024). Default: 5 % or 1 GiB, whichever is less.
	KeepFree string `json:"keep_free,omitempty"`
	// KeepDumpDays is how long a complete dump on a raw target is not
	// overwritten: of a machine that crashes again and again, the first dump is the
	// one to look at. 0 is not at all. Default: 7.
	KeepDumpDays *int `json:"keep_dump_days,omitempty"`
	// KeepDumps is how many dumps with their memory a directory of a target keeps, the new one among them. Of older ones
	// the memory is removed: beyond that number, and where a dump has no room, the oldest first. The newest
	// of the old ones stays. Log and result stay. 0: nothing is removed. Only dumps that a capture has made are
	// counted and removed.
	KeepDumps int `json:"keep_dumps,omitempty"`
	// ReportTimeoutSeconds is how long making the report of the crash may take, after the log is saved and before the
	// memory is. 0: none is made. Default: 10.
	ReportTimeoutSeconds *int `json:"report_timeout_seconds,omitempty"`
	// StartDirtyDegraded starts a RAID 4, 5 or 6 that lacks a member and was being written to when the machine
	// crashed. What was written last may be damaged then (the write hole), in files that have nothing to do with
	// the dump. Default: such a target is refused.
	StartDirtyDegraded bool `json:"start_dirty_degraded,omitempty"`
	// Watchdog makes Init open and feed all hardware watchdogs, from when their
	// drivers are there to the reboot: one that the crashed kernel armed would
	// fire in the middle of a dump, and they reset a capture kernel that hangs.
	Watchdog bool `json:"watchdog,omitempty"`
	// FenceKdump are the nodes of a cluster that are told that a dump is being saved.
	FenceKdump FenceKdump `json:"fence_kdump,omitzero"`
	// Hooks are programs to run before and after.
	Hooks Hooks `json:"hooks,omitzero"`
}

// ParseConfig reads a JSON configuration, checks it and fills in the defaults.
// Unknown keys and trailing data are errors.
func ParseConfig(r io.Reader) (Config, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxConfigSize+1))
	if err != nil {
		return Config{}, fmt.Errorf("read capture configuration: %w", err)
	}
	if len(data) > maxConfigSize {
		return Config{}, fmt.Errorf("%w: larger than %d bytes", ErrConfig, maxConfigSize)
	}
	var c Config
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		var syntax *json.SyntaxError
		switch {
		case err == io.EOF:
			return Config{}, fmt.Errorf("%w: it is empty", ErrConfig)
		case errors.As(err, &syntax):
			return Config{}, fmt.Errorf("%w: offset %d: %w", ErrConfig, syntax.Offset, err)
		}
		return Config{}, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	if _, err := d.Token(); err != io.EOF {
		return Config{}, fmt.Errorf("%w: offset %d: data after the configuration", ErrConfig, d.InputOffset())
	}
	c = c.withDefaults()
	if err := c.Validate(); err != nil {
		return Config{}, err
	}
	return c, nil
}

func (c Config) withDefaults() Config {
	if c.FinalAction == "" {
		c.FinalAction = Reboot
	}
	if c.FailureAction == "" {
		c.FailureAction = Reboot
	}
	if c.DeviceTimeoutSeconds == 0 {
		c.DeviceTimeoutSeconds = int(DefaultDeviceTimeout / time.Second)
	}
	if c.StallTimeoutSeconds == 0 {
		c.StallTimeoutSeconds = int(DefaultStallTimeout / time.Second)
	}
	if c.NetworkTimeoutSeconds == 0 {
		c.NetworkTimeoutSeconds = int(DefaultNetworkTimeout / time.Second)
	}
	return c
}

// Validate checks everything that can be known without looking at the machine.
func (c Config) Validate() error {
	c = c.withDefaults()
	if len(c.Targets) == 0 {
		return fmt.Errorf("%w: no targets", ErrConfig)
	}
	for i, t := range c.Targets {
		if err := t.Validate(); err != nil {
			return fmt.Errorf("%w: targets[%d]: %w", ErrConfig, i, err)
		}
	}
	if _, err := c.form(); err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	if !c.FinalAction.valid() {
		return fmt.Errorf("%w: final_action %q is not one of reboot, poweroff, halt, shell", ErrConfig, c.FinalAction)
	}
	if !c.FailureAction.valid() {
		return fmt.Errorf("%w: failure_action %q is not one of reboot, poweroff, halt, shell", ErrConfig, c.FailureAction)
	}
	for _, s := range []struct {
		name  string
		value int
	}{{"device_timeout_seconds", c.DeviceTimeoutSeconds}, {"stall_timeout_seconds", c.StallTimeoutSeconds}, {"network_timeout_seconds", c.NetworkTimeoutSeconds}} {
		if s.value < 0 || s.value > maxSeconds {
			return fmt.Errorf("%w: %s is %d; want 0 to %d", ErrConfig, s.name, s.value, maxSeconds)
		}
	}
	if _, err := parseReserve(c.KeepFree); err != nil {
		return fmt.Errorf("%w: keep_free is %w", ErrConfig, err)
	}
	if days := c.KeepDumpDays; days != nil && (*days < 0 || *days > maxDays) {
		return fmt.Errorf("%w: keep_dump_days is %d; want 0 to %d", ErrConfig, *days, maxDays)
	}
	if n := c.ReportTimeoutSeconds; n != nil && (*n < 0 || *n > maxReportSeconds) {
		return fmt.Errorf("%w: report_timeout_seconds is %d; want 0 to %d", ErrConfig, *n, maxReportSeconds)
	}
	if err := c.validKeepDumps(); err != nil {
		return err
	}
	if err := c.FenceKdump.validate(); err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	if err := c.Hooks.validate(); err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	return nil
}

// ValidateInit checks what Validate does, and that every target can be reached
// by PID 1 of an initramfs: a directory there is in memory, not on a disk.
func (c Config) ValidateInit() error {
	if err := c.Validate(); err != nil {
		return err
	}
	for i, t := range c.Targets {
		k, err := t.kind()
		if err != nil {
			return fmt.Errorf("%w: targets[%d]: %w", ErrConfig, i, err)
		}
		if why := k.lost(t); why != "" {
			return fmt.Errorf("%w: targets[%d]: %s", ErrConfig, i, why)
		}
	}
	if f := &c.FenceKdump; !f.none() && f.Network == nil {
		return fmt.Errorf("%w: fence_kdump: how the nodes are reached is not recorded", ErrConfig)
	}
	return nil
}

func (c Config) validKeepDumps() error {
	if n := c.KeepDumps; n < 0 || n > maxKeepDumps {
		return fmt.Errorf("%w: keep_dumps is %d; want 0 to %d", ErrConfig, n, maxKeepDumps)
	}
	return nil
}

func (c Config) keepDump() time.Duration {
	days := DefaultKeepDumpDays
	if c.KeepDumpDays != nil {
		days = *c.KeepDumpDays
	}
	return time.Duration(days) * 24 * time.Hour
}

// reserve is KeepFree as read; Validate has seen to it that it can be.
func (c Config) reserve() reserve {
	r, err := parseReserve(c.KeepFree)
	if err != nil {
		r, _ = parseReserve("")
	}
	return r
}

func (c Config) deviceTimeout() time.Duration {
	return time.Duration(c.DeviceTimeoutSeconds) * time.Second
}

func (c Config) stallTimeout() time.Duration {
	return time.Duration(c.StallTimeoutSeconds) * time.Second
}
