package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/pflag"

	"github.com/gokexec/gokexec/pkg/accuracy"
	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/check"
	"github.com/gokexec/gokexec/pkg/cmdline"
	"github.com/gokexec/gokexec/pkg/kexec"
	"github.com/gokexec/gokexec/pkg/loader"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/plan"
	"github.com/gokexec/gokexec/pkg/statedir"
)

type loadOptions struct {
	kind         kindFlags
	inputs       inputFlags
	segments     segmentFlags
	dryRun, json bool
	debug        bool
	unlessLoaded bool
	sysroot      string
	arch         string
	wait         time.Duration
}

// kindFlags are --crash and --boot.
type kindFlags struct{ crash, boot bool }

func (k *kindFlags) declare(flags *pflag.FlagSet) {
	flags.BoolVar(&k.crash, "crash", false, "the crash kernel, which a panic starts")
	flags.BoolVar(&k.boot, "boot", false, "the kernel of an ordinary kexec, which gokexec exec or a reboot starts")
}

func (k *kindFlags) kind() (machine.Kind, error) {
	if k.crash == k.boot {
		return 0, usageError("give one of --crash and --boot")
	}
	if k.boot {
		return machine.Boot, nil
	}
	return machine.Crash, nil
}

// inputFlags name what is to be loaded.
type inputFlags struct {
	initrd, cmdline, append string
	reuse, exact, force     bool
	cpus                    int
}

func (in *inputFlags) declare(flags *pflag.FlagSet) {
	flags.StringVar(&in.cmdline, "cmdline", "", "kernel command line `TEXT`")
	flags.BoolVar(&in.reuse, "reuse-cmdline", false, "use the running kernel's command line, without what does not apply to the new one")
	flags.StringVar(&in.append, "append", "", "`TEXT` to append to the command line")
	flags.IntVar(&in.cpus, "cpus", 0, "with --crash: `N` CPUs for the capture kernel; 1 by default. Each costs crash memory, and with more the dump is compressed faster")
	flags.BoolVar(&in.exact, "cmdline-exact", false, "do not add what a capture kernel needs (nr_cpus=1, reset_devices, ...)")
}

// spec makes the Spec.
func (in *inputFlags) spec(kind machine.Kind, kernel string) (*plan.Spec, error) {
	if in.reuse && in.cmdline != "" {
		return nil, usageError("--cmdline and --reuse-cmdline exclude each other; --append adds to either")
	}
	switch {
	case in.cpus != 0 && kind != machine.Crash:
		return nil, usageError("--cpus goes with --crash")
	case in.cpus != 0 && in.exact:
		return nil, usageError("--cpus adds to the command line, and --cmdline-exact forbids that")
	case in.cpus < 0:
		return nil, usageError("--cpus %d is no number of CPUs", in.cpus)
	}
	spec := &plan.Spec{Kind: kind, Kernel: plan.FromFile(kernel), Cmdline: in.cmdline, ReuseCmdline: in.reuse, Append: in.append, CmdlineExact: in.exact, Force: in.force, CPUs: in.cpus}
	if in.initrd != "" {
		spec.Initrd = plan.FromFile(in.initrd)
	}
	return spec, nil
}

// inputProblem is fileProblem for a file of a Spec, and any other error as it is.
func inputProblem(err error) error {
	var input *plan.InputError
	switch {
	case !errors.As(err, &input):
		return err
	case input.Role == plan.RoleDTB:
		return fileProblem("device tree", input.Err)
	}
	return fileProblem(string(input.Role), input.Err)
}

func fileProblem(role string, err error) error {
	p := &advice.Problem{What: role + " " + trimOp(err), Err: err}
	switch {
	case errors.Is(err, fs.ErrNotExist) && role != "kernel":
		p.Hint = "check the path"
	case errors.Is(err, fs.ErrNotExist):
		p.Hint = "check the path; on Debian kernels are /boot/vmlinuz-VERSION, on Fedora /lib/modules/VERSION/vmlinuz"
	case errors.Is(err, fs.ErrPermission):
		p.Hint = "run as root"
	case errors.Is(err, plan.ErrNotRegular):
		p.Hint = "the kernel reads regular files only; save it to a file first"
	case errors.Is(err, plan.ErrEmpty):
		p.Hint = "check that it was written completely and that the disk is not full"
	}
	return p
}

