package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/internal/kexeccmd"
	"github.com/gokexec/gokexec/internal/uname"
	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/bootimage"
	"github.com/gokexec/gokexec/pkg/check"
	"github.com/gokexec/gokexec/pkg/cmdline"
	"github.com/gokexec/gokexec/pkg/kexec"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/memmap"
	"github.com/gokexec/gokexec/pkg/plan"
)

// kexecError is a failure in the words and with the exit code of kexec-tools.
type kexecError struct {
	code  int
	lines []string
	hint  string
	err   error
}

func (e *kexecError) Error() string { return strings.Join(e.lines, "; ") }

func (e *kexecError) Unwrap() error { return e.err }

func (k *kexecRun) load(ctx context.Context) int {
	if len(k.inv.Kernels) == 0 {
		fmt.Fprintln(k.stderr, kexeccmd.TextNoKernel)
		k.printUsage()
		return kexeccmd.ExitFailed
	}
	k.image = k.inv.Kernels[0]
	for _, extra := range k.inv.Kernels[1:] {
		k.debugf("%q is one kernel too many, and is ignored", extra)
	}
	k.debugOptions()
	spec, err := k.spec()
	if err != nil {
		return k.fail(nil, err)
	}
	p, err := k.carryOut(ctx, spec)
	if err != nil {
		return k.fail(p, err)
	}
	return kexeccmd.ExitOK
}

// carryOut plans, checks and loads, as gokexec load does.
func (k *kexecRun) carryOut(ctx context.Context, spec *plan.Spec) (*plan.Plan, error) {
	l := k.loader()
	l.Check = k.check
	out, err := l.Load(ctx, spec)
	k.logUnarmed(err)
	if out.Verification != nil {
		k.debugf("elfcorehdr: %v", out.Verification)
	}
	return out.Plan, err
}

// check refuses what the kernel would refuse.
func (k *kexecRun) check(host *machine.Host, in *plan.Inputs, p *plan.Plan) ([]advice.Finding, error) {
	policy := check.Load(host, p)
	if k.inv.Debug {
		k.printPlan(p, policy)
		k.debugCmdline(p)
	}
	for _, f := range check.Initrd(nil, in, p, host) {
		if f.Level >= advice.Warning { // kexec-tools loads any file
			fmt.Fprintln(k.stderr, "gokexec: warning:", f.Detail)
		}
	}
	for _, f := range policy {
		if f.Level == advice.Warning && f.Check == check.BothImages {
			fmt.Fprintf(k.stderr, "kexec: warning: %s\n", f.Detail)
		}
		if f.Level != advice.Failure {
			continue
		}
		if f.Check == plan.CheckKernelImage || f.Check == plan.CheckCommandLine {
			return policy, k.cannotLoad(f.Problem())
		}
		return policy, f.Problem()
	}
	return policy, nil
}

// fileFlags are those of kexec_file_load that options ask for.
func (k *kexecRun) fileFlags(host *machine.Host) (flags kexec.FileFlags) {
	// Before 6.8 the kernel refuses the flag, which is no reason not to load.
	if k.inv.Debug && uname.AtLeast(host.Release, 6, 8) {
		flags |= kexec.FileDebug
	}
	if k.inv.NoCMA {
		flags |= kexec.FileNoCMA
	}
	if k.inv.ForceDTB {
		flags |= kexec.FileForceDTB
	}
	return flags
}

// debugOptions reports options without effect.
func (k *kexecRun) debugOptions() {
	for _, u := range kexeccmd.Unsupported() {
		if u.Meant(k.inv) && !u.Refused {
			k.debugf("--%s has no effect: %s", u.Option, u.Why)
		}
	}
}

// debugCmdline reports what gokexec load would have added to a crash kernel's command
// line; kexec uses the one it is given.
func (k *kexecRun) debugCmdline(p *plan.Plan) {
	line, err := cmdline.Parse(p.Cmdline)
	if err != nil || p.Kind != machine.Crash {
		return
	}
	_, missing := cmdline.Complete(line, k.host.CmdlineTraits())
	for _, m := range missing {
		k.debugf("the command line lacks %s: %s", m.Text, m.Why)
	}
}

func (k *kexecRun) printPlan(p *plan.Plan, findings []advice.Finding) {
	newLoadReport(p, findings, true, true).printPlan(k.stderr)
	printFindings(k.stderr, findings)
}

// fail prints what went wrong. p is the plan that failed, nil if there was none yet.
func (k *kexecRun) fail(p *plan.Plan, err error) int {
	var e *kexecError
	if !errors.As(err, &e) {
		e = k.translate(p, err)
	}
	for _, line := range e.lines {
		fmt.Fprintln(k.stderr, line)
	}
	hint := e.hint
	if hint == "" && e.err != nil {
		hint = hintOf(e.err)
		if hint == "" {
			hint = e.err.Error()
		}
	}
	if hint != "" {
		fmt.Fprintf(k.stderr, "hint: %s\n", oneLine(hint))
	}
	return e.code
}

// translate finds kexec-tools' words for an error of a load.
func (k *kexecRun) translate(p *plan.Plan, err error) *kexecError {
	if errors.Is(err, bootimage.ErrNotKernel) || errors.Is(err, plan.ErrOtherMachine) {
		return k.unknownType(err)
	}
	method := k.inv.Method
	if p != nil {
		method = p.Method
	}
	e := &kexecError{code: kexeccmd.ExitFailed, err: err, hint: detailedHint(err)}
	call := failedCall(err)
	refused := slices.ContainsFunc([]unix.Errno{unix.ENOSYS, unix.EINVAL, unix.ENOEXEC, unix.ENOTSUP}, func(errno unix.Errno) bool { return errors.Is(err, errno) })
	var errno unix.Errno
	switch {
	case call == "" && (errors.Is(err, memmap.ErrNoSpace) || k.kind() == machine.Boot && errors.Is(err, memmap.ErrAddressesHidden)):
		// By kexec_load kexec-tools finds no room, also where /proc/iomem hides it; by
		// kexec_file_load the kernel does.
		e.code, e.lines = kexeccmd.ExitUsage, []string{"locate_hole failed"}
	case refused && k.inv.Method == plan.File:
		e.code, e.lines = kexeccmd.ExitNoFileLoad, []string{kexeccmd.TextNoFileLoad}
	case refused && call != "kexec_load", !errors.As(err, &errno) && strerror(err) != strerror(unix.EBUSY):
		return k.cannotLoad(err)
	case method == plan.Segments:
		e.lines = []string{"kexec_load failed: " + strerror(err)}
	default:
		e.lines = []string{"kexec_file_load failed: " + strerror(err)}
	}
	return e
}

func (k *kexecRun) cannotLoad(err error) *kexecError {
	return &kexecError{code: kexeccmd.ExitFailed, lines: []string{"Cannot load " + k.image}, err: err, hint: detailedHint(err)}
}

func (k *kexecRun) unknownType(err error) *kexecError {
	return &kexecError{code: kexeccmd.ExitFailed, lines: []string{"Cannot determine the file type of " + k.image}, err: err, hint: detailedHint(err)}
}

// detailedHint is what gokexec load would print on its two lines, on one.
func detailedHint(err error) string {
	var p *advice.Problem
	if errors.As(err, &p) && p.Hint != "" {
		return p.What + "; " + p.Hint
	}
	return err.Error()
}

// failedCall names the system call that failed, "" if none was made.
func failedCall(err error) string {
	var call *kexec.Error
	if errors.As(err, &call) {
		return call.Call
	}
	return ""
}
