package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime/debug"
	"sync"
	"time"

	"github.com/spf13/pflag"

	"github.com/gokexec/gokexec/pkg/accuracy"
	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/hotplug"
	"github.com/gokexec/gokexec/pkg/kcore"
	"github.com/gokexec/gokexec/pkg/loader"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/plan"
	"github.com/gokexec/gokexec/pkg/statedir"
)

func hotplugCommand() command {
	return command{
		name: "hotplug", acts: true,
		short: "look after the crash kernel when memory or CPUs have come or gone",
		long: `To be called for each such event, by a udev rule, a script or by hand; it needs no
arguments. It returns at once if another process will look after this event.
Otherwise it waits until the burst of events is over, looks whether the loaded
elfcorehdr fits the machine (as gokexec status does), and only if not loads the crash
kernel again (as gokexec reload does). Where the kernel updates the header itself it
has nothing to do, unless the kernel has dropped an update, or still lists memory that
is gone. While nothing is loaded it waits some seconds, since another program may be
loading just then, and the kernel drops the updates that fall into a load.

With --daemon it hears the kernel's events itself and needs no udev. Between events it
sleeps. It looks once when it starts, and tells a service manager when it is ready.

With --reload-command the loading is left to CMD, a distribution's script for
instance (kdumpctl reload, kdump-config try-reload), which is run by /bin/sh:
gokexec decides when, and runs one at a time. CMD may take --reload-timeout; then its
process group is ended, by SIGTERM and 10 s later by SIGKILL.

Once a crash kernel was loaded, by gokexec or CMD, one is wanted until gokexec unload
--crash (or kexec -p -u, where that is gokexec). If none is loaded then, whatever has
lost it, hotplug loads it again: after three failures not before 10 s, 20 s and so on
up to 10 min have passed since the last one, and not after 20 failures. What another
program has unloaded is loaded again three times. An explicit load starts anew.

What could not be helped is said on stderr, in the kernel's log and by gokexec status,
and tried again at the next event; the daemon also has a timer of its own, from 10 s
to 10 min, for up to 20 times.`,
		exits: []exitCode{
			{exitOK, "the crash kernel fits the machine, or another process sees to that, or none is loaded or wanted"},
			{exitStale, "it does not, and a reload did not help; or one is wanted, and none could be loaded"},
		},
		orderly: true,
		unheard: true,
		setup: func(flags *pflag.FlagSet) func(context.Context, *env, []string) error {
			o := &hotplugOptions{}
			flags.BoolVar(&o.daemon, "daemon", false, "stay, and look after all events")
			flags.StringVar(&o.command, "reload-command", "", "have the shell command `CMD` load the crash kernel")
			flags.DurationVar(&o.timeout, "reload-timeout", reloadTimeout, "how long --reload-command may take")
			flags.StringVar(&o.unit, "hand-over", "", "have systemd start `UNIT`, which runs gokexec hotplug, unless the event is covered")
			o.method.declare(flags)
			return o.run
		},
	}
}

type hotplugOptions struct {
	daemon  bool
	command string
	unit    string
	method  reloadMethod
	timeout time.Duration
}

func (o *hotplugOptions) run(ctx context.Context, e *env, args []string) error {
	if err := noArgs(args); err != nil {
		return err
	}
	method, err := o.method.parse()
	if err != nil {
		return err
	}
	if o.unit != "" {
		if o.daemon || o.command != "" || method != plan.Auto {
			return usageError("--hand-over goes without other options: those are the unit's")
		}
		return e.handOver(ctx, o.unit)
	}
	if o.timeout <= 0 {
		return usageError("--reload-timeout is %v; give a time above 0, such as 5m", o.timeout)
	}
	if o.command != "" && method != plan.Auto {
		return usageError("--reload-method is of no use with --reload-command, which chooses its own")
	}
	arch, err := machine.NativeArch()
	if err != nil {
		return err
	}
	h := &hotplug.Handler{Dir: statedir.Dir(e.stateDir), Look: e.look, Report: e.reportEvent, Absent: e.absent}
	switch {
	case o.command != "":
		h.Reload = func(ctx context.Context, a hotplug.Attempt) error {
			defer e.interrupts.loading()()
			defer e.loader(arch, loader.DefaultWait).KeepDiskKeys()()
			return e.runReloadCommand(ctx, o.command, o.timeout, a)
		}
	default:
		v := &verifier{env: e}
		h.Look = v.look
		h.Reload = func(ctx context.Context, a hotplug.Attempt) error {
			if err := e.mayUseLoad(arch, a); err != nil {
				return err
			}
			out, err := e.loader(arch, hotplugWait).Reload(ctx, loader.ReloadOptions{Method: method, LockHeld: true, Machine: v.take(), Lost: a.Lost})
			v.reloaded(out.Verification)
			if o.daemon {
				debug.FreeOSMemory() // of the images, which are many times what it needs otherwise
			}
			return err
		}
	}
	if o.daemon {
		return e.hotplugDaemon(ctx, h)
	}
	if _, err = h.Event(ctx); err != nil {
		e.kernelLog(kernelError, err.Error())
	}
	if errors.Is(err, hotplug.ErrStale) || errors.Is(err, hotplug.ErrUnarmed) {
		return &exitError{code: exitStale, err: err}
	}
	return err
}

// hotplugWait is how long a busy kernel is tried again. Nobody waits for it, and the next
// event may be hours away.
const hotplugWait = 2 * time.Minute