// trimOp returns a path error without its operation: the file and the reason.
func trimOp(err error) string {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Path + ": " + pe.Err.Error()
	}
	return err.Error()
}

func loadCommand() command {
	return command{
		name: "load", acts: true, args: "KERNEL",
		short: "load a crash kernel, or one for an ordinary kexec",
		long: `Loads KERNEL. Everything that can be checked is checked first, because the kernel
frees the loaded crash kernel before it examines the new one. If the load fails
nevertheless, gokexec restores the crash kernel that it loaded last.

KERNEL may be a bzImage, an arm64 or riscv64 Image, compressed by gzip, xz, zstd, lz4,
lzma, lzo or bzip2, an EFI zboot image, or a unified kernel image (UKI), whose initrd
and command line are used unless you give others. A format that the running kernel can
read is passed to it unchanged, so that its signature can be verified.

There are two methods. With --method file (kexec_file_load) the kernel reads and checks
the files and builds everything else. With --method segments (kexec_load; x86_64, arm64
and riscv64) gokexec does. That also loads a vmlinux, has no limit on memory ranges, and
leaves the machine without a crash kernel for a shorter time, but a kernel that requires
signatures refuses it. auto chooses file, or segments if the kernel has no
kexec_file_load or does not accept the image.

gokexec adds to the command line of a crash kernel what a capture kernel needs: gokexec
load --crash --dry-run lists each parameter with its reason.

Once a crash kernel is loaded, one is wanted until gokexec unload --crash. If it is lost
(a load failed late or was killed, or another program unloaded it), status, check, reload
and hotplug say so, and gokexec hotplug loads it again.

With --unless-loaded gokexec does nothing if the crash kernel that is loaded is the one
asked for: loaded by gokexec with the same options and the same files, which have not
changed since, and with an accurate elfcorehdr. So a service can be started any number of
times; it loads again if its options or files have changed or the crash kernel was lost.`,
		orderly: true,
		unheard: true,
		setup: func(flags *pflag.FlagSet) func(context.Context, *env, []string) error {
			o := &loadOptions{}
			o.kind.declare(flags)
			flags.StringVar(&o.inputs.initrd, "initrd", "", "`FILE` with the initramfs")
			o.inputs.declare(flags)
			flags.BoolVar(&o.inputs.force, "force", false, "load the initrd even if it is damaged or no initramfs")
			o.segments.declare(flags)
			flags.BoolVarP(&o.dryRun, "dry-run", "n", false, "print what would be done, but do nothing")
			flags.BoolVar(&o.unlessLoaded, "unless-loaded", false, "with --crash: do nothing if exactly this is loaded already, unchanged and accurate")
			flags.BoolVar(&o.json, "json", false, "report as JSON")
			flags.BoolVarP(&o.debug, "debug", "d", false, "have the kernel log the placement of each segment (Linux 6.8)")
			flags.DurationVar(&o.wait, "wait", loader.DefaultWait, "how long to try again while another load is under way")
			flags.StringVar(&o.sysroot, "sysroot", "", "with --dry-run: read /proc and /sys under `DIR`, a collected tree")
			flags.StringVar(&o.arch, "arch", "", "with --sysroot: the tree is of a machine of architecture `NAME`")
			return o.run
		},
	}
}

// loadReport is what load --json prints.
type loadReport struct {
	Kind    machine.Kind     `json:"kind"`
	Method  plan.Method      `json:"method"`
	Why     string           `json:"method_reason,omitempty"`
	Kernel  payloadReport    `json:"kernel"`
	Initrd  *payloadReport   `json:"initrd"`
	Cmdline string           `json:"cmdline"`
	Changes []cmdline.Change `json:"cmdline_changes"`
	Checks  []advice.Finding `json:"checks"`
	Flags   string           `json:"flags"`
	DryRun  bool             `json:"dry_run"`
	Loaded  bool             `json:"loaded"`

	Segments     *segmentReport         `json:"kexec_load,omitempty"`
	Verification *accuracy.Verification `json:"elfcorehdr,omitempty"` // after the load
}

