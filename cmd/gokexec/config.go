package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/pflag"

	"github.com/gokexec/gokexec/pkg/config"
)

func configCommand() command {
	return command{
		name:  "config",
		short: "show the configuration that is in force, and from which file and line",
		long: `Reads gokexec.conf and its drop-ins, checks each value, and prints what is in force, each key with
the file and line that set it. The output is a gokexec.conf itself. gokexec.conf(5) has the files, their order and the keys.

A key that is not known is a warning, and has no effect. A value that is not right is an error, with
which gokexec arm would change nothing.`,
		exits: []exitCode{{exitFailure, "the configuration is wrong; one line on stderr says where and why, a second what to do"}},
		setup: func(flags *pflag.FlagSet) func(context.Context, *env, []string) error {
			o := &configCommandOptions{}
			flags.StringVar(&o.get, "get", "", "print only the values of `SECTION.KEY`, one a line; nothing if no file sets it")
			flags.BoolVar(&o.targets, "targets", false, "print only the targets that are set, one a line, as a capture kernel finds them: for the hooks of initramfs builders")
			flags.BoolVar(&o.all, "all", false, "print the keys that are not set too, as comments with their defaults")
			flags.BoolVar(&o.json, "json", false, "report as JSON")
			flags.StringVar(&o.sysroot, "sysroot", "", "read the files under `DIR`")
			return o.run
		},
	}
}

type configCommandOptions struct {
	get, sysroot       string
	all, json, targets bool
}

// configReport is what config --json prints.
type configReport struct {
	Files    []string         `json:"files"`    // that were read, in order
	Settings []config.Setting `json:"settings"` // in force
	Warnings []string         `json:"warnings"`
}

func (o *configCommandOptions) run(ctx context.Context, e *env, args []string) error {
	if err := noArgs(args); err != nil {
		return err
	}
	section, key, named := strings.Cut(o.get, ".")
	if o.get != "" && (!named || findKey(section, key) == nil) {
		return usageError("--get %s: there is no such key; it is SECTION.KEY, such as Capture.Target", o.get)
	}
	if o.targets && o.sysroot != "" {
		return usageError("--targets goes without --sysroot: only on this machine can they be found")
	}
	root, err := e.tree(o.sysroot)
	if err != nil {
		return err
	}
	c, err := readConfig(root)
	if err != nil {
		return err
	}
	for _, w := range c.warnings {
		fmt.Fprintf(e.stderr, "gokexec: warning: %s\n", w)
	}
	set := inForce(c.settings)
	switch {
	case o.get != "":
		for _, s := range set {
			if s.Section == section && s.Key == key {
				fmt.Fprintln(e.stdout, s.Value)
			}
		}
		return nil
	case o.targets:
		return e.printTargets(ctx, c)
	case o.json:
		return e.printJSON(configReport{Files: orEmpty(c.files), Settings: orEmpty(set), Warnings: orEmpty(c.warnings)})
	}
	if len(c.files) == 0 {
		fmt.Fprintf(e.stdout, "# no file is there: everything has its default (gokexec config --all)\n")
	}
	printConfig(e.stdout, set, o.all)
	return nil
}

// orEmpty has JSON print an empty list.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// inForce gives the settings that have an effect, by the order of the keys in the table: of a list what was set after
// it was last emptied, of any other key the last.
func inForce(settings []config.Setting) []config.Setting {
	c := newConfigured()
	var all []config.Setting
	for _, k := range configKeys {
		_, isList := c.flag(k).Value.(pflag.SliceValue)
		var values []config.Setting
		for _, s := range settings {
			if s.Section != k.section || s.Key != k.key {
				continue
			}
			if s.Value == "" || !isList {
				values = nil
			}
			if s.Value != "" {
				values = append(values, s)
			}
		}
		all = append(all, values...)
	}
	return all
}

// printConfig prints settings as a file, with their origins as comments.
func printConfig(w io.Writer, set []config.Setting, all bool) {
	c := newConfigured()
	for _, section := range configSections {
		begun := false
		begin := func() {
			if !begun {
				fmt.Fprintf(w, "[%s]\n", section.name)
			}
			begun = true
		}
		for _, k := range configKeys {
			if k.section != section.name {
				continue
			}
			isSet := false
			for _, s := range set {
				if s.Section == k.section && s.Key == k.key {
					begin()
					isSet = true
					fmt.Fprintf(w, "# %s\n%s=%s\n", s.Origin, s.Key, s.Value)
				}
			}
			if all && !isSet {
				begin()
				fmt.Fprintf(w, "#%s=%s\n", k.key, defaultText(c.flag(k)))
			}
		}
	}
}

// defaultText is the default of an option as a file would set it.
func defaultText(f *pflag.Flag) string {
	if list, ok := f.Value.(pflag.SliceValue); ok {
		return strings.Join(list.GetSlice(), " ")
	}
	return f.DefValue
}

// printTargets prints the targets that a file sets as they are found in a capture kernel.
func (e *env) printTargets(ctx context.Context, c *configured) error {
	if !c.flags[""].Changed("target") {
		return nil
	}
	targets, err := c.parsedTargets()
	if err != nil {
		return err
	}
	machine := e.storage()
	for _, t := range targets {
		r, err := machine.Resolve(ctx, t)
		if err != nil {
			return targetProblem(err, false)
		}
		if r.Target.MountOptions != "" {
			fmt.Fprintf(e.stderr, "gokexec: warning: %s needs the mount options %s, which this form can't hold\n", r.Target, r.Target.MountOptions)
		}
		fmt.Fprintln(e.stdout, r.Target)
	}
	return nil
}
