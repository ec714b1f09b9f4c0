package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/pflag"

	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/check"
	"github.com/gokexec/gokexec/pkg/loader"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/plan"
)

func unloadCommand() command {
	return command{
		name: "unload", acts: true,
		short: "free the crash kernel, or the one for an ordinary kexec",
		long: `Frees the image. This is not needed before another load, and would leave the machine
without a crash kernel in between: gokexec load replaces what is loaded.

Afterwards no crash kernel is wanted, even if it was lost before: gokexec hotplug does not
load one again.`,
		exits:   []exitCode{{exitNotLoaded, "nothing was loaded"}},
		orderly: true,
		unheard: true,
		setup: func(flags *pflag.FlagSet) func(context.Context, *env, []string) error {
			var kinds kindFlags
			var wait time.Duration
			kinds.declare(flags)
			flags.DurationVar(&wait, "wait", loader.DefaultWait, "how long to try again while another load is under way")
			return func(ctx context.Context, e *env, args []string) error {
				kind, err := kinds.kind()
				if err == nil {
					err = noArgs(args)
				}
				if err != nil {
					return err
				}
				return e.unload(ctx, kind, wait)
			}
		},
	}
}

func (e *env) unload(ctx context.Context, kind machine.Kind, wait time.Duration) error {
	arch, err := machine.NativeArch()
	if err != nil {
		return err
	}
	l := e.loader(arch, wait)
	host, err := e.host("", arch)
	if err != nil {
		return err
	}
	if loaded := host.Loaded(kind); loaded != nil && !*loaded {
		nothing := fmt.Sprintf("no %s kernel is loaded", kind)
		if kind == machine.Crash {
			ended, err := l.EndWanted(ctx)
			if err != nil {
				return err
			}
			if ended {
				nothing += ", and from now on none is wanted"
			}
		}
		return &exitError{code: exitNotLoaded, err: errors.New(nothing)}
	}
	if err := advice.FirstFailure(check.Policy(host, kind)); err != nil {
		return err
	}
	if err := l.Unload(ctx, kind, plan.Auto); err != nil {
		return err
	}
	fmt.Fprintf(e.stdout, "%s kernel unloaded\n", kind)
	return nil
}
