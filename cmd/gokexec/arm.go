package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/gokexec/gokexec/internal/sysfs"
	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/bootimage"
	"github.com/gokexec/gokexec/pkg/bootloader"
	"github.com/gokexec/gokexec/pkg/capture"
	"github.com/gokexec/gokexec/pkg/check"
	"github.com/gokexec/gokexec/pkg/config"
	"github.com/gokexec/gokexec/pkg/initramfs"
	"github.com/gokexec/gokexec/pkg/loader"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/network"
	"github.com/gokexec/gokexec/pkg/plan"
	"github.com/gokexec/gokexec/pkg/storage"
)

// armedInitrd is what messages and records call the initramfs that arm has built.
const armedInitrd = "the capture initramfs built by gokexec arm"

func armCommand() command {
	return command{
		name: "arm", acts: true,
		short: "make this machine ready to save a dump: build the capture initramfs and load it with the running kernel",
		long: `Reads gokexec.conf(5), takes the file of the running kernel, builds the capture initramfs for exactly
that kernel and for the dump targets as they are mounted now, loads both as the crash kernel,
verifies what the kernel made of them, and notes it. Without a configuration dumps go to
/var/crash, on the filesystem where that lies.

The initramfs is built in memory and never written to a file: there is none that could become stale. A
kernel that the package manager has upgraded needs nothing: the service arms after each boot, for the
kernel that runs then.

Everything that can be checked is checked first, as gokexec load does; what was armed before stays
armed if something is wrong. gokexec reload and gokexec hotplug build the initramfs again with the
settings that were in force when the machine was armed, for the targets as they are mounted then.
gokexec status says when the configuration has changed since; gokexec arm takes it up.`,
		orderly: true,
		unheard: true,
		setup: func(flags *pflag.FlagSet) func(context.Context, *env, []string) error {
			o := &armOptions{}
			flags.BoolVarP(&o.dryRun, "dry-run", "n", false, "print what would be done, but do nothing")
			flags.BoolVar(&o.unlessArmed, "unless-armed", false, "do nothing if exactly this is armed already: the same configuration, kernel, initramfs and targets, with an accurate elfcorehdr")
			flags.BoolVar(&o.json, "json", false, "report as JSON")
			flags.DurationVar(&o.wait, "wait", loader.DefaultWait, "how long to try again while another load is under way")
			return func(ctx context.Context, e *env, args []string) error {
				if err := noArgs(args); err != nil {
					return err
				}
				return e.arm(ctx, o)
			}
		},
	}
}

func disarmCommand() command {
	return command{
		name: "disarm", acts: true,
		short: "free the crash kernel; from then on none is wanted, until gokexec arm",
		long: `Does what gokexec unload --crash does: frees the crash kernel, so that a panic saves nothing. gokexec
hotplug does not load one again. The service arms at the next boot: systemctl disable gokexec-crash
keeps it from that.`,
		exits:   []exitCode{{exitNotLoaded, "nothing was loaded"}},
		orderly: true,
		unheard: true,
		setup: func(flags *pflag.FlagSet) func(context.Context, *env, []string) error {
			wait := flags.Duration("wait", loader.DefaultWait, "how long to try again while another load is under way")
			return func(ctx context.Context, e *env, args []string) error {
				if err := noArgs(args); err != nil {
					return err
				}
				return e.unload(ctx, machine.Crash, *wait)
			}
		},
	}
}

type armOptions struct {
	dryRun, json, unlessArmed bool
	wait                      time.Duration
}

// recipe is what an armed crash kernel was made from. The record of the load keeps it (plan.Spec.Recipe).
type recipe struct {
	Release string   `json:"kernel_release"`
	How     string   `json:"kernel_found_by"`
	Targets []string `json:"targets"`          // as the capture kernel finds them
	Stacks  []string `json:"stacks,omitempty"` // digests of what each lies on, or is reached by; "" for a disk
	// Networks are how targets over the network were reached, by their names.
	Networks map[string]*network.Record `json:"networks,omitempty"`
	LeftOut  []string                   `json:"left_out,omitempty"`  // targets, and fence_kdump, whose hosts could not be looked at
	Files    []string                   `json:"configuration_files"` // none: everything has its default
	Settings []config.Setting           `json:"settings"`            // in order of application
}

// armReport is what arm --json prints.
type armReport struct {
	*loadReport
	Armed   bool     `json:"armed"`
	Already bool     `json:"already_armed"`
	Recipe  *recipe  `json:"armed_for"`
	Modules []string `json:"initramfs_modules"`
}