// mayUseLoad keeps repeated attempts from using up the loads that a kernel counts
// (kexec_load_limit_panic): the last ones are the administrator's.
func (e *env) mayUseLoad(arch machine.Arch, a hotplug.Attempt) error {
	if !a.Lost || a.Failures == 0 {
		return nil
	}
	host, err := e.host("", arch)
	if err != nil {
		return err
	}
	if limit := host.Limit(machine.Crash); limit != machine.Unlimited {
		return &advice.Problem{What: fmt.Sprintf("not tried again by itself: kexec_load_limit_panic allows %d more loads, and each attempt uses one up", limit),
			Hint: "find out why the last load failed, then load with gokexec reload or gokexec load --crash"}
	}
	return nil
}

// handOverTimeout is how long the service manager may take to note a job.
const handOverTimeout = 30 * time.Second

// handOver notes an event and has a unit look after it, one of its own for each
// event: a start of one that is running already would be no start, and that one
// may have looked before this event.
func (e *env) handOver(ctx context.Context, unit string) error {
	h := &hotplug.Handler{Dir: statedir.Dir(e.stateDir), Report: e.reportEvent}
	if h.Announce() {
		return nil
	}
	withPath()
	ctx, cancel := context.WithTimeout(ctx, handOverTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "systemctl", "--no-block", "start", unit)
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if err == nil {
		return nil
	}
	problem := &advice.Problem{What: fmt.Sprintf("an event is not looked after: systemctl start %s: %v: %s", unit, err, oneLine(string(out))),
		Hint: "gokexec hotplug, run by hand, does so", Err: err}
	e.kernelLog(kernelError, problem.Error())
	return problem
}

// withPath gives the programs that are started a PATH: udev's have none.
func withPath() {
	if os.Getenv("PATH") == "" {
		os.Setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
	}
}

// look verifies what is loaded.
func (e *env) look(context.Context) hotplug.Look {
	return lookOf(accuracy.Verify(os.DirFS(e.sysroot), e.stateDir))
}

// lookOf translates the result of a verification.
func lookOf(v *accuracy.Verification) hotplug.Look {
	look := hotplug.Look{Detail: v.String(), Unchanged: v.Unchanged}
	switch v.Accuracy {
	case accuracy.Accurate:
		look.State = hotplug.Accurate
	case accuracy.Stale:
		look.State = hotplug.Stale
	case accuracy.NotLoaded:
		look.State = hotplug.NotLoaded
	}
	return look
}

// verifier hands one reading of the machine on: from the look that finds a stale header to
// the reload, and from the reload, which verifies what it has loaded, to the look after it.
// All three are made under the reload lock, one right after the other.
type verifier struct {
	env     *env
	mu      sync.Mutex
	machine *kcore.Machine         // of the last look, if its header was stale
	after   *accuracy.Verification // of the last reload, until it was looked at
}

func (v *verifier) look(context.Context) hotplug.Look {
	v.mu.Lock()
	defer v.mu.Unlock()
	seen := v.after
	if v.after = nil; seen == nil {
		seen = accuracy.Verify(os.DirFS(v.env.sysroot), v.env.stateDir)
	}
	if v.machine = nil; seen.Accuracy == accuracy.Stale {
		v.machine = seen.Machine
	}
	return lookOf(seen)
}

// take gives the machine of the last look, once.
func (v *verifier) take() *kcore.Machine {
	v.mu.Lock()
	defer v.mu.Unlock()
	m := v.machine
	v.machine = nil
	return m
}

// reloaded has the next look be the reload's own; after a failure there is none.
func (v *verifier) reloaded(after *accuracy.Verification) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.after = after
}

func (e *env) hotplugDaemon(ctx context.Context, h *hotplug.Handler) error {
	socket, err := hotplug.OpenSocket()
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { socket.Close() })
	defer func() {
		if stop() {
			socket.Close()
		}
	}()
	running := daemonNote(e.stateDir)
	running.write(e)
	defer running.remove()
	if err := hotplug.Notify("READY=1\nSTATUS=looking after memory and CPUs"); err != nil {
		e.reportEvent(false, err.Error())
	}
	err = h.Daemon(ctx, socket.Wait)
	if notifyErr := hotplug.Notify("STOPPING=1"); notifyErr != nil {
		e.reportEvent(false, notifyErr.Error())
	}
	return err
}

// Levels of the kernel's log (include/linux/kern_levels.h).
const (
	kernelError = 3
	kernelInfo  = 6
)

// reportEvent tells of what is done without anybody watching.
func (e *env) reportEvent(loud bool, line string) {
	level := kernelInfo
	if loud {
		level = kernelError
	}
	fmt.Fprintln(e.stderr, "gokexec:", oneLine(line))
	e.kernelLog(level, line)
}

// maxKernelLine is less than the kernel takes of one line (kernel/printk/printk.c,
// PRINTKRB_RECORD_MAX).
const maxKernelLine = 900

// kernelLog writes a line to /dev/kmsg. That it can't be is no news to anybody: it
// is on stderr too.
func (e *env) kernelLog(level int, line string) {
	if e.kmsg == "" {
		return
	}
	f, err := os.OpenFile(e.kmsg, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return
	}
	defer f.Close()
	line = oneLine(line)
	_, _ = fmt.Fprintf(f, "<%d>gokexec: %s\n", level, line[:min(len(line), maxKernelLine)])
}
