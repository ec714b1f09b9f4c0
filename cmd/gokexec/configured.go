package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/capture"
	"github.com/gokexec/gokexec/pkg/config"
	"github.com/gokexec/gokexec/pkg/initramfs"
	"github.com/gokexec/gokexec/pkg/kmod"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/plan"
)

// configHint is where the keys are described.
const configHint = "man gokexec.conf lists the keys, and gokexec config --all shows their defaults"

// configured is a configuration as the options of the commands that it stands for.
type configured struct {
	configOptions
	inputs    inputFlags
	segments  segmentFlags
	initramfs initramfsOptions
	hotplug   hotplugOptions
	ship      shipOptions

	flags map[string]*pflag.FlagSet // by the command's name; "" for configOptions

	settings []config.Setting // that were applied, in their order
	files    []string         // that were read, in their order
	warnings []string         // about settings that have no effect
}

// newConfigured has the defaults.
func newConfigured() *configured {
	c := &configured{flags: map[string]*pflag.FlagSet{}}
	c.initramfs.sysroot, c.initramfs.fast = "/", true
	for command, declare := range map[string]func(*pflag.FlagSet){
		"":          c.configOptions.declare,
		"load":      func(flags *pflag.FlagSet) { c.inputs.declare(flags); c.segments.declare(flags) },
		"initramfs": c.initramfs.declare,
		"hotplug":   c.hotplug.declare,
		"ship":      c.ship.declare,
	} {
		c.flags[command] = pflag.NewFlagSet(command, pflag.ContinueOnError)
		declare(c.flags[command])
	}
	return c
}

// flag is the option that a key stands for.
func (c *configured) flag(k configKey) *pflag.Flag { return c.flags[k.command].Lookup(k.flag) }

// readConfig reads the configuration of a tree. An error names the file and the line.
func readConfig(root fs.FS) (*configured, error) {
	f, err := config.Read(root)
	if err != nil {
		p := &advice.Problem{What: err.Error(), Err: err, Hint: "nothing was changed; " + configHint}
		var syntax *config.SyntaxError
		if errors.As(err, &syntax) {
			p.Hint = "lines are Key=VALUE, after a [Section]; nothing was changed"
		}
		return nil, p
	}
	c, err := configureKnown(f.Settings())
	if err != nil {
		return nil, err
	}
	c.files = f.Paths()
	return c, nil
}

// knownSettings leaves out those whose keys are not known, with a warning for each, but for names that begin
// with X-, which are for others (systemd.syntax(7)).
func knownSettings(settings []config.Setting) (known []config.Setting, warnings []string) {
	for _, s := range settings {
		switch {
		case findKey(s.Section, s.Key) != nil:
			known = append(known, s)
		case strings.HasPrefix(s.Section, "X-") || strings.HasPrefix(s.Key, "X-"):
		default:
			warnings = append(warnings, fmt.Sprintf("%s: %s= is not known%s, and has no effect", s.Origin, s.Key, whereKnown(s)))
		}
	}
	return known, warnings
}

// whereKnown tells more about a key that is not known.
func whereKnown(s config.Setting) string {
	for _, k := range configKeys {
		if strings.EqualFold(k.key, s.Key) {
			return fmt.Sprintf(" in [%s] (there is %s= in [%s])", s.Section, k.key, k.section)
		}
	}
	for _, section := range configSections {
		if section.name == s.Section {
			return " in [" + s.Section + "]"
		}
	}
	return ": there is no section [" + s.Section + "]"
}

func findKey(section, key string) *configKey {
	i := slices.IndexFunc(configKeys, func(k configKey) bool { return k.section == section && k.key == key })
	if i < 0 {
		return nil
	}
	return &configKeys[i]
}

// configureKnown applies those of the settings whose keys are known, with a warning for each of the others.
func configureKnown(settings []config.Setting) (*configured, error) {
	known, warnings := knownSettings(settings)
	c, err := configure(known)
	if err != nil {
		return nil, err
	}
	c.warnings = warnings
	return c, nil
}

// configure applies settings whose keys are known, in their order.
func configure(settings []config.Setting) (*configured, error) {
	c := newConfigured()
	c.settings = settings
	for _, s := range settings {
		if err := c.set(s); err != nil {
			return nil, settingProblem(s, err)
		}
	}
	if err := c.validate(); err != nil {
		return nil, culprit(settings, err)
	}
	return c, nil
}

