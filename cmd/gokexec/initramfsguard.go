package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/initramfs"
	"github.com/gokexec/gokexec/pkg/kmod"
)

// The values of --watchdog.
const (
	watchdogAuto = "auto"
	watchdogYes  = "yes"
	watchdogNo   = "no"
)

func (o *initramfsOptions) checkWatchdog() error {
	if !slices.Contains([]string{watchdogAuto, watchdogYes, watchdogNo}, o.watchdog) {
		return usageError("--watchdog: %q is none of auto, yes and no", o.watchdog)
	}
	return nil
}

// findWatchdogs decides whether the capture feeds watchdogs: by default it does so when one runs.
func (o *initramfsOptions) findWatchdogs(e *env) error {
	if err := o.checkWatchdog(); err != nil {
		return err
	}
	elsewhere, err := o.elsewhere()
	if err != nil {
		return err
	}
	o.here, o.feedWatchdogs = !elsewhere, o.watchdog == watchdogYes
	if o.watchdog == watchdogNo || elsewhere {
		return nil
	}
	dogs, err := kmod.Watchdogs(os.DirFS(e.sysroot))
	if err != nil {
		return fmt.Errorf("look for watchdogs: %w", err)
	}
	for _, dog := range dogs {
		if dog.Software {
			if o.feedWatchdogs {
				fmt.Fprintf(e.stderr, "gokexec: note: %s is a timer of the running kernel (softdog) and stops with it: it does not run during a dump\n", dog.Name)
			}
			continue
		}
		o.watchdogs = append(o.watchdogs, dog)
	}
	if o.feedWatchdogs && len(o.watchdogs) == 0 {
		fmt.Fprintln(e.stderr, "gokexec: warning: --watchdog: no hardware watchdog runs on this machine; the capture feeds those that it finds, if their drivers are built in or named by --module")
	}
	o.feedWatchdogs = o.feedWatchdogs || len(o.watchdogs) > 0
	return nil
}

// addFirst puts before all other modules those that the capture must have early: the watchdogs'
// drivers, since the crashed kernel has armed them, and those for virtio-mem, which must come before
// /proc/vmcore is opened. tree is nil where all drivers are built in.
func (o *initramfsOptions) addFirst(e *env, tree *kmod.Tree, cfg *initramfs.Config) error {
	if !o.here {
		return nil
	}
	machine := os.DirFS(e.sysroot)
	var first []string
	for _, dog := range o.watchdogs {
		var names []string
		known := len(dog.Drivers) == 0 && tree == nil
		if tree != nil {
			var err error
			if names, known, err = tree.ModulesForWatchdog(machine, dog); err != nil {
				fmt.Fprintf(e.stderr, "gokexec: warning: %s: %v\n", dog.Name, err)
			}
		}
		if !known {
			fmt.Fprintf(e.stderr, "gokexec: warning: %s\n", o.missingDriver(dog))
		}
		first = append(first, names...)
	}
	if tree != nil {
		names, err := tree.ModulesForHotMemory(machine)
		if err != nil {
			return &advice.Problem{What: fmt.Sprintf("virtio-mem: %v", err), Hint: "name its modules: --module virtio_pci --module virtio_mem", Err: err}
		}
		first = append(first, names...)
	}
	cfg.Modules = append(first, cfg.Modules...)
	return nil
}

// withoutModules is for a tree in which no modules were found, for cause: all drivers must be built in. It
// fails if a driver is a module on this machine.
func (o *initramfsOptions) withoutModules(e *env, cause error, devices []string, cfg *initramfs.Config) error {
	for _, device := range devices {
		drivers, err := kmod.DriversOfBlockDevice(os.DirFS(e.sysroot), device)
		if err == nil && len(drivers) > 0 {
			return &advice.Problem{What: fmt.Sprintf("target %s: its driver is a module (%s), and %v", device, strings.Join(drivers, ", "), cause), Err: cause,
				Hint: "--sysroot DIR names the tree that has lib/modules/" + o.release}
		}
	}
	fmt.Fprintf(e.stderr, "gokexec: warning: no modules of kernel %s under %s: the drivers must be built in\n", o.release, o.sysroot)
	return o.addFirst(e, nil, cfg)
}

// missingDriver says what a watchdog does that is not fed.
func (o *initramfsOptions) missingDriver(dog kmod.Watchdog) string {
	driver := "its driver is not known"
	if len(dog.Drivers) > 0 {
		driver = "kernel " + o.release + " has no module " + strings.Join(dog.Drivers, ", ")
	}
	after := ""
	if dog.Timeout != "" {
		after = " " + dog.Timeout + " s after the panic"
	}
	return fmt.Sprintf("%s (%s) runs, but %s: unless that is built in, it resets the machine%s, in the middle of a dump; name the driver with --module",
		dog.Name, dog.Identity, driver, after)
}