type payloadReport struct {
	Path     string   `json:"path"`
	Bytes    int64    `json:"size_bytes"`
	Image    string   `json:"image,omitempty"`
	Unpacked []string `json:"unpacked,omitempty"`
}

func (o *loadOptions) run(ctx context.Context, e *env, args []string) error {
	kind, err := o.kind.kind()
	if err != nil {
		return err
	}
	if len(args) != 1 {
		return usageError("give one KERNEL; there are %d arguments", len(args))
	}
	if o.unlessLoaded && kind != machine.Crash {
		return usageError("--unless-loaded goes with --crash")
	}
	if (o.sysroot != "" || o.arch != "") && !o.dryRun {
		return usageError("--sysroot and --arch go with --dry-run: only this machine can be loaded")
	}
	arch, err := archOption(o.arch)
	if err != nil {
		return err
	}
	spec, err := o.inputs.spec(kind, args[0])
	if err != nil {
		return err
	}
	if err := o.segments.apply(spec, o.dryRun); err != nil {
		return err
	}
	if o.debug {
		spec.FileFlags |= kexec.FileDebug
	}
	out, failure := o.carryOut(ctx, e, arch, spec)
	if out.Held {
		return e.printAlreadyLoaded(spec, o.json)
	}
	if out.Plan == nil {
		return failure
	}
	report := newLoadReport(out.Plan, out.Findings, o.dryRun, o.dryRun || o.json) // after the load, which may change the method
	report.Loaded, report.Verification = failure == nil && !o.dryRun, out.Verification
	if err := e.printLoad(report, o.json, out.Findings); err != nil {
		return err
	}
	return failure
}

// carryOut loads, or with --dry-run only plans.
func (o *loadOptions) carryOut(ctx context.Context, e *env, arch machine.Arch, spec *plan.Spec) (*loader.Outcome, error) {
	l := e.loader(arch, o.wait)
	if o.dryRun {
		out, err := o.plan(e, l, spec)
		return out, inputProblem(err)
	}
	load := l.Load
	if o.unlessLoaded {
		load = l.LoadUnlessHeld
	}
	out, err := load(ctx, spec)
	e.logUnarmed(err)
	return out, inputProblem(err)
}

func (o *loadOptions) plan(e *env, l *loader.Loader, spec *plan.Spec) (*loader.Outcome, error) {
	in, err := plan.Open(spec)
	if err != nil {
		return &loader.Outcome{}, err
	}
	defer in.Close()
	if o.unlessLoaded && l.Holds(in) {
		return &loader.Outcome{Held: true}, nil
	}
	host, err := e.host(o.sysroot, l.Arch)
	if err != nil {
		return &loader.Outcome{}, err
	}
	check.PrepareInitrd(in, host)
	p, err := in.Plan(host, spec.Method)
	if err != nil {
		return &loader.Outcome{}, err
	}
	root, err := e.tree(o.sysroot)
	if err != nil {
		return &loader.Outcome{}, err
	}
	p.RequireDiskKeys(check.RequiredDiskKeys(in, p, host))
	findings := append(append(check.Load(host, p), check.Initrd(root, in, p, host)...), check.DiskKeys(root, host, p, in.Release())...)
	return &loader.Outcome{Plan: p, Findings: findings}, advice.FirstFailure(findings)
}

func (e *env) printAlreadyLoaded(spec *plan.Spec, asJSON bool) error {
	if asJSON {
		return e.printJSON(struct {
			Kind    machine.Kind `json:"kind"`
			Already bool         `json:"already_loaded"`
			Loaded  bool         `json:"loaded"`
		}{spec.Kind, true, true})
	}
	fmt.Fprintf(e.stdout, "%s kernel is loaded already, as asked for, and accurate: %s\n", spec.Kind, spec.Kernel.Path)
	return nil
}