// arm loads the crash kernel that the configuration asks for.
func (e *env) arm(ctx context.Context, o *armOptions) error {
	arch, err := machine.NativeArch()
	if err != nil {
		return err
	}
	root := os.DirFS(e.sysroot)
	c, err := readConfig(root)
	if err != nil {
		return err
	}
	for _, w := range c.warnings {
		fmt.Fprintf(e.stderr, "gokexec: warning: %s\n", w)
	}
	made := &recipe{Files: orEmpty(c.files), Settings: orEmpty(c.settings)}
	host, err := e.host("", arch)
	if err != nil {
		return err
	}
	if err := advice.FirstFailure(check.Host(host, machine.Crash)); err != nil {
		return err // before time is spent on an initramfs
	}
	spec, built, err := e.armSpec(ctx, c, made, o.dryRun)
	if err != nil {
		return err
	}
	load := loadOptions{dryRun: o.dryRun, unlessLoaded: o.unlessArmed, wait: o.wait, json: o.json}
	out, failure := load.carryOut(ctx, e, arch, spec)
	report := &armReport{Recipe: made, Already: out.Held, Armed: out.Held || failure == nil && !o.dryRun}
	for _, m := range built.Modules {
		report.Modules = append(report.Modules, m.Name)
	}
	if out.Plan == nil && !out.Held {
		return failure
	}
	if out.Plan != nil {
		report.loadReport = newLoadReport(out.Plan, out.Findings, o.dryRun, o.json)
		report.Loaded, report.Verification = report.Armed, out.Verification
	}
	if err := e.printArm(report, o, spec); err != nil {
		return err
	}
	return failure
}

// armSpec builds the initramfs and gives what is to be loaded. It completes the recipe.
func (e *env) armSpec(ctx context.Context, c *configured, made *recipe, dryRun bool) (*plan.Spec, *initramfs.Report, error) {
	root := os.DirFS(e.sysroot)
	image, err := e.armImage(root, c, made)
	if err != nil {
		return nil, nil, err
	}
	if err := e.checkArmTargets(c); err != nil {
		return nil, nil, err
	}
	c.initramfs.release, c.initramfs.networks = made.Release, made.Networks
	c.initramfs.handOver.Dry = dryRun
	built, targets, archive, err := e.buildForArm(ctx, c)
	if err != nil {
		return nil, nil, err
	}
	made.Targets, made.Stacks, made.Networks = targetNames(targets), targetStacks(targets), targetNetworks(targets)
	made.LeftOut = c.initramfs.leftOut
	if f := c.initramfs.fence; f != nil {
		made.Networks[fenceNetwork] = f
	}
	c.inputs.reuse = c.reuses()
	spec, err := c.inputs.spec(machine.Crash, image)
	if err != nil {
		return nil, nil, err
	}
	if err := c.segments.apply(spec, dryRun); err != nil {
		return nil, nil, err
	}
	spec.Initrd = plan.FromBuilt(armedInitrd, archive)
	spec.Recipe, err = json.Marshal(made)
	return spec, built, err
}

// buildForArm builds the initramfs in memory. A hook that can't be taken over, as one that was removed since, must not
// leave the machine without a crash kernel: it is left out, loudly.
func (e *env) buildForArm(ctx context.Context, c *configured) (*initramfs.Report, []*storage.Resolved, []byte, error) {
	again := e
	c.initramfs.inMemory = true
	for {
		var archive bytes.Buffer
		built, targets, err := c.initramfs.build(ctx, again, c.dumpTargets(), func(write func(io.Writer) (*initramfs.Report, error)) (*initramfs.Report, error) {
			return write(&archive)
		})
		var bad *initramfs.ProgramError
		if !errors.As(err, &bad) || !c.initramfs.without(bad.Path) {
			return built, targets, archive.Bytes(), err
		}
		line := fmt.Sprintf("warning: the capture goes without %s: %s", bad.Path, oneLine(bad.Err.Error()))
		fmt.Fprintln(e.stderr, "gokexec:", line)
		e.kernelLog(kernelWarning, line)
		quiet := *e // the rest was said
		quiet.stderr = io.Discard
		again = &quiet
	}
}

