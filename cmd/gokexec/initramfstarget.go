package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/capture"
	"github.com/gokexec/gokexec/pkg/initramfs"
	"github.com/gokexec/gokexec/pkg/kmod"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/network"
	"github.com/gokexec/gokexec/pkg/storage"
)

// elsewhere reports whether the targets are on another machine and can't be checked: if
// --other-machine is given, for another architecture, or if drivers are named for a tree
// that is not this machine's.
func (o *initramfsOptions) elsewhere() (bool, error) {
	if o.otherMachine || o.sysroot != "/" && len(o.sets)+len(o.modules) > 0 {
		return true, nil
	}
	if o.arch == "" {
		return false, nil
	}
	arch, err := machine.ArchByName(o.arch)
	if err != nil {
		return false, usageError("--arch: %w", err)
	}
	native, err := machine.NativeArch()
	return arch.Name != native.Name, err
}

// resolveTargets turns the targets into what the capture kernel finds, and reports the
// differences.
func (o *initramfsOptions) resolveTargets(ctx context.Context, e *env, settings *capture.Config) ([]*storage.Resolved, error) {
	elsewhere, err := o.elsewhere()
	if err != nil {
		return nil, err
	}
	machine := e.storage()
	var all []*storage.Resolved
	var kept []capture.Target
	for i, t := range settings.Targets {
		resolve := machine.Resolve
		if elsewhere {
			resolve = storage.Elsewhere
		}
		r, err := resolve(ctx, t)
		if err != nil && t.Remote() {
			r, err = o.asArmed(t.String(), err, func(record *network.Record) (*storage.Resolved, error) { return machine.RecordedTarget(t, record) })
			if err != nil && o.canDoWithout(err, len(kept)+len(settings.Targets)-i-1) {
				o.leaveOut(e, t.String(), err)
				continue
			}
		}
		if err != nil {
			return nil, targetProblem(err, !elsewhere)
		}
		e.tellResolved(r)
		kept, all = append(kept, r.Target), append(all, r)
	}
	settings.Targets = kept
	return all, nil
}

func (e *env) tellResolved(r *storage.Resolved) {
	for _, line := range r.Notes {
		fmt.Fprintf(e.stderr, "gokexec: %s\n", line)
	}
	for _, line := range r.Warnings {
		fmt.Fprintf(e.stderr, "gokexec: warning: %s\n", line)
	}
}

// canDoWithout reports whether an armed machine goes without a host that can't be looked at now: at boot the network may
// come later, and a capture to other targets is better than none.
func (o *initramfsOptions) canDoWithout(err error, others int) bool {
	return o.inMemory && others > 0 && !refused(err)
}

// refused reports whether an error says that a target can't be there in a capture kernel, and not that it could not be looked at.
func refused(err error) bool {
	var refusal *storage.Refusal
	return errors.As(err, &refusal)
}

// leaveOut tells loudly that a host is left out. The record of the load has it, so that it is tried again.
func (o *initramfsOptions) leaveOut(e *env, what string, err error) {
	o.leftOut = append(o.leftOut, what)
	line := fmt.Sprintf("warning: the capture goes without %s: %s", what, oneLine(err.Error()))
	fmt.Fprintln(e.stderr, "gokexec:", line)
	e.kernelLog(kernelWarning, line)
}

// asArmed takes what is reached over the network as it was when the machine was armed, if the way to it can't be found now: the
// network may be down at this moment, and a crash kernel that has the way that was is better than an old one.
func (o *initramfsOptions) asArmed(name string, why error, recorded func(*network.Record) (*storage.Resolved, error)) (*storage.Resolved, error) {
	record := o.networks[name]
	if record == nil || refused(why) {
		return nil, why
	}
	r, err := recorded(record)
	if err != nil {
		return nil, fmt.Errorf("%w; %w", why, err)
	}
	r.Warnings = append(r.Warnings, oneLine(why.Error())+"; the way to it is taken as it was when the machine was armed")
	return r, nil
}

// fenceNetwork is the name under which a record of what was armed keeps the way to the nodes of fence_kdump.
const fenceNetwork = "fence_kdump"

// resolveFence records how the nodes of fence_kdump are reached; nil without any.
func (o *initramfsOptions) resolveFence(ctx context.Context, e *env, settings *capture.Config) (*storage.Resolved, error) {
	f := &settings.FenceKdump
	if len(f.Nodes) == 0 {
		return nil, nil
	}
	if elsewhere, err := o.elsewhere(); err != nil || elsewhere {
		return nil, errors.Join(err, usageError("--fence-kdump: only the machine itself knows how the nodes are reached"))
	}
	machine := e.storage()
	r, err := machine.Reach(ctx, f.Hosts())
	if err != nil {
		r, err = o.asArmed(fenceNetwork, fmt.Errorf("fence_kdump: %w", err), machine.Recorded)
	}
	if err != nil {
		if o.canDoWithout(err, len(settings.Targets)) {
			o.leaveOut(e, fenceNetwork, err)
			*f = capture.FenceKdump{}
			return nil, nil
		}
		return nil, targetProblem(err, false)
	}
	e.tellResolved(r)
	f.Network, o.fence = r.Target.Network, r.Target.Network
	return r, nil
}

