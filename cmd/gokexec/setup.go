package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/spf13/pflag"

	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/reservation"
)

// exitByHand: a step is left to the administrator.
const exitByHand = 3

func setupCommand() command {
	return command{
		name: "setup", acts: true,
		short: "make this machine save its memory when it crashes: reserve memory, name the target, enable the units",
		long: `Looks at the machine, says what it does, and does it: the kernel's command line gets crashkernel= of
the size that this machine needs (gokexec estimate), in the way of the boot loader that booted it; the directory of
the dump target is created; gokexec's units are enabled, and the distribution's own kdump is switched off. If memory is
reserved already, the crash kernel is loaded at once, else after the next boot.

Run again, it changes nothing. What it has done is noted in /var/lib/gokexec/setup.json, and
--undo takes exactly that back: a file that was changed since stays as it is, and is named.

A crashkernel= that is configured already is kept, and reported if it is too small; --crashkernel replaces it.
What setup can't do, for a boot loader that it does not know, a file that it does not understand or
can't write, it says with the words to put where.`,
		exits: []exitCode{
			{exitOK, "everything is set up, or was already"},
			{exitFailure, "a step failed; those before it are done, and noted for --undo"},
			{exitByHand, "done, but for something that is left to you: the last line says what to put where"},
		},
		orderly: true,
		setup: func(flags *pflag.FlagSet) func(context.Context, *env, []string) error {
			o := &setupOptions{}
			flags.BoolVarP(&o.dryRun, "dry-run", "n", false, "say what would be done, and change nothing")
			flags.BoolVar(&o.json, "json", false, "report as JSON")
			flags.BoolVar(&o.undo, "undo", false, "take back what setup did")
			flags.StringVar(&o.crashkernel, "crashkernel", "", "reserve this much: `VALUE`s of crashkernel=, separated by blanks; replaces what is configured")
			flags.StringArrayVar(&o.targets, "target", nil, "save dumps to `TARGET`, as for gokexec initramfs (may be repeated: the first with room counts); default: what gokexec.conf has, else /var/crash")
			flags.BoolVar(&o.keepKdump, "keep-kdump", false, "the distribution's own kdump stays in charge of loading: gokexec only keeps its header accurate")
			flags.BoolVar(&o.imported, "import", false, "take over the configuration of the distribution's kdump (/etc/kdump.conf, /etc/default/kdump-tools, /etc/sysconfig/kdump)")
			return o.run
		},
	}
}

type setupOptions struct {
	dryRun, json, undo  bool
	keepKdump, imported bool
	crashkernel         string
	targets             []string
}

func (o *setupOptions) run(ctx context.Context, e *env, args []string) error {
	if err := noArgs(args); err != nil {
		return err
	}
	if o.undo && (o.keepKdump || o.imported || o.crashkernel != "" || len(o.targets) > 0) {
		return usageError("--undo takes back all that was done: no other option than --dry-run and --json goes with it")
	}
	for _, value := range strings.Fields(o.crashkernel) {
		if _, err := reservation.Parse(value); err != nil {
			return usageError("--crashkernel: %w", err)
		}
	}
	if _, err := targetConfig(o.targets, false); len(o.targets) > 0 && err != nil {
		return usageError("--target: %w", err)
	}
	if !o.dryRun && e.sysroot == "/" && os.Geteuid() != 0 {
		return &advice.Problem{What: "only root can set up a machine", Hint: "run it as root, or with --dry-run"}
	}
	files, err := openMachineFiles(e.sysroot)
	if err != nil {
		return err
	}
	defer files.close()
	s := &setup{env: e, options: o, files: files, report: setupReport{Steps: []setupStep{}}}
	if s.record, err = readSetupRecord(files); err != nil {
		return err
	}
	s.init = e.initSystem(files)
	if o.undo {
		err = s.planUndo(ctx)
	} else {
		err = s.plan(ctx)
	}
	if err != nil {
		return err
	}
	return s.carryOut(ctx)
}

