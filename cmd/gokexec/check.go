package main

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/spf13/pflag"

	"github.com/gokexec/gokexec/pkg/accuracy"
	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/check"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/plan"
	"github.com/gokexec/gokexec/pkg/record"
)

func checkCommand() command {
	return command{
		name: "check", args: "[KERNEL]",
		short: "find what would make a load or a capture fail",
		long: `Runs the checks that load makes before its system call, and prints each result with
what to do about it. It also finds problems that do not prevent loading but would make the
capture fail: an initrd that is too large to be unpacked, made for another kernel, older
than its modules or without those that the disk needs; a command line that lacks something;
a running watchdog; encrypted disks; graphics drivers; and a dump target that cannot exist
in a capture kernel, no longer exists on this machine, or has no room for a dump of its memory. Without KERNEL only the machine is
checked, and what gokexec arm has armed with the targets of gokexec.conf(5). Nothing is changed, and no kernel lock is taken; only a
target over the network that --target names is written to.`,
		exits: []exitCode{{exitOK, "no problem was found"}, {exitFailure, "a load would fail, for the first reason that is printed"},
			{exitStale, "a load would work, but a crash kernel is wanted and none is loaded"}},
		setup: func(flags *pflag.FlagSet) func(context.Context, *env, []string) error {
			var in inputFlags
			flags.StringVar(&in.initrd, "initrd", "", "`FILE` with the initramfs")
			in.declare(flags)
			boot := flags.Bool("boot", false, "check for an ordinary kexec, not for a crash kernel")
			asJSON := flags.Bool("json", false, "report as JSON")
			sysroot := flags.String("sysroot", "", "read /proc and /sys under `DIR`, a collected tree")
			targets := flags.StringArray("target", nil, "check also whether `TARGET`, as for gokexec initramfs, can exist in a capture kernel (may be repeated); one over the network is tried: something small is written, read back and removed")
			nfsOptions := flags.String("nfs-options", "", "`OPTIONS` to try nfs: targets with; those of gokexec.conf by default")
			archName := flags.String("arch", "", "the tree is of a machine of architecture `NAME`")
			return func(ctx context.Context, e *env, args []string) error {
				if len(args) > 1 {
					return usageError("one KERNEL at most; there are %d arguments", len(args))
				}
				kind := machine.Crash
				if *boot {
					kind = machine.Boot
				}
				arch, err := archOption(*archName)
				if err != nil {
					return err
				}
				host, err := e.host(*sysroot, arch)
				if err != nil {
					return err
				}
				findings := check.Host(host, kind)
				root, err := e.tree(*sysroot)
				if err != nil {
					return err
				}
				if len(args) == 1 {
					more, err := checkFiles(root, host, &in, kind, args[0])
					if err != nil {
						return err
					}
					findings = append(findings, more...)
				} else if kind == machine.Crash {
					findings = append(findings, check.Capture(root, host, nil, nil)...)
				}
				try := *targets // those that are named; not those that are configured
				if *sysroot == "" && kind == machine.Crash && len(args) == 0 && in.initrd == "" && len(*targets) == 0 {
					var more []advice.Finding
					more, *targets = e.armedFindings(host)
					findings = append(findings, more...)
				}
				more, err := e.targetFindings(ctx, *sysroot, *targets, in.initrd)
				if err != nil {
					return err
				}
				findings = append(findings, more...)
				if *sysroot == "" {
					findings = append(findings, e.tryTargets(ctx, try, *nfsOptions)...)
				}
				if *sysroot == "" && kind == machine.Crash {
					findings = append(findings, e.roomFindings(ctx, *targets, in.initrd)...)
				}
				unarmed, err := e.unarmed(*sysroot, root, host)
				if err != nil {
					return err
				}
				unarmed = unarmed && kind == machine.Crash
				if unarmed {
					findings = append(findings, unarmedFinding())
				}
				if err := e.reportFindings(findings, *asJSON); err != nil || !unarmed {
					return err
				}
				return &exitError{code: exitStale}
			}
		},
	}
}

// unarmed tells whether a crash kernel is wanted and none is loaded.
func (e *env) unarmed(sysroot string, root fs.FS, host *machine.Host) (bool, error) {
	dir, done, err := e.notes(sysroot, root)
	if err != nil {
		return false, err
	}
	defer done()
	return wantedIn(dir) && host.CrashLoaded != nil && !*host.CrashLoaded, nil
}

// armedFindings are about what gokexec arm has loaded, and what it would load now. The targets that are configured
// are checked like those that are named.
func (e *env) armedFindings(host *machine.Host) (findings []advice.Finding, targets []string) {
	if host.CrashLoaded == nil || !*host.CrashLoaded {
		return nil, nil
	}
	state, err := record.Read(e.stateDir)
	if err != nil {
		return nil, nil
	}
	a := e.armedOf(state, true)
	if a == nil || accuracy.Verify(os.DirFS(e.sysroot), e.stateDir).Foreign {
		return nil, nil
	}
	if c, err := readConfig(os.DirFS(e.sysroot)); err == nil {
		targets = c.dumpTargets()
	}
	return []advice.Finding{a.finding()}, targets
}

func unarmedFinding() advice.Finding {
	return advice.Finding{Check: "crash kernel", Level: advice.Warning, Detail: "one is wanted, but none is loaded: it was lost after gokexec loaded it",
		Remedy: "gokexec hotplug or gokexec reload loads it again; gokexec unload --crash records that none is wanted"}
}

func checkFiles(root fs.FS, host *machine.Host, flags *inputFlags, kind machine.Kind, kernel string) ([]advice.Finding, error) {
	spec, err := flags.spec(kind, kernel)
	if err != nil {
		return nil, err
	}
	in, err := plan.Open(spec)
	if err != nil {
		return nil, inputProblem(err)
	}
	defer in.Close()
	p, err := in.Plan(host, spec.Method)
	if err != nil {
		return nil, err
	}
	p.RequireDiskKeys(check.RequiredDiskKeys(in, p, host))
	findings := p.Check(host)
	if kind == machine.Crash {
		findings = append(findings, check.Capture(root, host, in, p)...)
		findings = append(findings, check.DiskKeys(root, host, p, in.Release())...)
	}
	return findings, nil
}

func (e *env) reportFindings(findings []advice.Finding, asJSON bool) error {
	if asJSON {
		if err := e.printJSON(map[string]any{"checks": findings, "ok": advice.FirstFailure(findings) == nil}); err != nil {
			return err
		}
	} else {
		printFindings(e.stdout, findings)
	}
	if advice.FirstFailure(findings) != nil {
		return &exitError{code: exitFailure}
	}
	return nil
}

func printFindings(w io.Writer, findings []advice.Finding) {
	for _, f := range findings {
		fmt.Fprintf(w, "%-8s %s: %s\n", f.Level, f.Check, f.Detail)
		if f.Level >= advice.Warning && f.Remedy != "" {
			fmt.Fprintf(w, "%-8s -> %s\n", "", f.Remedy)
		}
	}
}