func (e *env) loader(arch machine.Arch, wait time.Duration) *loader.Loader {
	return &loader.Loader{Kernel: e.kernel, Root: os.DirFS(e.sysroot), Arch: arch, StateDir: e.stateDir, Wait: wait,
		Lock:   func(ctx context.Context) (*statedir.Lock, error) { return e.lockReload(ctx, wait) },
		Begin:  e.interrupts.loading,
		Build:  e.buildArmed,
		Report: func(line string) { fmt.Fprintln(e.stderr, "gokexec:", line) }}
}

func archOption(name string) (machine.Arch, error) {
	if name == "" {
		return machine.NativeArch()
	}
	arch, err := machine.ArchByName(name)
	if err != nil {
		return arch, usageError("--arch: %w", err)
	}
	return arch, nil
}

// newLoadReport reports a plan. A complete one has the digest of each segment,
// which costs as much time as the plan's own.
func newLoadReport(p *plan.Plan, findings []advice.Finding, dryRun, complete bool) *loadReport {
	r := &loadReport{Kind: p.Kind, Method: p.Method, Cmdline: p.Cmdline, Changes: p.Changes, Checks: findings, DryRun: dryRun, Flags: p.Flags.String(),
		Kernel: payloadReport{Path: p.Kernel.Path, Bytes: p.Kernel.Size, Image: p.Image.String(), Unpacked: p.Kernel.Unwrap}}
	if r.Why = p.Why; p.Method == plan.Segments {
		r.Flags = p.LoadFlags.String()
		if complete {
			r.Segments = newSegmentReport(p)
		}
	}
	if p.Initrd != nil {
		r.Initrd = &payloadReport{Path: p.Initrd.Path, Bytes: p.Initrd.Size, Unpacked: p.Initrd.Unwrap}
	}
	return r
}

// call names the system call.
func (r *loadReport) call() string { return callName(r.Method) }

func (e *env) printLoad(r *loadReport, asJSON bool, findings []advice.Finding) error {
	if asJSON {
		return e.printJSON(r)
	}
	if r.DryRun {
		r.printPlan(e.stdout)
		printFindings(e.stdout, findings)
		return e.printed()
	}
	for _, f := range findings {
		if f.Level == advice.Warning {
			fmt.Fprintf(e.stderr, "gokexec: warning: %s\n", f.Detail)
		}
	}
	if r.Loaded {
		fmt.Fprintf(e.stdout, "%s kernel loaded: %s (%s), by %s\n", r.Kind, r.Kernel.Path, r.Kernel.Image, r.call())
		if r.Why != "" {
			fmt.Fprintf(e.stdout, "because: %s\n", r.Why)
		}
		if _, err := os.Stat(filepath.Join(e.sysroot, "run/systemd/system")); err == nil && r.Kind == machine.Boot {
			// systemctl(1): reboot looks at /sys/kernel/kexec_loaded.
			fmt.Fprintln(e.stdout, "a plain reboot now starts it, without the firmware (SYSTEMCTL_SKIP_AUTO_KEXEC=1 reboots as before); gokexec unload --boot undoes this")
		}
		if r.Verification != nil && r.Verification.Accuracy == accuracy.Stale {
			fmt.Fprintf(e.stderr, "gokexec: warning: %s\n", oneLine(staleAfterLoad(r.Verification).Error()))
		}
	}
	return nil
}

func (r *loadReport) printPlan(w io.Writer) {
	fmt.Fprintf(w, "would load the %s kernel by %s(%s)\n", r.Kind, r.call(), r.Flags)
	if r.Why != "" {
		fmt.Fprintf(w, "because  %s\n", r.Why)
	}
	fmt.Fprintf(w, "kernel   %s: %s, %d bytes\n", r.Kernel.Path, r.Kernel.Image, r.Kernel.Bytes)
	if r.Initrd != nil {
		fmt.Fprintf(w, "initrd   %s: %d bytes\n", r.Initrd.Path, r.Initrd.Bytes)
	} else {
		fmt.Fprintln(w, "initrd   none")
	}
	fmt.Fprintf(w, "cmdline  %s\n", r.Cmdline)
	for _, c := range r.Changes {
		sign := "-"
		if c.Added {
			sign = "+"
		}
		fmt.Fprintf(w, "  %s %-28s %s\n", sign, c.Text, c.Why)
	}
	if r.Segments != nil {
		r.Segments.print(w)
	}
}