// targetStacks are digests of what targets lie on, "" for a disk; nil if all lie on disks.
func targetStacks(targets []*storage.Resolved) []string {
	stacks, any := make([]string, len(targets)), false
	for i, r := range targets {
		if s := r.Target.Stack; s != nil {
			stacks[i], any = s.Digest(), true
		}
		if n := r.Target.Network; n != nil {
			stacks[i], any = n.Digest(), true
		}
	}
	if !any {
		return nil
	}
	return stacks
}

// targetNetworks are how targets are reached, by their names.
func targetNetworks(targets []*storage.Resolved) map[string]*network.Record {
	networks := map[string]*network.Record{}
	for _, r := range targets {
		if r.Target.Network != nil {
			networks[r.Target.String()] = r.Target.Network
		}
	}
	return networks
}

func targetNames(targets []*storage.Resolved) []string {
	names := []string{}
	for _, t := range targets {
		names = append(names, t.Target.String())
	}
	return names
}

// armImage finds the kernel to be loaded and its release, which the initramfs is built for.
func (e *env) armImage(root fs.FS, c *configured, made *recipe) (string, error) {
	running, err := sysfs.ReadString(root, "proc/sys/kernel/osrelease")
	if err != nil {
		return "", err
	}
	if c.image == "" {
		found, err := bootloader.FindKernel(root, running)
		if err != nil {
			return "", &advice.Problem{What: err.Error(), Err: err, Hint: strings.TrimPrefix(advice.Hint(err)+"; [Kernel] Image= in "+config.LocalPath+" names it", "; ")}
		}
		made.Release, made.How = running, found.How
		return filepath.Join(e.sysroot, found.Path), nil
	}
	made.Release, made.How = running, "[Kernel] Image="
	info, err := os.Stat(c.image)
	if err == nil && !info.Mode().IsRegular() { // before it is opened: a FIFO would wait for a writer
		err = &fs.PathError{Op: "load", Path: c.image, Err: plan.ErrNotRegular}
	}
	if err != nil {
		return "", fileProblem("kernel ([Kernel] Image=)", err)
	}
	f, err := os.Open(c.image)
	if err != nil {
		return "", fileProblem("kernel ([Kernel] Image=)", err)
	}
	defer f.Close()
	if image, err := bootimage.Open(f, info.Size()); err == nil {
		if release, err := image.Release(); err == nil && release != "" {
			made.Release = release
		}
	}
	return c.image, nil
}

// buildArmed builds again what was armed, with the settings that were in force then, for the machine as it is
// now. It is a loader.Loader.Build.
func (e *env) buildArmed(ctx context.Context, recorded *plan.Spec) (*plan.Spec, error) {
	var made recipe
	if err := json.Unmarshal(recorded.Recipe, &made); err != nil {
		return nil, fmt.Errorf("the record of what was armed: %w", err)
	}
	c, err := configureKnown(made.Settings) // an older or newer gokexec may have armed
	if err != nil {
		return nil, err
	}
	for _, k := range machine.ConfiguredDiskKeys(os.DirFS(e.sysroot)) {
		if k.Own { // a reload may take it from the image that is loaded
			c.initramfs.handOver.Loaded = append(c.initramfs.handOver.Loaded, k.Description)
		}
	}
	quiet := *e // what there is to say was said by arm
	quiet.stderr = io.Discard
	spec, _, err := quiet.armSpec(ctx, c, &made, false)
	return spec, err
}

// capture is the configuration of the capture, its targets as they are configured.
func (r *recipe) capture() (capture.Config, error) {
	c, err := configureKnown(r.Settings)
	if err != nil {
		return capture.Config{}, err
	}
	return c.captureConfig()
}

func (e *env) printArm(r *armReport, o *armOptions, spec *plan.Spec) error {
	if o.json {
		return e.printJSON(r)
	}
	if r.Already {
		fmt.Fprintf(e.stdout, "armed already, as configured, and accurate: %s\n", spec.Kernel.Path)
		return nil
	}
	if r.Armed {
		fmt.Fprintf(e.stdout, "armed with kernel %s (%s); dumps go to %s\n", r.Recipe.Release, r.Recipe.How, strings.Join(r.Recipe.Targets, ", then "))
	}
	if o.dryRun {
		fmt.Fprintf(e.stdout, "release  %s (%s)\ntargets  %s\nmodules  %s\n", r.Recipe.Release, r.Recipe.How, strings.Join(r.Recipe.Targets, ", then "), strings.Join(r.Modules, " "))
	}
	return e.printLoad(r.loadReport, false, r.Checks)
}
