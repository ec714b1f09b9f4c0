package main

import (
	"fmt"
	"time"

	"github.com/spf13/pflag"

	"github.com/gokexec/gokexec/pkg/capture"
)

// defaultReport is the default of --report-timeout.
const defaultReport = int(capture.DefaultReportTimeout / time.Second)

// limitOptions are what a dump leaves alone, how long it may take and what it has, in capture and initramfs alike.
type limitOptions struct {
	keepFree      string
	keepDump      int
	keepDumps     int
	device, stall int // seconds; 0 is the default
	report        int // seconds
	dirtyDegraded bool
	form          formOptions
}

func (o *limitOptions) register(flags *pflag.FlagSet) {
	flags.StringVar(&o.keepFree, "keep-free", "", "`SIZE` (512M, 2G) or part (10%) of a filesystem that a dump leaves free; 5% or 1G by default, whichever is less")
	flags.IntVar(&o.keepDump, "keep-dump", capture.DefaultKeepDumpDays, fmt.Sprintf("`DAYS` for which raw: targets do not overwrite a complete dump, but leave it to the next target; %d by default", capture.DefaultKeepDumpDays))
	flags.IntVar(&o.keepDumps, "keep-dumps", 0, "`N` dumps that a directory keeps with their memory, the new one among them: of older ones it is removed, beyond that number and where the new one has no room; log and result stay, and so does the newest of the old ones. By default all stay")
	flags.IntVar(&o.device, "device-timeout", 0, "`SECONDS` to wait for a target's device; 60 by default")
	flags.IntVar(&o.stall, "stall-timeout", 0, "`SECONDS` without progress until a target is given up; 300 by default")
	flags.IntVar(&o.report, "report-timeout", defaultReport, fmt.Sprintf("`SECONDS` for the report of the crash, which is made after the log is saved and before the memory is; %d by default; 0: none is made", defaultReport))
	flags.BoolVar(&o.dirtyDegraded, "start-dirty-degraded", false, "let the capture start a RAID 4, 5 or 6 that lacks a member and was being written to when the machine crashed: what was written last may be damaged then, in any file")
	o.form.register(flags)
}

// given reports whether one of them differs from the default.
func (o *limitOptions) given() bool {
	return o.keepFree != "" || o.keepDump != capture.DefaultKeepDumpDays || o.keepDumps != 0 || o.device != 0 || o.stall != 0 || o.report != defaultReport || o.dirtyDegraded || o.form.given()
}

func (o *limitOptions) apply(cfg *capture.Config) {
	o.form.apply(cfg)
	cfg.KeepFree, cfg.KeepDumps = o.keepFree, o.keepDumps
	cfg.DeviceTimeoutSeconds, cfg.StallTimeoutSeconds = o.device, o.stall
	cfg.StartDirtyDegraded = o.dirtyDegraded
	if o.keepDump != capture.DefaultKeepDumpDays {
		cfg.KeepDumpDays = &o.keepDump
	}
	if o.report != defaultReport {
		cfg.ReportTimeoutSeconds = &o.report
	}
}
