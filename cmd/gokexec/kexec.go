package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/internal/kexeccmd"
	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/loader"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/memmap"
	"github.com/gokexec/gokexec/pkg/plan"
	"github.com/gokexec/gokexec/pkg/statedir"
)

// kexecName is that of kexec(8) of kexec-tools.
const kexecName = "kexec"

func kexecProgram() program {
	return program{
		name: kexecName, short: "behave as kexec(8) of kexec-tools; so does a link named kexec",
		help: func(e *env) int { return e.kexec(context.Background(), []string{kexecName, "--help"}) },
		man:  kexecMan,
		run:  func(ctx context.Context, e *env, argv []string) int { return e.kexec(ctx, argv) },
	}
}

// kexecRun is one run as kexec(8).
type kexecRun struct {
	*env
	inv  *kexeccmd.Invocation
	arch machine.Arch
	host *machine.Host

	image string // the kernel's path
}

// kexec behaves as kexec(8) for a command line whose first word is its name. Where
// scripts may parse it, stderr gets the messages of kexec-tools; a line with a hint may
// follow.
func (e *env) kexec(ctx context.Context, argv []string) int {
	arch, err := machine.NativeArch()
	if err != nil {
		return e.kexecFail(kexeccmd.ExitFailed, err.Error(), "")
	}
	return e.checked(true, func(e *env) int { return e.kexecOn(ctx, arch, argv) })
}

// kexecOn is kexec for a machine of that architecture.
func (e *env) kexecOn(ctx context.Context, arch machine.Arch, argv []string) int {
	_, posix := os.LookupEnv("POSIXLY_CORRECT")
	inv, err := kexeccmd.Parse(arch.Name, argv, posix)
	if err != nil {
		return e.kexecFail(kexeccmd.ExitFailed, err.Error(), "")
	}
	ctx = e.interrupts.orderly(ctx)
	k := &kexecRun{env: e, inv: inv, arch: arch}
	for _, line := range inv.Warn {
		fmt.Fprintf(e.stderr, "kexec: warning: %s\n", line)
	}
	if inv.Stop != nil {
		return k.stop(inv.Stop)
	}
	if k.host, err = e.host("", arch); err != nil {
		return e.kexecFail(kexeccmd.ExitUsage, "Cannot open /proc/iomem", err.Error())
	}
	if stop := inv.Refuse(k.machine()); stop != nil {
		return k.stop(stop)
	}
	return k.steps(ctx)
}

// kexecFail prints a line of kexec-tools and perhaps a hint, and returns the code.
func (e *env) kexecFail(code int, line, hint string) int {
	fmt.Fprintln(e.stderr, line)
	if hint != "" {
		fmt.Fprintf(e.stderr, "hint: %s\n", oneLine(hint))
	}
	return code
}

func (k *kexecRun) debugf(format string, args ...any) {
	if k.inv.Debug {
		fmt.Fprintf(k.stderr, "kexec: "+format+"\n", args...)
	}
}

// machine is what decides whether the command line is refused on this machine. If
// /proc/iomem hides its addresses from this user, crash memory counts as present.
func (k *kexecRun) machine() kexeccmd.Machine {
	hidden := k.host.Iomem == nil && errors.Is(k.host.IomemErr, memmap.ErrAddressesHidden)
	return kexeccmd.Machine{
		CrashMemory:   len(k.host.Crash) > 0 || hidden,
		CanHotplug:    k.host.ElfcorehdrSize > 0,
		RetainsInitrd: k.host.Cmdline.Has("retain_initrd"),
		Dom0:          k.dom0(),
	}
}

// dom0 tells whether this is the control domain of Xen (drivers/xen/xenfs, capabilities).
func (k *kexecRun) dom0() bool {
	b, err := fs.ReadFile(os.DirFS(k.sysroot), "proc/xen/capabilities")
	return err == nil && strings.Contains(string(b), "control_d")
}

func (k *kexecRun) stop(s *kexeccmd.Stop) int {
	for _, line := range s.Message {
		fmt.Fprintln(k.stderr, line)
	}
	switch {
	case s.Usage:
		k.printUsage()
	case s.Version:
		fmt.Fprintln(k.stdout, kexecVersion())
	case s.CrashSize:
		return k.printCrashSize()
	}
	return s.Code
}

