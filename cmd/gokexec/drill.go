package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/internal/sysfs"
	"github.com/gokexec/gokexec/pkg/accuracy"
	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/capture"
	"github.com/gokexec/gokexec/pkg/check"
	"github.com/gokexec/gokexec/pkg/elfcore"
	"github.com/gokexec/gokexec/pkg/kcore"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/memmap"
	"github.com/gokexec/gokexec/pkg/record"
)

const (
	bootIDPath     = "proc/sys/kernel/random/boot_id"
	devkmsgPath    = "proc/sys/kernel/printk_devkmsg"
	drillSyncLimit = 60 * time.Second
	// drillCheck is the check of what a drill itself needs.
	drillCheck advice.CheckID = "drill"
)

type drillOptions struct {
	yes, dryRun, verify, json bool
	delay, timeout            time.Duration
	targets                   []string
}

func drillCommand() command {
	return command{
		name: "drill", acts: true,
		short: "crash this machine on purpose, and verify the dump after the reboot",
		long: `Proves the whole chain: the crash kernel that is loaded, its capture, the dump target, the
dump, and the way back. gokexec checks what can be checked, and refuses if there is no crash
kernel, if its header is stale, or if a target can't work. It then writes a random token to
the kernel log and into pages of the kernel's memory, and notes in ` + defaultLibDir + `
what the dump has to contain; asks; tells the users that are logged in; waits; writes all
filesystems back; and panics the kernel.

EVERY PROGRAM ON THE MACHINE IS KILLED, as in a real crash: what is not saved is lost.

After the reboot gokexec-drill.service runs gokexec drill --verify. That looks for the dump
at its targets, where they are mounted now, and verifies that it is complete, that the token is
in its log and in the pages of its memory, and that it knows of all memory that the machine
had. It reports how long the machine was away, and notes the result: gokexec status and
gokexec metrics show it. A drill after which the machine just booted has failed.

The pages are those of a packet socket that receives nothing. They are the kernel's own, so that no dump level
leaves them out, and what is in memory of a process would be.`,
		exits: []exitCode{{exitOK, "nothing is in the way of a drill (--dry-run), or it has passed (--verify)"},
			{exitFailure, "something is in the way, or the drill has failed, for the reason that is printed"},
			{exitNotLoaded, "no crash kernel is loaded, or no drill is under way (--verify)"}},
		orderly: true,
		setup: func(flags *pflag.FlagSet) func(context.Context, *env, []string) error {
			o := &drillOptions{}
			flags.BoolVarP(&o.yes, "yes", "y", false, "do not ask")
			flags.BoolVarP(&o.dryRun, "dry-run", "n", false, "check, and print what would be done, but do nothing")
			flags.BoolVar(&o.verify, "verify", false, "verify the dump of the drill from before the reboot")
			flags.DurationVar(&o.delay, "delay", 10*time.Second, "how long the users who are logged in have")
			flags.DurationVar(&o.timeout, "timeout", 2*time.Minute, "with --verify: how long to wait for targets that are not mounted yet")
			flags.StringArrayVar(&o.targets, "target", nil, "the crash kernel saves its dump to `TARGET` (may be repeated); by default those of its capture initramfs")
			flags.BoolVar(&o.json, "json", false, "report as JSON")
			return func(ctx context.Context, e *env, args []string) error {
				if err := noArgs(args); err != nil {
					return err
				}
				if o.verify {
					if o.yes || o.dryRun || len(o.targets) > 0 {
						return usageError("--verify goes with --timeout and --json only")
					}
					return o.verifyLast(ctx, e)
				}
				return o.run(ctx, e)
			}
		},
	}
}

// drillPlan is what a drill will do.
type drillPlan struct {
	Record   *drillRecord     `json:"expected"`
	Action   capture.Action   `json:"final_action"`
	Findings []advice.Finding `json:"checks"`
	DryRun   bool             `json:"dry_run"`
}

func (o *drillOptions) run(ctx context.Context, e *env) error {
	p, err := o.plan(ctx, e)
	if err != nil {
		return err
	}
	if err := o.report(e, p); err != nil {
		return err
	}
	if err := advice.FirstFailure(p.Findings); err != nil {
		return err
	}
	if o.dryRun {
		return nil
	}
	if err := o.confirm(e); err != nil {
		return err
	}
	return o.crash(ctx, e, p)
}

