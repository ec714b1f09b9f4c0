package main

import (
	"context"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// initSystem starts services at boot.
type initSystem interface {
	// installed tells whether there is a service of that name, a systemd unit's; running, whether services can be started now.
	installed(name string) bool
	running() bool
	enabled(ctx context.Context, name string) (bool, error)
	active(ctx context.Context, name string) bool
	enable(ctx context.Context, name string, on bool) error
	start(ctx context.Context, verb, name string) error // start, stop or restart
	// reload has it read what generators make of the configuration.
	reload(ctx context.Context) error
	// command is what an administrator types.
	command(verb, name string) string
}

// initSystem is the machine's; nil if it is not known.
func (e *env) initSystem(files *machineFiles) initSystem {
	has := func(names ...string) bool {
		return slices.ContainsFunc(names, func(name string) bool {
			real, err := files.real(name)
			if err != nil {
				return false
			}
			_, err = fs.Stat(files.tree, real)
			return err == nil
		})
	}
	switch {
	case has("/usr/bin/systemctl", "/bin/systemctl"):
		return &systemdInit{programs: e.programs, has: has}
	case has("/sbin/rc-update", "/usr/sbin/rc-update", "/usr/bin/rc-update"):
		return &openrcInit{programs: e.programs, has: has}
	}
	return nil
}

type systemdInit struct {
	programs runner
	has      func(...string) bool
}

func (s *systemdInit) installed(name string) bool {
	return s.has("/etc/systemd/system/"+name, "/usr/lib/systemd/system/"+name, "/lib/systemd/system/"+name)
}

func (s *systemdInit) running() bool { return s.has("/run/systemd/system") }

func (s *systemdInit) enabled(ctx context.Context, name string) (bool, error) {
	out, err := s.programs.run(ctx, "systemctl", "is-enabled", name)
	switch state := strings.TrimSpace(out); state {
	case "":
		return false, err
	default: // the exit code tells it too
		return strings.HasPrefix(state, "enabled"), nil
	}
}

func (s *systemdInit) active(ctx context.Context, name string) bool {
	_, err := s.programs.run(ctx, "systemctl", "is-active", "--quiet", name)
	return err == nil
}

func (s *systemdInit) enable(ctx context.Context, name string, on bool) error {
	verb := "disable"
	if on {
		verb = "enable"
	}
	_, err := s.programs.run(ctx, "systemctl", verb, name)
	return err
}

func (s *systemdInit) start(ctx context.Context, verb, name string) error {
	_, err := s.programs.run(ctx, "systemctl", verb, name)
	return err
}

func (s *systemdInit) reload(ctx context.Context) error {
	_, err := s.programs.run(ctx, "systemctl", "daemon-reload")
	return err
}

func (s *systemdInit) command(verb, name string) string { return "systemctl " + verb + " " + name }

type openrcInit struct {
	programs runner
	has      func(...string) bool
}

func openrcName(unit string) string { return strings.TrimSuffix(unit, path.Ext(unit)) }

func (o *openrcInit) installed(name string) bool { return o.has("/etc/init.d/" + openrcName(name)) }

func (o *openrcInit) running() bool { return o.has("/run/openrc") }

func (o *openrcInit) enabled(_ context.Context, name string) (bool, error) {
	name = openrcName(name)
	return o.has("/etc/runlevels/default/"+name, "/etc/runlevels/boot/"+name, "/etc/runlevels/sysinit/"+name), nil
}

func (o *openrcInit) active(ctx context.Context, name string) bool {
	_, err := o.programs.run(ctx, "rc-service", "--quiet", openrcName(name), "status")
	return err == nil
}

func (o *openrcInit) enable(ctx context.Context, name string, on bool) error {
	argv := []string{"rc-update", "del", openrcName(name)}
	if on {
		argv = []string{"rc-update", "add", openrcName(name), "default"}
	}
	_, err := o.programs.run(ctx, argv...)
	return err
}

func (o *openrcInit) start(ctx context.Context, verb, name string) error {
	_, err := o.programs.run(ctx, "rc-service", openrcName(name), verb)
	return err
}

func (o *openrcInit) reload(context.Context) error { return nil }

func (o *openrcInit) command(verb, name string) string {
	switch verb {
	case "enable":
		return "rc-update add " + openrcName(name) + " default"
	case "disable":
		return "rc-update del " + openrcName(name)
	}
	return "rc-service " + openrcName(name) + " " + verb
}

const armUnit = "gokexec-crash.service"

// earlyUnit may take its place.
const earlyUnit = "gokexec-crash-early.service"

// setupUnits are gokexec's, in the order in which they are enabled. The first loads the crash kernel.
var setupUnits = []string{armUnit, "gokexec-hotplug.service", "gokexec-hotplug-check.timer", "gokexec-drill.service", "gokexec-metrics.timer"}

// kdumpUnits are those by which distributions load their crash kernel: Debian's and Ubuntu's, Fedora's and SUSE's, and SUSE's that
// load it early and rewrite the boot loader's configuration.
var kdumpUnits = []string{"kdump-tools.service", "kdump.service", "kdump-early.service", "kdump-commandline.service"}

// planUnits plans which units load the crash kernel from now on.
func (s *setup) planUnits(ctx context.Context) error {
	if !s.options.keepKdump && (s.init == nil || !s.init.installed(armUnit) && !s.init.installed(earlyUnit)) {
		s.leave("have \"gokexec arm\" run at each boot: its service is not installed")
	}
	if s.init == nil {
		return nil
	}
	configured := slices.ContainsFunc(s.report.Steps, func(step setupStep) bool { return step.Object == setupConfigPath })
	early := false
	if s.init.installed(earlyUnit) {
		var err error
		if early, err = s.init.enabled(ctx, earlyUnit); err != nil {
			return err
		}
	}
	units, load := setupUnits, true
	if s.options.keepKdump || early {
		units, load = units[1:], false
	}
	for _, name := range kdumpUnits {
		if err := s.planKdump(ctx, name); err != nil {
			return err
		}
	}
	if err := s.planRules(ctx); err != nil {
		return err
	}
	for _, name := range units {
		if err := s.planUnit(ctx, name, true); err != nil {
			return err
		}
	}
	if !load || s.report.Reserved == 0 || !s.init.running() || !s.init.installed(armUnit) {
		return nil
	}
	active := s.init.active(ctx, armUnit)
	switch {
	case !active:
		s.planStart("start", armUnit)
	case configured:
		s.planStart("restart", armUnit)
	}
	return nil
}

// planKdump plans that a unit of the distribution's kdump no longer loads; or with --keep-kdump, that it does as before.
func (s *setup) planKdump(ctx context.Context, name string) error {
	if !s.options.keepKdump {
		return s.planUnit(ctx, name, false)
	}
	for _, u := range s.recordedUnits() {
		if u.Name == name && u.Was && !u.Enabled {
			if err := s.planUnit(ctx, name, true); err != nil {
				return err
			}
			return s.planUnit(ctx, armUnit, false)
		}
	}
	return nil
}

func (s *setup) recordedUnits() []setupRecordUnit {
	if s.record == nil {
		return nil
	}
	return s.record.Units
}

// hideRules is the program that hides the distributions' udev rules.
const hideRules = "/usr/lib/gokexec/gokexec-hide-rules"

// planRules plans to hide the distributions' udev rules that reload the crash kernel, whoever loads it.
func (s *setup) planRules(ctx context.Context) error {
	if !s.fileExists(hideRules) {
		return nil
	}
	shown, err := s.env.programs.run(ctx, hideRules, "shown")
	if err != nil || shown == "" {
		return err
	}
	s.step(setupStep{Action: "run", Object: hideRules + " hide", Detail: splitLines(shown), hint: "run it by hand", do: func(ctx context.Context) error {
		r := s.recorded()
		r.RulesHidden = true
		if err := r.save(s.files); err != nil {
			return err
		}
		_, err := s.env.programs.run(ctx, hideRules, "hide")
		return err
	}})
	return nil
}

func (s *setup) fileExists(name string) bool {
	content, err := s.files.read(name)
	return err == nil && content != nil
}

// planUnit plans to enable or disable a unit.
func (s *setup) planUnit(ctx context.Context, name string, on bool) error {
	if !s.init.installed(name) {
		return nil
	}
	is, err := s.init.enabled(ctx, name)
	if err != nil || is == on {
		return err
	}
	verb := "disable"
	if on {
		verb = "enable"
	}
	s.step(setupStep{Action: verb, Object: name, hint: s.init.command(verb, name), do: func(ctx context.Context) error {
		r := s.recorded()
		r.unit(name, is, on)
		if err := r.save(s.files); err != nil {
			return err
		}
		return s.init.enable(ctx, name, on)
	}})
	return nil
}

// planStart plans to start a unit now.
func (s *setup) planStart(verb, name string) {
	s.step(setupStep{Action: verb, Object: name, hint: "gokexec status and journalctl -u " + name + " tell why", do: func(ctx context.Context) error {
		r := s.recorded()
		is, err := s.init.enabled(ctx, name)
		if err != nil {
			return err
		}
		if verb == "start" {
			r.unit(name, is, is).Started = true
		}
		if err := r.save(s.files); err != nil {
			return err
		}
		if err := s.init.reload(ctx); err != nil {
			return err
		}
		return s.init.start(ctx, verb, name)
	}})
}
