package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/pflag"

	"github.com/gokexec/gokexec/pkg/report"
)

// reportOptions are those of gokexec report.
type reportOptions struct {
	output      string
	asJSON      bool
	html        string
	fingerprint string
	save        bool
	parts       bool // for gokexec capture: report.WriteParts
	addition    bool // a form other than the page is asked for
}

func reportCommand() command {
	return command{
		name: "report", args: "[DUMP...]", orderly: true,
		short: "say what crashed and why, out of a dump alone",
		long: `Prints what a dump says about its crash: what happened and where, the stacks of the CPUs, the tasks that
were blocked and what they waited for, the modules, the memory, and the end of the log. It needs neither debugging
information nor a file of the kernel, and any machine will do: all comes from the symbol table, the type information
and the unwind tables that a kernel has in its memory. What a dump or a kernel lacks costs its part of the report,
and the end of the report says so.

DUMP is what gokexec dump takes: a dump of any form, a device, all the files of a split dump; or the directory of a dump,
or a report.json. Without DUMP it is /proc/vmcore in a capture kernel, and elsewhere the newest dump at
the targets of the crash kernel that is loaded. Where a dump has no memory any more, its report.json or its log is taken.

The fingerprint is a number for the fault: the same on other machines, kernels and CPUs. --fingerprint takes it from a log
alone, of a serial console, of pstore or of netconsole.

A capture saves report.txt and report.json with each dump. --save adds them to a directory of a dump that has none, without DUMP
to all at the targets of the crash kernel that is loaded; gokexec-tidy.service does that after a reboot.`,
		setup: func(flags *pflag.FlagSet) func(context.Context, *env, []string) error {
			o := &reportOptions{}
			flags.StringVarP(&o.output, "output", "o", "-", "write the report to `FILE`, which is replaced when it is complete; - is the standard output")
			flags.BoolVar(&o.asJSON, "json", false, "as JSON, which docs/formats.md describes")
			flags.StringVar(&o.html, "html", "", "write one page to `FILE` that needs nothing else to be read; with --output or --json in addition")
			flags.StringVar(&o.fingerprint, "fingerprint", "", "print fingerprint and title of the crash in the kernel log `FILE`; - is the standard input")
			flags.BoolVar(&o.save, "save", false, "save report.txt and report.json in the directory of each dump that has none")
			flags.BoolVar(&o.parts, "parts", false, "write head, text and JSON, each ended by a NUL")
			flags.Lookup("parts").Hidden = true // of gokexec capture
			return func(ctx context.Context, e *env, args []string) error {
				o.addition = flags.Changed("output") || o.asJSON
				return o.run(ctx, e, args)
			}
		},
	}
}

func (o *reportOptions) run(ctx context.Context, e *env, args []string) error {
	switch {
	case o.fingerprint != "":
		if len(args) > 0 || o.save || o.html != "" {
			return usageError("--fingerprint takes a log in place of a DUMP, and goes with --json and --output only")
		}
		return o.ofLog(e)
	case o.save:
		if o.addition || o.html != "" {
			return usageError("--save names its files itself: --output, --json and --html don't go with it")
		}
		return o.saveAll(ctx, e, args)
	case o.parts:
		return writeParts(ctx, e, args)
	}
	r, err := e.reportOf(ctx, args)
	if err != nil {
		return err
	}
	if o.html != "" {
		if err := writeReport(e, o.html, r.WriteHTML); err != nil {
			return err
		}
		if !o.addition {
			if o.html != "-" {
				fmt.Fprintf(e.reportOn(o.html), "%s: %s\n", o.html, reportLine(r.Head()))
			}
			return nil
		}
	}
	if o.asJSON {
		return writeReport(e, o.output, r.WriteJSON)
	}
	return writeReport(e, o.output, r.WriteText)
}

// writeReport writes a form of a report to the file that path names.
func writeReport(e *env, path string, write func(io.Writer) error) error {
	_, err := writeOutput(e, path, privateFile, func(w io.Writer) (struct{}, error) { return struct{}{}, write(w) })
	return err
}

// reportLine names a crash in a line.
func reportLine(h report.Head) string {
	title := h.Title
	if title == "" {
		title = "no title: the log tells of no crash that is known"
	}
	if h.Fingerprint == "" {
		return title
	}
	return title + ", fingerprint " + h.Fingerprint
}