// plan looks at what a drill depends on.
func (o *drillOptions) plan(ctx context.Context, e *env) (*drillPlan, error) {
	arch, err := machine.NativeArch()
	if err != nil {
		return nil, err
	}
	host, err := e.host("", arch)
	if err != nil {
		return nil, err
	}
	root := os.DirFS(e.sysroot)
	verified := accuracy.Verify(root, e.stateDir)
	if verified.Accuracy == accuracy.NotLoaded {
		return nil, &exitError{code: exitNotLoaded, err: &advice.Problem{What: "no crash kernel is loaded: nothing would save the memory", Hint: "gokexec arm loads one"}}
	}
	cfg, err := o.config(e, verified)
	if err != nil {
		return nil, err
	}
	p := &drillPlan{Action: cfg.FinalAction, DryRun: o.dryRun, Findings: append([]advice.Finding{accuracyFinding(verified)}, check.Capture(root, host, nil, nil)...)}
	resolve := e.storage().Resolve
	for i, t := range cfg.Targets {
		r, err := resolve(ctx, t)
		p.Findings = append(p.Findings, targetFinding(r, err))
		if err == nil {
			// By what stays the same: after the reboot a directory may be there before its filesystem is mounted.
			cfg.Targets[i] = r.Target
		}
	}
	p.Findings = append(p.Findings, e.drillFindings(root)...)
	p.Record = &drillRecord{Version: drillVersion, Release: host.Release, Targets: cfg.Targets, PageSize: os.Getpagesize()}
	if p.Record.BootID, err = sysfs.ReadString(root, bootIDPath); err != nil {
		return nil, err
	}
	p.Record.Logged = e.kmsg != "" && machine.ReadText(root, devkmsgPath) != "off"
	p.Record.Memory, err = dumpedMemory(verified.Machine, arch)
	return p, err
}

// config is that of the capture, as far as it is known.
func (o *drillOptions) config(e *env, verified *accuracy.Verification) (capture.Config, error) {
	if len(o.targets) > 0 {
		var cfg capture.Config
		for _, text := range o.targets {
			t, err := capture.ParseTarget(text)
			if err != nil {
				return cfg, usageError("--target: %w", err)
			}
			cfg.Targets = append(cfg.Targets, t)
		}
		return cfg, nil
	}
	cfg := e.loadedConfig()
	if verified.Foreign || len(cfg.Targets) == 0 {
		return cfg, &advice.Problem{What: "it is not known where the crash kernel that is loaded saves its dump", Hint: "name that: --target /var/crash"}
	}
	return cfg, nil
}

func accuracyFinding(v *accuracy.Verification) advice.Finding {
	f := advice.Finding{Check: "elfcorehdr", Detail: v.String(), Remedy: "gokexec reload makes it accurate"}
	switch v.Accuracy {
	case accuracy.Accurate:
		f.Level = advice.OK
	case accuracy.Stale:
		f.Level = advice.Failure
	default:
		f.Level = advice.Unknown
	}
	return f
}

// drillFindings are about what only a drill needs.
func (e *env) drillFindings(root fs.FS) []advice.Finding {
	fails := func(remedy, format string, args ...any) advice.Finding {
		return advice.Finding{Check: drillCheck, Level: advice.Failure, Detail: fmt.Sprintf(format, args...), Remedy: remedy}
	}
	var all []advice.Finding
	if _, err := fs.Stat(root, sysrqTrigger[1:]); err != nil {
		all = append(all, fails("crash it by other means, such as an NMI", "the kernel can't be crashed by writing to %s: it was built without CONFIG_MAGIC_SYSRQ", sysrqTrigger))
	}
	if err := e.drill.Durable(e.libDir); err != nil {
		all = append(all, fails("mount a disk there", "what the dump has to contain can't be noted: %v", err))
	}
	if old, err := readDrill[drillRecord](e.libDir, drillName); err == nil {
		if id, err := sysfs.ReadString(root, bootIDPath); err == nil && id != old.BootID {
			all = append(all, fails("gokexec drill --verify does that", "the drill of %s has not been verified yet", old.Requested.Local().Format(time.DateTime)))
		}
	}
	return append(all, advice.Passed(drillCheck, "the kernel can be crashed on purpose"))
}