// culprit finds the setting that makes a configuration bad: one that is bad by itself, or else the first that
// is with those before it.
func culprit(settings []config.Setting, err error) error {
	check := func(settings ...config.Setting) error {
		c := newConfigured()
		for _, s := range settings {
			if err := c.set(s); err != nil {
				return err
			}
		}
		return c.validate()
	}
	for _, s := range settings {
		if err := check(s); err != nil {
			return settingProblem(s, err)
		}
	}
	for i, s := range settings {
		if err := check(settings[:i+1]...); err != nil {
			return settingProblem(s, err)
		}
	}
	return err
}

// settingProblem says where a bad value stands. It is not the command line that is wrong.
func settingProblem(s config.Setting, err error) error {
	var usage *exitError
	if errors.As(err, &usage) {
		err = usage.err
	}
	k := findKey(s.Section, s.Key)
	why := strings.TrimPrefix(oneLine(err.Error()), "--"+k.flag+": ")
	_, meaning := pflag.UnquoteUsage(newConfigured().flag(*k))
	return &advice.Problem{What: fmt.Sprintf("%s: %s: %s", s.Origin, s, why), Err: err, Hint: s.Key + "= is: " + meaning}
}

// set applies one setting. An empty value empties a list, and gives any other key its default.
func (c *configured) set(s config.Setting) error {
	f := c.flag(*findKey(s.Section, s.Key))
	list, isList := f.Value.(pflag.SliceValue)
	switch {
	case isList && s.Value == "":
		f.Changed = false
		return list.Replace(nil)
	case s.Value == "":
		f.Changed = false
		return f.Value.Set(f.DefValue)
	case isList && !f.Changed: // it has the default
		f.Changed = true
		return list.Replace([]string{s.Value})
	case isList:
		return list.Append(s.Value)
	}
	f.Changed = true
	return f.Value.Set(booleanOf(f, s.Value))
}

// booleanOf has the words that systemd.syntax(7) has for true and false as those of an option.
func booleanOf(f *pflag.Flag, value string) string {
	if f.Value.Type() == "bool" {
		switch strings.ToLower(value) {
		case "yes", "y", "on":
			return "true"
		case "no", "n", "off":
			return "false"
		}
	}
	return value
}

// validate checks what the commands check of their options, as far as it needs no machine.
func (c *configured) validate() error {
	if _, err := c.inputs.spec(machine.Crash, "image"); err != nil {
		return err
	}
	if err := c.segments.apply(&plan.Spec{}, true); err != nil {
		return err
	}
	if _, err := c.captureConfig(); err != nil {
		return err
	}
	if err := c.initramfs.checkWatchdog(); err != nil {
		return err
	}
	if err := c.initramfs.hooks.absolute(); err != nil {
		return err
	}
	if !filepath.IsAbs(c.metricsFile) {
		return fmt.Errorf("%q is no absolute path", c.metricsFile)
	}
	if _, err := initramfs.ParseCompression(c.initramfs.compression); err != nil {
		return err
	}
	for _, set := range c.initramfs.sets {
		if !slices.Contains(kmod.SetNames(), set) {
			return fmt.Errorf("%q is none of %s", set, strings.Join(kmod.SetNames(), ", "))
		}
	}
	if err := errors.Join(c.initramfs.remote.validate(), c.ship.validate()); err != nil {
		return err
	}
	return c.hotplug.validate()
}

// dumpTargets are the targets: an empty Target= leaves the default.
func (c *configured) dumpTargets() []string {
	if len(c.targets) == 0 {
		return []string{defaultTarget}
	}
	return c.targets
}

// reuses tells whether the running kernel's command line is used.
func (c *configured) reuses() bool {
	return c.inputs.reuse || c.inputs.cmdline == "" && !c.flags["load"].Changed("reuse-cmdline")
}

// captureConfig is the configuration of the capture, its targets as they are configured.
func (c *configured) captureConfig() (capture.Config, error) {
	return c.initramfs.settings(c.dumpTargets())
}

// parsedTargets are dumpTargets, parsed.
func (c *configured) parsedTargets() ([]capture.Target, error) {
	cfg, err := c.captureConfig()
	return cfg.Targets, err
}
