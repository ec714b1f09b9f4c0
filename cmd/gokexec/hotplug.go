package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/spf13/pflag"

	"github.com/gokexec/gokexec/pkg/accuracy"
	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/config"
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
		short: "keep the crash kernel accurate when memory or CPUs change",
		long: `Call it when memory or CPUs are hot-added or hot-removed, from a udev rule, a script
or by hand; it needs no arguments. It returns at once if another process will handle the
event. Otherwise it waits until the burst of events is over and compares the loaded
elfcorehdr with the machine, as gokexec status does. If it is stale, it loads the crash kernel
again, as gokexec reload does. Where the kernel updates the header itself there is
nothing to do, unless the kernel dropped an update or still lists memory that was
hot-removed. If no crash kernel is loaded, it waits for some seconds, since another
program may be loading one, and the kernel drops updates that arrive during a load.

With --daemon it listens to the kernel itself and needs no udev. Between events it
sleeps. It checks once when it starts, and tells the service manager when it is ready.

How to reload is set in [Hotplug] of gokexec.conf(5), which is read when the command starts;
--reload-command, --reload-timeout and --reload-method count instead of it.

With --reload-command the shell command CMD loads the crash kernel, for instance a
distribution's script (kdumpctl reload, kdump-config try-reload). gokexec decides when
to run it, and runs one at a time. If CMD takes longer than --reload-timeout, its
process group gets SIGTERM, and SIGKILL 10 s later.

Once gokexec or CMD has loaded a crash kernel, one is wanted until gokexec unload
--crash (or kexec -p -u, if kexec is gokexec). If none is loaded although one is wanted,
hotplug loads it again, whatever the cause. After three failures it waits 10 s before
the next attempt, then 20 s and so on up to 10 min; after 20 failures it gives up. If
another program keeps unloading it, it is loaded again three times. An explicit load
resets these counts.

A problem that remains is reported on stderr, in the kernel log and by gokexec status.
gokexec tries again at the next event; the daemon also tries again by itself, after
10 s to 10 min, up to 20 times.`,
		exits: []exitCode{
			{exitOK, "the loaded elfcorehdr is accurate, or another process handles the event, or no crash kernel is wanted"},
			{exitStale, "the elfcorehdr is stale, and a reload did not help; or a crash kernel is wanted, and none could be loaded"},
		},
		unheard: true,
		setup: func(flags *pflag.FlagSet) func(context.Context, *env, []string) error {
			o := &hotplugOptions{}
			flags.BoolVar(&o.daemon, "daemon", false, "keep running and handle all events")
			o.declare(flags)
			flags.StringVar(&o.unit, "hand-over", "", "have systemd start `UNIT`, which runs gokexec hotplug, unless another process handles the event")
			return func(ctx context.Context, e *env, args []string) error {
				o.given = flags.Changed("reload-command") || flags.Changed("reload-timeout") || flags.Changed("reload-method")
				return o.run(ctx, e, args)
			}
		},
	}
}

type hotplugOptions struct {
	daemon  bool
	given   bool // how to reload: else the configuration tells
	command string
	unit    string
	method  reloadMethod
	timeout time.Duration
}

// declare declares how to reload, for gokexec hotplug and gokexec.conf alike.
func (o *hotplugOptions) declare(flags *pflag.FlagSet) {
	flags.StringVar(&o.command, "reload-command", "", "shell command `CMD` that loads the crash kernel")
	flags.DurationVar(&o.timeout, "reload-timeout", reloadTimeout, "how long --reload-command may take")
	o.method.declare(flags)
}

// validate checks the options that declare declares.
func (o *hotplugOptions) validate() error {
	method, err := o.method.parse()
	if err != nil {
		return err
	}
	if o.timeout <= 0 {
		return usageError("--reload-timeout is %v; give a time above 0, such as 5m", o.timeout)
	}
	if o.command != "" && method != plan.Auto {
		return usageError("--reload-method has no effect with --reload-command: the command chooses the method")
	}
	return nil
}

// configure takes the options from [Hotplug] of gokexec.conf. What is wrong there must not keep events from
// being handled: it is reported, and the defaults count. Other sections have no say here.
func (o *hotplugOptions) configure(e *env) {
	f, err := config.Read(os.DirFS(e.sysroot))
	if err == nil {
		known, _ := knownSettings(f.Settings())
		var c *configured
		c, err = configure(slices.DeleteFunc(known, func(s config.Setting) bool { return s.Section != "Hotplug" }))
		if err == nil {
			o.command, o.timeout, o.method = c.hotplug.command, c.hotplug.timeout, c.hotplug.method
		}
	}
	if err != nil {
		e.reportEvent(true, "the configuration is wrong, and [Hotplug] has no effect: "+err.Error())
	}
}