func (k *kexecRun) printCrashSize() int {
	host, err := k.env.host("", k.arch)
	if err == nil && host.Iomem == nil && !errors.Is(host.IomemErr, memmap.ErrAddressesHidden) {
		err = host.IomemErr
	}
	if err != nil {
		return k.kexecFail(kexeccmd.ExitUsage, "Cannot open /proc/iomem", err.Error())
	}
	region, _ := host.CrashRegion()
	fmt.Fprintln(k.stdout, region.Size())
	return kexeccmd.ExitOK
}

// steps takes the steps of the invocation, as long as they succeed.
func (k *kexecRun) steps(ctx context.Context) int {
	inv := k.inv
	if inv.Status {
		return k.status()
	}
	code := kexeccmd.ExitOK
	if inv.Unload {
		code = k.unload(ctx)
	}
	if inv.Load && code == kexeccmd.ExitOK {
		code = k.load(ctx)
	}
	if code != kexeccmd.ExitOK {
		return code
	}
	if inv.Shutdown || inv.Exec {
		if host, err := k.env.host("", k.arch); err == nil && host.BootLoaded != nil && !*host.BootLoaded {
			return k.kexecFail(kexeccmd.ExitUsage, kexeccmd.TextNothingLoaded, "kexec -l KERNEL loads what kexec -e jumps into; kexec -p loads what a panic starts")
		}
	}
	if inv.Shutdown {
		err := k.power.Shutdown()
		if err != nil {
			return k.kexecFail(kexeccmd.ExitFailed, "shutdown: "+strerror(err), "the kernel is loaded; kexec -l loads without a shutdown")
		}
		return code
	}
	if inv.Sync {
		k.power.Sync()
	}
	if inv.IfDown {
		if err := k.power.IfDown(); err != nil {
			fmt.Fprintf(k.stderr, "ifdown: %v\n", err)
		}
	}
	if inv.Exec {
		if err := k.loader().Exec(); err != nil {
			return k.kexecFail(kexeccmd.ExitFailed, "kexec failed: "+strerror(err), "")
		}
	}
	return code
}

// status gives what /sys/kernel says as the exit code: 1 is loaded.
func (k *kexecRun) status() int {
	kind := machine.Boot
	if k.inv.Crash {
		kind = machine.Crash
	}
	switch loaded := k.host.Loaded(kind); {
	case loaded == nil:
		return kexeccmd.ExitFailed
	case *loaded:
		return 1
	}
	return 0
}

func (k *kexecRun) kind() machine.Kind {
	if k.inv.Crash {
		return machine.Crash
	}
	return machine.Boot
}

// loader reports to stderr only with -d.
func (k *kexecRun) loader() *loader.Loader {
	return &loader.Loader{Kernel: k.kernel, Root: os.DirFS(k.sysroot), Arch: k.arch, StateDir: k.stateDir, Wait: loader.DefaultWait,
		Lock:   func(ctx context.Context) (*statedir.Lock, error) { return k.lockReload(ctx, loader.DefaultWait) },
		Begin:  k.interrupts.loading,
		Report: func(line string) { k.debugf("%s", line) }}
}

func (k *kexecRun) unload(ctx context.Context) int {
	err := k.loader().Unload(ctx, k.kind(), k.inv.Method)
	switch {
	case err == nil:
		return kexeccmd.ExitOK
	case k.inv.Method == plan.File && errors.Is(err, unix.ENOSYS):
		return k.kexecFail(kexeccmd.ExitNoFileLoad, kexeccmd.TextNoFileLoad, hintOf(err))
	case failedCall(err) == "kexec_load" || k.inv.Method == plan.Segments:
		return k.kexecFail(kexeccmd.ExitFailed, "kexec unload failed: "+strerror(err), hintOf(err))
	}
	return k.kexecFail(kexeccmd.ExitFailed, "kexec_file_load(unload) failed: "+strerror(err), hintOf(err))
}

// strerror is the C library's text for the errno of err: Go's text with a capital letter.
func strerror(err error) string {
	if errors.Is(err, statedir.ErrLocked) {
		err = unix.EBUSY
	}
	var errno unix.Errno
	if !errors.As(err, &errno) {
		return oneLine(err.Error())
	}
	text := errno.Error()
	return strings.ToUpper(text[:1]) + text[1:]
}

func hintOf(err error) string {
	var p *advice.Problem
	switch {
	case !errors.As(err, &p):
		return ""
	case p.Hint == "":
		return p.What
	}
	return p.Hint
}
