package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/pflag"

	"github.com/gokexec/gokexec/pkg/storage"
)

func storageCommand() command {
	return command{
		name: "storage", args: "TARGET",
		short: "show what a dump target lies on, and whether a capture kernel can have it",
		long: `Prints what TARGET lies on: the mount, the filesystem, and the devices down to the disks, each with its kind, its
size and what tells it from others; and how it will be there in the capture kernel, or why it can't be. TARGET is a
directory, or a target as gokexec initramfs takes it.

The capture kernel has no lvm, mdadm or udev: gokexec records the devices as they are now and makes the same of the same
disks. A device that several others are made of is described once. With a snapshot, or its origin, come all snapshots of
that origin. Only devices are read, nothing is changed. Keys of encrypted volumes are not shown.`,
		exits: []exitCode{{exitOK, "the target can be there in a capture kernel"}, {exitFailure, "it can't be, for the reason that is printed, or it could not be looked at"}},
		setup: func(flags *pflag.FlagSet) func(context.Context, *env, []string) error {
			asJSON := flags.Bool("json", false, "report as JSON")
			return func(ctx context.Context, e *env, args []string) error {
				if len(args) != 1 {
					return usageError("give one TARGET: a directory, fs:DEVICE[:PATH] or raw:DEVICE")
				}
				t, err := e.parseStoreTarget(args[0])
				if err != nil {
					return usageError("%w", err)
				}
				s, err := e.storage().Survey(ctx, t)
				if err != nil {
					return err
				}
				if *asJSON {
					err = e.printJSON(s)
				} else {
					err = printSurvey(e.stdout, s)
				}
				if err == nil && !s.OK {
					err = &exitError{code: exitFailure}
				}
				return err
			}
		},
	}
}

// printSurvey prints the tree from the target down to the disks, one line each.
func printSurvey(w io.Writer, s *storage.Survey) error {
	var b strings.Builder
	fmt.Fprintln(&b, s.Target)
	if m := s.Mount; m != nil {
		fmt.Fprintf(&b, "mount %s: %s, %s", m.Point, m.Type, m.Source)
		if m.Subvolume != "" {
			fmt.Fprintf(&b, ", subvolume %s", m.Subvolume)
		}
		if m.Root != "" {
			fmt.Fprintf(&b, ", its directory %s", m.Root)
		}
		if m.Path != "" {
			fmt.Fprintf(&b, "; the target is its %s", m.Path)
		}
		b.WriteString("\n")
	}
	if s.Holds != nil {
		fmt.Fprintln(&b, strings.TrimSpace("holds "+s.Holds.Type+" "+s.Holds.UUID))
	}
	seen := make([]bool, len(s.Layers))
	for _, top := range s.Tops {
		printLayer(&b, s, seen, top.Layer, 1, top.Option)
	}
	// Snapshots are below nothing.
	used := make([]bool, len(s.Layers))
	for _, l := range s.Layers {
		for _, n := range l.Uses {
			used[n] = true
		}
	}
	for n := range s.Layers {
		if !seen[n] && !used[n] {
			printLayer(&b, s, seen, n, 1, "with it")
		}
	}
	for _, line := range s.Warnings {
		fmt.Fprintf(&b, "warning: %s\n", line)
	}
	if s.OK {
		fmt.Fprintf(&b, "It can be there in a capture kernel, as %s\n", s.As)
	} else {
		fmt.Fprintf(&b, "It can't be there in a capture kernel: %s\n-> %s\n", s.Reason, s.Instead)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func printLayer(b *strings.Builder, s *storage.Survey, seen []bool, n, depth int, as string) {
	l := s.Layers[n]
	b.WriteString(strings.Repeat("  ", depth))
	if as != "" {
		fmt.Fprintf(b, "(%s) ", as)
	}
	fmt.Fprintf(b, "%s %s", l.Kind, l.Name)
	if l.Map != "" {
		fmt.Fprintf(b, " %s", l.Map)
	}
	if seen[n] {
		b.WriteString(" (see above)\n")
		return
	}
	seen[n] = true
	fmt.Fprintf(b, ", %s, %s", sizeText(float64(l.Size)), l.Identity)
	if l.Holds != nil {
		fmt.Fprintf(b, ", holds %s %s", l.Holds.Type, l.Holds.UUID)
	}
	if l.Reason != "" {
		fmt.Fprintf(b, ": NO: %s\n", l.Reason)
	} else {
		fmt.Fprintf(b, ": %s\n", l.How)
	}
	for _, used := range l.Uses {
		printLayer(b, s, seen, used, depth+1, "")
	}
}
