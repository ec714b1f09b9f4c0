package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/pflag"

	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/capture"
	"github.com/gokexec/gokexec/pkg/storage"
)

func tidyCommand() command {
	return command{
		name: "tidy", args: "[TARGET...]", acts: true,
		short: "remove the memory of old dumps",
		long: `Keeps as many dumps of each TARGET as --keep-dumps says, and its filesystem as free as --keep-free
says: of older dumps vmcore is removed, the oldest first. Log, report and result stay; of the directories that have
only those, the last hundred stay. The newest dump and the newest complete one always stay.

TARGET is a directory of this machine, or a target as gokexec initramfs takes it; raw: targets have one dump only.
Without TARGET, and for what is not given, the configuration of the capture that was loaded last counts. Without a
number of dumps nothing is removed.

Only directories that a capture has made are known as dumps, by their names and their result.json, and only if they
belong to this user alone. No link is followed.`,
		exits: []exitCode{{exitOK, "done; what was removed is printed"}, {exitFailure, "a target could not be tidied up"}},
		setup: func(flags *pflag.FlagSet) func(context.Context, *env, []string) error {
			number := flags.Int("keep-dumps", 0, "`N` dumps that keep their memory")
			free := flags.String("keep-free", "", "`SIZE` (512M, 2G) or part (10%) of the filesystem that is to be free; 5% or 1G by default, whichever is less")
			asJSON := flags.Bool("json", false, "report as JSON")
			return func(ctx context.Context, e *env, args []string) error {
				cfg := e.loadedConfig()
				if len(args) > 0 {
					targets, err := targetConfig(args, false)
					if err != nil {
						return usageError("%w", err)
					}
					cfg.Targets = targets.Targets
				}
				if flags.Changed("keep-dumps") {
					cfg.KeepDumps = *number
				}
				if *free != "" {
					cfg.KeepFree = *free
				}
				if len(cfg.Targets) > 0 {
					if err := cfg.Validate(); err != nil {
						return usageError("%w", err)
					}
				}
				return e.tidy(ctx, cfg, *asJSON)
			}
		},
	}
}

// tidy tidies up each target of a configuration; one that fails does not keep the others from it.
func (e *env) tidy(ctx context.Context, cfg capture.Config, asJSON bool) error {
	all := []capture.Removed{}
	var errs []error
	m := e.storage()
	for _, t := range cfg.Targets {
		if t.Place() == capture.OnDevice {
			continue // it has one dump
		}
		removed, err := tidyTarget(ctx, m, t, cfg)
		if all = append(all, removed...); err != nil {
			errs = append(errs, fmt.Errorf("target %s: %w", t, err))
		}
	}
	if asJSON {
		errs = append(errs, e.printJSON(map[string]any{"removed": all}))
	} else {
		for _, r := range all {
			what := "removed its memory, " + sizeText(float64(r.Bytes))
			if r.Whole {
				what = "removed"
			}
			fmt.Fprintf(e.stdout, "%s: %s\n", r.Dump, what)
		}
	}
	return errors.Join(errs...)
}

func tidyTarget(ctx context.Context, m *storage.Machine, t capture.Target, cfg capture.Config) ([]capture.Removed, error) {
	if cfg.KeepDumps == 0 {
		return nil, nil
	}
	dir, _, err := m.Where(ctx, t)
	switch {
	case errors.Is(err, storage.ErrNotMounted):
		return nil, &advice.Problem{What: err.Error(), Hint: "mount it, and try again", Err: err}
	case err != nil:
		return nil, err
	}
	removed, err := capture.Tidy(dir, cfg)
	if errors.Is(err, fs.ErrNotExist) && len(removed) == 0 {
		return nil, nil // no dump yet
	}
	return removed, err
}
