package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/pflag"

	"github.com/gokexec/gokexec/pkg/accuracy"
	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/loader"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/plan"
	"github.com/gokexec/gokexec/pkg/record"
	"github.com/gokexec/gokexec/pkg/statedir"
)

// lockVar tells a gokexec that is started by --reload-command that the reload lock
// is held for it.
const lockVar = "GOKEXEC_RELOAD_LOCK"

func reloadCommand() command {
	return command{
		name: "reload", acts: true,
		short: "load the crash kernel again, for the machine as it is now",
		long: `Loads the kernel and initrd that gokexec load --crash loaded last, with the same
command line and options. It replaces what is loaded; nothing is unloaded first.
Everything is read, planned and checked before the system call.

With kexec_load (--reload-method segments) the machine is without a crash kernel for a
shorter time than with kexec_file_load. So auto chooses segments if the load chose its
method automatically and the machine allows it: no lockdown, no Secure Boot, no required
signature, no key for an encrypted disk. Otherwise it uses the method of the load.

What gokexec arm has loaded is built again, for the targets as they are mounted now. With
--if-changed that happens only if what they lie on is another now: a volume was extended,
a disk was added to an array, the way to a server is another, or a server that was left out can be
found. Of targets on plain disks it does nothing.`,
		exits: []exitCode{
			{exitNotLoaded, "nothing is loaded, or gokexec did not load it"},
			{exitStale, "loaded, but memory or CPUs keep changing, and the elfcorehdr is stale again; or a crash kernel is wanted, and none could be loaded"},
		},
		orderly: true,
		unheard: true,
		setup: func(flags *pflag.FlagSet) func(context.Context, *env, []string) error {
			var method reloadMethod
			method.declare(flags)
			wait := flags.Duration("wait", loader.DefaultWait, "how long to try again while another load is under way")
			ifChanged := flags.Bool("if-changed", false, "only if the volumes or arrays that the targets lie on are not those of the last load")
			return func(ctx context.Context, e *env, args []string) error {
				if err := noArgs(args); err != nil {
					return err
				}
				if *ifChanged {
					changed, err := e.targetsChanged()
					if err != nil || !changed {
						return err
					}
				}
				m, err := method.parse()
				if err != nil {
					return err
				}
				return e.reload(ctx, m, *wait)
			}
		},
	}
}

// reloadMethod is --reload-method.
type reloadMethod string

func (m *reloadMethod) declare(flags *pflag.FlagSet) {
	flags.StringVar((*string)(m), "reload-method", "auto", "`METHOD` of reloading: auto, file or segments")
}

func (m reloadMethod) parse() (plan.Method, error) {
	var method plan.Method
	if err := method.UnmarshalText([]byte(m)); err != nil {
		return method, usageError("--reload-method: %w", err)
	}
	return method, nil
}

func (e *env) reload(ctx context.Context, method plan.Method, wait time.Duration) error {
	arch, err := machine.NativeArch()
	if err != nil {
		return err
	}
	out, err := e.loader(arch, wait).Reload(ctx, loader.ReloadOptions{Method: method})
	e.logUnarmed(err)
	switch {
	case errors.Is(err, loader.ErrUnarmed):
		return &exitError{code: exitStale, err: err}
	case errors.Is(err, record.ErrNone), errors.Is(err, loader.ErrForeign):
		return &exitError{code: exitNotLoaded, err: err}
	case err != nil:
		return err
	}
	fmt.Fprintf(e.stdout, "crash kernel reloaded: %s, by %s\n", out.Plan.Kernel.Path, callName(out.Plan.Method))
	if v := out.Verification; v.Accuracy == accuracy.Stale {
		return &exitError{code: exitStale, err: staleAfterLoad(v)}
	}
	return nil
}

// targetsChanged reports whether the targets of what gokexec arm has loaded are not where they were, or one that was left
// out could be there now. Only volumes, arrays, the network and the like are looked at: a disk has its identity, and reading it may wake it up.
func (e *env) targetsChanged() (bool, error) {
	state, err := record.Read(e.stateDir)
	if errors.Is(err, record.ErrNone) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	made := recipeOf(state)
	if made == nil || made.Stacks == nil && len(made.LeftOut) == 0 {
		return false, nil
	}
	c, err := configureKnown(made.Settings)
	if err != nil {
		return false, err
	}
	return len(e.changedTargets(c, made)) > 0, nil
}

// lockReload keeps all other processes from loading, unloading and checking.
func (e *env) lockReload(ctx context.Context, wait time.Duration) (*statedir.Lock, error) {
	dir := statedir.Dir(e.stateDir)
	if os.Getenv(lockVar) != "" && dir.Locked() {
		return dir.Inherited(), nil
	}
	lock, err := dir.LockReload(ctx, wait)
	if errors.Is(err, statedir.ErrLocked) {
		return nil, &advice.Problem{What: err.Error(), Hint: "try again, or raise --wait", Err: err}
	}
	return lock, err
}

// logUnarmed writes to the kernel log that a load has left the machine without the crash
// kernel that is wanted: stderr may go unread.
func (e *env) logUnarmed(err error) {
	if errors.Is(err, loader.ErrUnarmed) {
		e.kernelLog(kernelError, err.Error())
	}
}

func staleAfterLoad(t *accuracy.Verification) error {
	return &advice.Problem{What: "the crash kernel is loaded, but its elfcorehdr does not match the machine: " + t.String(),
		Hint: "memory or CPUs are being hot-added or hot-removed; gokexec hotplug loads again when they have settled"}
}

func callName(m plan.Method) string {
	if m == plan.Segments {
		return "kexec_load"
	}
	return "kexec_file_load"
}
