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
	network       int // seconds; 0 is the default
	dirtyDegraded bool
	fenceNodes    []string
	fenceInterval int // seconds; 0 is the default
	form          formOptions
}

func (o *limitOptions) register(flags *pflag.FlagSet) {
	flags.StringVar(&o.keepFree, "keep-free", "", "`SIZE` (512M, 2G) or part (10%) of a filesystem that a dump leaves free; 5% or 1G by default, whichever is less")
	flags.IntVar(&o.keepDump, "keep-dump", capture.DefaultKeepDumpDays, fmt.Sprintf("`DAYS` for which raw: targets do not overwrite a complete dump, but leave it to the next target; %d by default", capture.DefaultKeepDumpDays))
	flags.IntVar(&o.keepDumps, "keep-dumps", 0, "`N` dumps that a directory keeps with their memory, the new one among them: of older ones it is removed, beyond that number and where the new one has no room; log and result stay, and so does the newest of the old ones. By default all stay")
	flags.IntVar(&o.device, "device-timeout", 0, "`SECONDS` to wait for a target's device; 60 by default")
	flags.IntVar(&o.stall, "stall-timeout", 0, "`SECONDS` without progress until a target is given up; 300 by default")
	flags.IntVar(&o.report, "report-timeout", defaultReport, fmt.Sprintf("`SECONDS` for the report of the crash, which is made after the log is saved and before the memory is; %d by default; 0: none is made", defaultReport))
	flags.IntVar(&o.network, "network-timeout", 0, "`SECONDS` for each step of the way to a target over the network, until it has a link, an address, an answer, and for each later wait for it; 45 by default")
	flags.BoolVar(&o.dirtyDegraded, "start-dirty-degraded", false, "let the capture start a RAID 4, 5 or 6 that lacks a member and was being written to when the machine crashed: what was written last may be damaged then, in any file")
	flags.StringArrayVar(&o.fenceNodes, "fence-kdump", nil, "cluster `NODE` (HOST or HOST:PORT) that is told by fence_kdump's message that a dump is being saved, so that this machine is not fenced (may be repeated)")
	flags.IntVar(&o.fenceInterval, "fence-kdump-interval", 0, "`SECONDS` from one message to the next; 10 by default")
	o.form.register(flags)
}

// given reports whether one of them differs from the default.
func (o *limitOptions) given() bool {
	return o.keepFree != "" || o.keepDump != capture.DefaultKeepDumpDays || o.keepDumps != 0 || o.device != 0 || o.stall != 0 || o.report != defaultReport || o.network != 0 || o.dirtyDegraded || len(o.fenceNodes) > 0 || o.fenceInterval != 0 || o.form.given()
}

func (o *limitOptions) apply(cfg *capture.Config) {
	o.form.apply(cfg)
	cfg.KeepFree, cfg.KeepDumps = o.keepFree, o.keepDumps
	cfg.DeviceTimeoutSeconds, cfg.StallTimeoutSeconds = o.device, o.stall
	cfg.NetworkTimeoutSeconds = o.network
	cfg.StartDirtyDegraded = o.dirtyDegraded
	cfg.FenceKdump.Nodes, cfg.FenceKdump.IntervalSeconds = o.fenceNodes, o.fenceInterval
	if o.keepDump != capture.DefaultKeepDumpDays {
		cfg.KeepDumpDays = &o.keepDump
	}
	if o.report != defaultReport {
		cfg.ReportTimeoutSeconds = &o.report
	}
}