// dumpedMemory is what a dump has to know of: what the header has. The kernel's own lacks the first MiB on x86.
func dumpedMemory(m *kcore.Machine, arch machine.Arch) ([]record.CrashMemory, error) {
	if m == nil {
		return nil, nil
	}
	h, err := m.Header(elfcore.BuildOptions{})
	if err != nil {
		return nil, err
	}
	var ranges []memmap.Range
	for _, l := range h.Loads {
		if r, ok := memmap.RangeOf(l.Phys, l.MemSize); ok {
			ranges = append(ranges, r)
		}
	}
	set := memmap.NewSet(ranges...)
	if arch.LowMiB {
		set = set.Minus(elfcore.LowMiB())
	}
	var memory []record.CrashMemory
	for _, r := range set.Ranges() {
		memory = append(memory, record.CrashMemory{Start: r.Start, End: r.End})
	}
	return memory, nil
}

func (o *drillOptions) report(e *env, p *drillPlan) error {
	if o.json {
		return e.printJSON(p)
	}
	printFindings(e.stdout, p.Findings)
	size := uint64(0)
	for _, m := range p.Record.Memory {
		size += uint64(m.End - m.Start)
	}
	var names []string
	for _, t := range p.Record.Targets {
		names = append(names, t.String())
	}
	fmt.Fprintf(e.stdout, "the kernel %s will be crashed; the dump is expected at %s, and knows of %d MB of memory\n", p.Record.Release, strings.Join(names, ", "), size/1e6)
	if p.Action != "" && p.Action != capture.Reboot {
		fmt.Fprintf(e.stdout, "after the capture the machine does not reboot by itself: its final action is %s\n", p.Action)
	}
	return nil
}

// confirm asks on the terminal.
func (o *drillOptions) confirm(e *env) error {
	if o.yes {
		return nil
	}
	f, ok := e.stdin.(*os.File)
	if !ok {
		return usageError("the standard input is no terminal: give --yes to crash this machine without being asked")
	}
	if _, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS); err != nil {
		return usageError("the standard input is no terminal: give --yes to crash this machine without being asked")
	}
	fmt.Fprint(e.stderr, "gokexec: this machine will crash, and every program on it is killed. Type yes to go on: ")
	line, err := bufio.NewReader(f).ReadString('\n')
	if err != nil || strings.TrimSpace(line) != "yes" {
		return errors.New("not confirmed; nothing was done")
	}
	return nil
}

// crash does it. If the kernel survives, nothing stays that would be taken for a drill.
func (o *drillOptions) crash(ctx context.Context, e *env, p *drillPlan) (err error) {
	var random [16]byte
	if _, err := rand.Read(random[:]); err != nil {
		return err
	}
	r := p.Record
	r.Token, r.Requested = "gokexec-drill-"+hex.EncodeToString(random[:]), time.Now().UTC()
	if o.delay > 0 {
		e.drill.Warn(ctx, fmt.Sprintf("gokexec drill: this machine will crash on purpose in %v, and reboot. Save your work.", o.delay))
		fmt.Fprintf(e.stderr, "gokexec: crashing in %v; interrupt to stop it\n", o.delay)
		select {
		case <-ctx.Done():
			return errors.New("interrupted; nothing was done")
		case <-time.After(o.delay):
		}
	}
	if r.Pages, err = e.drill.Plant(r.Token + "\n"); err != nil {
		fmt.Fprintf(e.stderr, "gokexec: warning: the token is in no page of the memory, only in the kernel log: %v\n", err)
		if !r.Logged {
			return fmt.Errorf("no place for the token: %w", err)
		}
	}
	if err := writeDurably(e.libDir, drillName, r); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, removeDurably(e.libDir, drillName)) }()
	e.kernelLog(kernelWarning, "drill: crashing on purpose: "+r.Token)
	synced := make(chan struct{})
	go func() {
		defer close(synced)
		e.drill.Sync()
	}()
	select {
	case <-synced:
	case <-time.After(drillSyncLimit):
		return fmt.Errorf("the filesystems are not written back after %v; nothing was done", drillSyncLimit)
	}
	return &advice.Problem{What: fmt.Sprintf("crash: %v", e.drill.Crash()), Hint: "run as root; see dmesg"}
}

// drillFile is the path of a record, for messages.
func (e *env) drillFile(name string) string { return filepath.Join(e.libDir, name) }