// setup is one run of the command: first steps are planned, then they are carried out.
type setup struct {
	env     *env
	options *setupOptions
	files   *machineFiles
	init    initSystem
	record  *setupRecord // nil: setup has done nothing yet
	report  setupReport
}

// setupReport is what setup --json prints.
type setupReport struct {
	Loader      string      `json:"boot_loader"` // "" if it is not known
	Crashkernel string      `json:"crashkernel"` // the words of the command line
	Why         []string    `json:"why,omitempty"`
	Reserved    uint64      `json:"reserved"` // bytes, by the running kernel
	Steps       []setupStep `json:"steps"`
	Notes       []string    `json:"notes,omitempty"`
	ByHand      string      `json:"by_hand,omitempty"` // what is left to the administrator
	Reboot      bool        `json:"reboot"`            // the reservation needs one
	DryRun      bool        `json:"dry_run"`
}

// setupStep is one thing to do.
type setupStep struct {
	Action string   `json:"action"` // write, remove, run, create, enable, disable, start, stop
	Object string   `json:"object"`
	Detail []string `json:"detail,omitempty"` // of a file: lines that go, with -, and that come, with +

	Done bool `json:"done"`

	hint string // how it is done by hand
	do   func(ctx context.Context) error
}

// reason is an error without the object of the step, which is named already.
func (s setupStep) reason(err error) string {
	var pe *fs.PathError
	if errors.As(err, &pe) && path.Join("/", pe.Path) == s.Object {
		return pe.Err.Error()
	}
	return err.Error()
}

func (s *setup) step(step setupStep) { s.report.Steps = append(s.report.Steps, step) }

func (s *setup) note(format string, args ...any) {
	s.report.Notes = append(s.report.Notes, fmt.Sprintf(format, args...))
}

// leave adds to what is left to the administrator.
func (s *setup) leave(what string) {
	s.report.ByHand = strings.TrimPrefix(s.report.ByHand+"; "+what, "; ")
}

// carryOut says what is done and does it, step by step; or only says it.
func (s *setup) carryOut(ctx context.Context) error {
	r := &s.report
	r.DryRun = s.options.dryRun
	if !s.options.json {
		return s.carryOutSaying(ctx, s.env.stdout)
	}
	err := s.carryOutSaying(ctx, io.Discard)
	return errors.Join(s.env.printJSON(r), err)
}

func (s *setup) carryOutSaying(ctx context.Context, out io.Writer) error {
	r := &s.report
	say := func(format string, args ...any) { fmt.Fprintf(out, format+"\n", args...) }
	if !s.options.undo {
		say("boot loader:  %s", orNone(r.Loader, "not known"))
		why := ""
		if len(r.Why) > 0 {
			why = " (gokexec estimate tells why)"
		}
		say("reservation:  %s%s", r.Crashkernel, why)
	}
	for _, line := range r.Notes {
		fmt.Fprintf(s.env.stderr, "gokexec: %s\n", line)
	}
	for i, step := range r.Steps {
		would := ""
		if s.options.dryRun {
			would = "would "
		}
		say("%s%s %s", would, step.Action, step.Object)
		for _, line := range step.Detail {
			say("    %s", line)
		}
		if s.options.dryRun {
			continue
		}
		if err := step.do(ctx); err != nil {
			return &advice.Problem{What: fmt.Sprintf("%s %s: %s", step.Action, step.Object, oneLine(step.reason(err))), Hint: step.hint, Err: err}
		}
		r.Steps[i].Done = true
	}
	switch {
	case r.ByHand != "":
		return &exitError{code: exitByHand, err: &advice.Problem{What: "not everything could be done", Hint: r.ByHand}}
	case len(r.Steps) == 0:
		say("nothing to do")
	}
	if r.Reboot && !s.options.undo {
		say("reboot: the memory is reserved by the next boot")
	}
	return nil
}

func orNone(s, none string) string {
	if s == "" {
		return none
	}
	return s
}