func (o *hotplugOptions) run(ctx context.Context, e *env, args []string) error {
	if err := noArgs(args); err != nil {
		return err
	}
	if err := o.validate(); err != nil {
		return err
	}
	if o.unit != "" && (o.daemon || o.given) {
		return usageError("--hand-over takes no other options: give them to the command of the unit")
	}
	if !o.daemon {
		coalesced, err := (&hotplug.Handler{Dir: statedir.Dir(e.stateDir)}).Announce()
		if coalesced && err == nil {
			return nil // as most do in a burst, before signals are set up
		}
		ctx = e.interrupts.orderly(ctx)
		if err != nil && (coalesced || o.unit != "") { // else Event reports it
			e.reportEvent(true, err.Error())
		}
		if coalesced {
			return nil
		}
		if o.unit != "" {
			return e.handOver(ctx, o.unit)
		}
	} else {
		ctx = e.interrupts.orderly(ctx)
	}
	if !o.given {
		o.configure(e)
	}
	method, err := o.method.parse()
	if err != nil {
		return err
	}
	arch, err := machine.NativeArch()
	if err != nil {
		return err
	}
	h := &hotplug.Handler{Dir: statedir.Dir(e.stateDir), Check: e.verifyHeader, Report: e.reportEvent, Sequence: e.eventSequence, WaitForLoad: e.absent}
	switch {
	case o.command != "":
		h.Reload = func(ctx context.Context, a hotplug.Attempt) error {
			defer e.interrupts.loading()()
			defer e.loader(arch, loader.DefaultWait).KeepDiskKeys()()
			return e.runReloadCommand(ctx, o.command, o.timeout, a)
		}
	default:
		v := &verifier{env: e}
		h.Check = v.check
		h.Reload = func(ctx context.Context, a hotplug.Attempt) error {
			if err := e.mayUseLoad(arch, a); err != nil {
				return err
			}
			out, err := e.loader(arch, hotplugWait).Reload(ctx, loader.ReloadOptions{Method: method, LockHeld: true, Machine: v.take(), Lost: a.Lost})
			v.reloaded(out.Verification)
			if o.daemon {
				debug.FreeOSMemory() // the images are many times larger than all else
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

// hotplugWait is how long EBUSY is retried. It may be long, since no user waits and the
// next event may be hours away.
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
		return &advice.Problem{What: fmt.Sprintf("not retried automatically: kexec_load_limit_panic allows %d more loads, and each attempt uses one", limit),
			Hint: "find out why the last load failed, then load with gokexec reload or gokexec load --crash"}
	}
	return nil
}

// handOverTimeout is how long the service manager may take to queue a job.
const handOverTimeout = 30 * time.Second

// handOver starts a unit that handles an event, which is marked. Each event has a unit of
// its own: starting a unit that already runs has no effect, and that unit may have
// checked before this event.
func (e *env) handOver(ctx context.Context, unit string) error {
	withPath()
	ctx, cancel := context.WithTimeout(ctx, handOverTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "systemctl", "--no-block", "start", unit)
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if err == nil {
		return nil
	}
	problem := &advice.Problem{What: fmt.Sprintf("a hotplug event is not handled: systemctl start %s: %v: %s", unit, err, oneLine(string(out))),
		Hint: "run gokexec hotplug by hand", Err: err}
	e.kernelLog(kernelError, problem.Error())
	return problem
}

// withPath sets a PATH for the programs that we start: udev sets none.
func withPath() {
	if os.Getenv("PATH") == "" {
		os.Setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
	}
}

// eventSequence is the number of the kernel's last event, 0 if it is not known
// (Documentation/ABI/testing/sysfs-kernel-uevent_seqnum; printed in decimal).
func (e *env) eventSequence() uint64 {
	n, err := strconv.ParseUint(machine.ReadText(os.DirFS(e.sysroot), "sys/kernel/uevent_seqnum"), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// verifyHeader compares the loaded elfcorehdr with the machine.
func (e *env) verifyHeader(context.Context) hotplug.Status {
	return statusOf(accuracy.Verify(os.DirFS(e.sysroot), e.stateDir))
}

// statusOf is what hotplug asks of a verification.
func statusOf(v *accuracy.Verification) hotplug.Status {
	return hotplug.Status{State: v.Accuracy, Detail: v.String(), Unchanged: v.Unchanged}
}

// verifier shares one reading of the machine: the check that finds a stale header passes it to
// the reload, and the reload, which verifies what it has loaded, passes its own to the check
// after it. All three run under the reload lock, one right after the other.
type verifier struct {
	env     *env
	mu      sync.Mutex
	machine *kcore.Machine         // of the last check, if its header was stale
	after   *accuracy.Verification // of the last reload, until a check has used it
}

func (v *verifier) check(context.Context) hotplug.Status {
	v.mu.Lock()
	defer v.mu.Unlock()
	seen := v.after
	if v.after = nil; seen == nil {
		seen = accuracy.Verify(os.DirFS(v.env.sysroot), v.env.stateDir)
	}
	if v.machine = nil; seen.Accuracy == accuracy.Stale {
		v.machine = seen.Machine
	}
	return statusOf(seen)
}

// take gives the machine of the last check, once.
func (v *verifier) take() *kcore.Machine {
	v.mu.Lock()
	defer v.mu.Unlock()
	m := v.machine
	v.machine = nil
	return m
}

// reloaded makes the next check use the verification of the reload; after a failure there is none.
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
	if err := hotplug.Notify("READY=1\nSTATUS=watching memory and CPUs"); err != nil {
		e.reportEvent(false, err.Error())
	}
	err = h.Daemon(ctx, socket.Wait)
	if notifyErr := hotplug.Notify("STOPPING=1"); notifyErr != nil {
		e.reportEvent(false, notifyErr.Error())
	}
	return err
}