// targetProblem puts the alternative into the hint.
func targetProblem(err error, here bool) error {
	p := &advice.Problem{What: err.Error(), Err: err}
	var refusal *storage.Refusal
	if errors.As(err, &refusal) {
		p.Hint = refusal.Instead
	}
	if here {
		p.Hint = strings.TrimPrefix(p.Hint+"; --other-machine if the target is not this machine's", "; ")
	}
	return p
}

// targetModules asks a target's devices which modules they need.
func (o *initramfsOptions) targetModules(e *env, tree *kmod.Tree, r *storage.Resolved, cfg *initramfs.Config) error {
	root := storage.Root(e.sysroot)
	for _, name := range r.Devices {
		names, err := tree.ModulesForBlockDevice(root, name)
		if err != nil {
			return &advice.Problem{What: fmt.Sprintf("target %s: %v", r.Target, err), Err: err,
				Hint: "name its drivers and say so: --other-machine --set nvme, --module NAME"}
		}
		cfg.Modules = append(cfg.Modules, names...)
	}
	for _, name := range r.Interfaces {
		names, err := tree.ModulesForInterface(root, name)
		if err != nil {
			return &advice.Problem{What: fmt.Sprintf("target %s: %v", r.Target, err), Err: err, Hint: "name its driver: --module NAME"}
		}
		cfg.Modules = append(cfg.Modules, names...)
	}
	for _, name := range r.Optional {
		if names, err := tree.ModulesFor(name); err == nil {
			cfg.OptionalModules = append(cfg.OptionalModules, names...)
		}
	}
	for _, name := range r.Modules {
		names, err := tree.ModulesFor(name)
		if err != nil {
			what, hint := "what makes its devices", "can't make them"
			if r.Target.Stack == nil {
				what, hint = "what the kernel needs for the network", "does not have it"
			}
			return &advice.Problem{What: fmt.Sprintf("target %s: %s: %v", r.Target, what, err), Err: err,
				Hint: "kernel " + o.release + " " + hint + "; take another target or kernel"}
		}
		cfg.Modules = append(cfg.Modules, names...)
	}
	for _, name := range r.Ciphers {
		if names, err := tree.ModulesFor(name); err == nil {
			cfg.Modules = append(cfg.Modules, names...)
		}
	}
	var err error
	for _, fstype := range r.Drivers {
		var required, optional []string
		if required, optional, err = tree.ModulesForFilesystem(fstype); err == nil {
			cfg.Modules = append(cfg.Modules, required...)
			cfg.OptionalModules = append(cfg.OptionalModules, optional...)
			return nil
		}
	}
	if err != nil {
		return &advice.Problem{What: fmt.Sprintf("target %s: %v", r.Target, err), Hint: "kernel " + o.release + " can't mount it; take another target or kernel", Err: err}
	}
	return nil
}

// targetFindings checks targets: those that are named, and those of the
// capture initramfs, if the initrd is one. A collected tree has no devices.
func (e *env) targetFindings(ctx context.Context, collected string, named []string, initrd string) ([]advice.Finding, error) {
	resolve := e.storage().Resolve
	if collected != "" {
		resolve = func(_ context.Context, t capture.Target) (*storage.Resolved, error) {
			return nil, fmt.Errorf("target %s: not checked: a collected tree has no devices", t)
		}
	}
	var findings []advice.Finding
	for _, text := range named {
		t, err := capture.ParseTarget(text)
		if err != nil {
			return nil, usageError("--target: %w", err)
		}
		if t, err = e.configuredStore(t); err != nil {
			findings = append(findings, targetFinding(nil, err))
			continue
		}
		findings = append(findings, targetFinding(resolve(ctx, t)))
	}
	cfg, err := initrdConfig(initrd)
	if err != nil {
		return append(findings, advice.Finding{Check: "target", Level: advice.Failure, Detail: initrd + ": " + err.Error(), Remedy: "build it again with gokexec initramfs"}), nil
	}
	for _, t := range cfg.Targets {
		findings = append(findings, targetFinding(resolve(ctx, t)))
	}
	return findings, nil
}

func targetFinding(r *storage.Resolved, err error) advice.Finding {
	f := advice.Finding{Check: "target"}
	var refusal *storage.Refusal
	switch {
	case errors.As(err, &refusal):
		f.Level, f.Detail, f.Remedy = advice.Failure, err.Error(), refusal.Instead
	case err != nil:
		f.Level, f.Detail, f.Remedy = advice.Unknown, err.Error(), "run as root, on the machine itself"
	case len(r.Warnings) > 0:
		f.Level, f.Detail, f.Remedy = advice.Warning, strings.Join(append(r.Notes, r.Warnings...), "; "), "name another target"
	default:
		f.Level, f.Detail = advice.OK, strings.Join(append(r.Notes, r.Target.String()+" can be there in a capture kernel ("+strings.Join(append(r.Devices, r.Interfaces...), ", ")+")"), "; ")
	}
	return f
}

// initrdConfig is the configuration in a capture initramfs. It is zero if there is none,
// or if another check reports the initrd.
func initrdConfig(initrd string) (capture.Config, error) {
	if initrd == "" {
		return capture.Config{}, nil
	}
	f, err := os.Open(initrd)
	if err != nil {
		return capture.Config{}, err
	}
	defer f.Close()
	contents, err := initramfs.Read(f, maxInitrd)
	if err != nil || contents.Settings == nil {
		return capture.Config{}, nil
	}
	return capture.ParseConfig(bytes.NewReader(contents.Settings))
}

// maxInitrd bounds what an initrd may unpack to, in bytes.
const maxInitrd = 4 << 30
