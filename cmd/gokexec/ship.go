package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/pflag"

	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/capture"
	"github.com/gokexec/gokexec/pkg/remote"
)

// exitDeferred is EX_TEMPFAIL of sysexits.h.
const exitDeferred = 75

// shipOptions are those of gokexec ship.
type shipOptions struct {
	to   string
	max  int
	ttl  time.Duration
	keep int
}

func (o *shipOptions) declare(flags *pflag.FlagSet) {
	flags.StringVar(&o.to, "to", "", "`LOCATION` to send dumps to: s3://BUCKET[/PREFIX], ssh://USER@HOST/PATH or https://HOST[/PATH]")
	flags.IntVar(&o.max, "max-per-fingerprint", 3, "`N` dumps of crashes with one fingerprint are sent, of all machines together; of others only log and manifest. 0: all are sent")
	flags.DurationVar(&o.ttl, "claim-timeout", 6*time.Hour, "`DURATION` after which a machine that has claimed to send such a dump, and is not heard of, counts as dead")
	flags.IntVar(&o.keep, "keep", -1, "`N` of the newest dumps keep their memory here when the store has confirmed its digest; -1: all of them do")
}

func shipCommand() command {
	return command{
		name: "ship", args: "[DIR...]", orderly: true, acts: true,
		short: "send the dumps of this machine to a store",
		long: `Sends the dumps in the directories DIR, by default those of the configured targets that are on this
machine, to a store: the log and a manifest first, then the memory. What was sent is noted in ship.json of each dump.
It may be killed at any moment: the next run goes on where the store says that it was, and sends nothing twice.
gokexec-ship.service runs it after each boot.

A crash is called after the machine and the time of its crash: crashes/MACHINE-TIME/ has its files, and a manifest that
tells what is known and where the memory is. MACHINE is made of /etc/machine-id (systemd-id128 machine-id
--app-specific=5d3a9c0e6f1b47e2a8c4d19b7702f6ae prints it). If many machines crash for the same reason, as told by a
fingerprint in result.json, the memory of the first few is sent. They agree by objects in the store that are created
only if they do not exist; a store that can't do that gets all of them, and a line says so.

Memory stays here unless --keep says otherwise, and is only removed when the store has confirmed the digest of all of it.
--encrypt encrypts everything but the manifest for public keys of age, for which the machine has no private key.

How the store is reached, and the options, are keys of gokexec.conf(5), [Remote] and [Ship].`,
		exits: []exitCode{{exitOK, "all is sent, or need not be"}, {exitFailure, "something could not be sent; run it again"}, {exitDeferred, "other machines are sending dumps of the same crash; run it again later"}},
		setup: func(flags *pflag.FlagSet) func(context.Context, *env, []string) error {
			(&shipOptions{}).declare(flags)
			(&remoteOptions{}).register(flags)
			root := flags.String("root", "", "`DIR` under which the machine's /etc/machine-id and the directories of dumps are, in a container")
			every := flags.Duration("every", 0, "run again and again, with `DURATION` in between, as in a container that does nothing else")
			asJSON := flags.Bool("json", false, "report as JSON")
			return func(ctx context.Context, e *env, args []string) error {
				job, err := e.shipJob(ctx, flags, *root, args)
				if err != nil {
					return err
				}
				job.Ship.JSON = *asJSON
				for {
					err := e.ship(ctx, job)
					if *every == 0 {
						return err
					}
					if err != nil {
						e.finish("ship", err)
					}
					select {
					case <-ctx.Done():
						return nil
					case <-time.After(*every):
					}
				}
			}
		},
	}
}

// shipJob is what the configuration says, and the command line after it.
func (e *env) shipJob(ctx context.Context, flags *pflag.FlagSet, root string, dirs []string) (*remote.Job, error) {
	c, err := readConfig(os.DirFS(e.sysroot))
	if err != nil {
		return nil, err
	}
	if err := c.override(flags); err != nil {
		return nil, usageError("%w", err)
	}
	if c.ship.to == "" {
		return nil, &exitError{code: exitUsage, err: &advice.Problem{What: "it is not said where dumps go", Hint: "[Ship] To= in gokexec.conf, or --to LOCATION"}}
	}
	settings, err := c.initramfs.remote.settings(c.ship.to)
	if err != nil {
		return nil, usageError("%w", err)
	}
	if len(dirs) == 0 {
		if dirs, err = e.dumpDirectories(ctx, c, root); err != nil {
			return nil, err
		}
	}
	ship := &remote.Ship{Root: filepath.Join(e.sysroot, root), MaxPerFingerprint: c.ship.max, ClaimSeconds: int(c.ship.ttl.Seconds()), Keep: c.ship.keep}
	for _, dir := range dirs {
		if dir, err = filepath.Abs(filepath.Join(root, dir)); err != nil {
			return nil, err
		}
		ship.Directories = append(ship.Directories, dir)
	}
	return &remote.Job{Settings: settings, Ship: ship}, nil
}

// override sets what a command line gives.
func (c *configured) override(flags *pflag.FlagSet) error {
	var errs []error
	flags.Visit(func(f *pflag.Flag) {
		for _, command := range [...]string{"ship", "initramfs"} {
			own := c.flags[command].Lookup(f.Name)
			if own == nil {
				continue
			}
			if list, ok := f.Value.(pflag.SliceValue); ok {
				errs = append(errs, own.Value.(pflag.SliceValue).Replace(list.GetSlice()))
			} else {
				errs = append(errs, own.Value.Set(f.Value.String()))
			}
			return
		}
	})
	return errors.Join(append(errs, c.ship.validate())...)
}

func (o *shipOptions) validate() error {
	switch {
	case o.max < 0 || o.max > 1000:
		return fmt.Errorf("--max-per-fingerprint: %d; want 0 to 1000", o.max)
	case o.ttl < time.Minute || o.ttl > 30*24*time.Hour:
		return fmt.Errorf("--claim-timeout: %v; want a minute to 30 days", o.ttl)
	case o.to != "":
		if _, err := remote.ParseLocation(o.to); err != nil {
			return fmt.Errorf("--to: %w", err)
		}
	}
	return nil
}

// dumpDirectories are where the dumps of configured targets are on this machine.
func (e *env) dumpDirectories(ctx context.Context, c *configured, root string) ([]string, error) {
	targets, err := c.parsedTargets()
	if err != nil {
		return nil, err
	}
	var dirs []string
	var errs []error
	for _, t := range targets {
		switch {
		case t.Place() == capture.OnDevice || t.Remote():
			continue
		case root != "" && t.Place() == capture.InDirectory:
			dirs = append(dirs, t.Path)
			continue
		}
		dir, _, err := e.storage().Where(ctx, t)
		if err != nil {
			errs = append(errs, fmt.Errorf("target %s: %w", t, err))
			continue
		}
		dirs = append(dirs, dir)
	}
	if len(dirs) == 0 {
		errs = append(errs, &advice.Problem{What: "no configured target is a directory of this machine", Hint: "name the directories with dumps"})
		return nil, errors.Join(errs...)
	}
	for _, err := range errs {
		fmt.Fprintf(e.stderr, "gokexec: warning: %s\n", oneLine(err.Error()))
	}
	return dirs, nil
}

func (e *env) ship(ctx context.Context, job *remote.Job) error {
	err := e.runRemote(ctx, job, nil, e.stdout, "ship")
	var failed *remoteError
	if errors.As(err, &failed) && failed.code == exitDeferred {
		return &exitError{code: exitDeferred, err: err}
	}
	return err
}
