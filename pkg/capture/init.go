package capture

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"syscall"
	"time"

	"github.com/gokexec/gokexec/internal/sysfs"
)

const (
	consolePath = "/dev/console"
	kmsgPath    = "/dev/kmsg"
	// moduleTimeout bounds the loading of modules: a driver's probe may hang,
	// and the disk may be there all the same.
	moduleTimeout = 120 * time.Second
	// panicSeconds is given to kernel.panic when it is 0, so that a capture
	// kernel that panics itself reboots.
	panicSeconds = "10"
	// panicOnOOM makes the kernel panic where it lacks memory (Documentation/admin-guide/sysctl/vm.rst).
	panicOnOOM = "/proc/sys/vm/panic_on_oom"
	// hookTemp is the size of /tmp for hooks, as tmpfs takes it.
	hookTemp = "5%"
)

// ErrNotInit is returned by [Init] in a process that isn't the init of a capture kernel,
// as it ends in a reboot.
var ErrNotInit = errors.New("not the init of a capture kernel")

// InitOptions are the surroundings of [Init]. The zero value is the real thing.
type InitOptions struct {
	// System is the operating system; nil is the running one.
	System System
	// ConfigPath is the configuration. Default: [ConfigPath].
	ConfigPath string
	// Version is gokexec's, for the result.
	Version string
	// Reporter is that of [Options].
	Reporter []string
	// LoadModules loads the modules that the initramfs brings, and tells of single ones
	// on the console, which nothing waits for; its error is told, and the capture goes
	// on. nil loads none.
	LoadModules func(ctx context.Context, console io.Writer) error
}

// Ending is how [Init] ended.
type Ending struct {
	// Action is what was done at last; empty for nothing.
	Action Action
	// ExitCode is that of the capture.
	ExitCode int
	// Err says why the action failed.
	Err error
}

// Init is the whole life of PID 1 in a capture kernel. It mounts /proc, /sys
// and /dev, loads modules, saves the memory and reboots, or does what else the
// configuration asks for; whatever fails, and even if gokexec itself does, leads
// to the failure action.
//
// In any other process, the first one of a container and the init of another kernel
// among them, it does nothing and returns ErrNotInit (see [Place]).
//
// On a real system Init returns only if neither reboot(2) nor sysrq worked. The
// caller should exit then: the kernel then has no init, panics, and reboots.
func Init(opt InitOptions) Ending {
	if opt.System == nil {
		opt.System = NewSystem()
	}
	if opt.ConfigPath == "" {
		opt.ConfigPath = ConfigPath
	}
	if opt.System.Place() != CaptureKernel {
		return Ending{ExitCode: ExitUsage, Err: ErrNotInit}
	}
	opt.System.BecomeInit()
	p := &initProcess{opt: opt, sys: opt.System, out: NewConsole(io.Discard)}
	p.cfg = Config{}.withDefaults()
	action, code := Reboot, ExitFailed
	p.guard("capture", func() {
		p.prepare()
		var res *Result
		res, code = p.capture()
		action = p.cfg.FailureAction
		if res.Saved() {
			action = p.cfg.FinalAction
		}
	})
	if p.broken {
		action, code = p.cfg.FailureAction, ExitFailed
		p.guard("hooks", p.emergency)
	}
	end := p.finish(action, code)
	p.out.Close(flushTimeout)
	return end
}

// initProcess is PID 1.
type initProcess struct {
	opt    InitOptions
	sys    System
	cfg    Config
	out    *Console
	dogs   *watchdogs // nil for none
	broken bool       // by a panic
}

func (p *initProcess) say(format string, args ...any) {
	fmt.Fprintf(p.out, "gokexec: "+format+"\n", args...)
}

// guard keeps a panic from killing PID 1.
func (p *initProcess) guard(what string, f func()) {
	defer func() {
		if v := recover(); v != nil {
			p.broken = true
			p.say("%v", panicError(what, v))
		}
	}()
	f()
}

// prepare makes the environment that everything else needs. Nothing in it is
// fatal: what is missing shows later, with a better message.
func (p *initProcess) prepare() {
	var failed []error
	for _, m := range []struct{ fstype, dir string }{{"proc", "/proc"}, {"sysfs", "/sys"}, {"devtmpfs", "/dev"}} {
		err := mkdirAll(p.sys, "/", m.dir, 0o755)
		if err == nil {
			err = p.sys.Mount(m.fstype, m.dir, m.fstype, "")
		}
		if err != nil && !errors.Is(err, syscall.EBUSY) {
			failed = append(failed, err)
		}
	}
	for _, name := range []string{consolePath, kmsgPath} {
		w, err := p.sys.Console(name)
		if err == nil {
			p.out.Close(flushTimeout)
			p.out = NewConsole(w)
			break
		}
		failed = append(failed, err)
	}
	p.say("%s: saving the memory of the crashed kernel", orUnknown(p.opt.Version))
	for _, err := range failed {
		p.say("%v", err)
	}
	if err := LimitMemory(p.sys.FS()); err != nil {
		p.say("%v", err)
	}
	if err := p.rebootOnPanic(); err != nil {
		p.say("%v", err)
	}
}

func (p *initProcess) rebootOnPanic() error {
	const name = "/proc/sys/kernel/panic"
	text, err := sysfs.ReadString(p.sys.FS(), name[1:])
	if err != nil {
		return err
	}
	if strings.TrimSpace(text) != "0" {
		return nil
	}
	return p.write(name, panicSeconds)
}

func (p *initProcess) write(name, text string) error { return writeSetting(p.sys, name, text) }

// writeSetting writes a file of /proc or /sys.
func writeSetting(sys Files, name, text string) error {
	f, err := sys.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.Write([]byte(text))
	return errors.Join(err, f.Close())
}

// capture reads the configuration and runs the capture.
func (p *initProcess) capture() (*Result, int) {
	cfg, err := p.readConfig()
	if err != nil {
		p.say("%v", err)
		p.emergency()
		return nil, ExitUsage
	}
	p.cfg = cfg
	p.prepareChildren()
	ctx := context.Background()
	if cfg.Watchdog {
		p.dogs = startWatchdogs(p.sys, p.say) // before the modules, which may take long
	}
	if err := p.loadModules(ctx); err != nil {
		p.say("%v", err)
	}
	if p.dogs != nil && p.dogs.look() == 0 {
		p.say("watchdog: there is no /dev/watchdogN: is its driver in this initramfs?")
	}
	res, err := Run(ctx, cfg, Options{
		System: p.sys, Version: p.opt.Version, Reporter: p.opt.Reporter, Console: p.out, ReplaceLine: isScreen(p.terminal()),
	})
	code := ExitCode(res, err)
	switch {
	case res == nil:
		p.say("nothing is saved: %v", err)
	default:
		p.say("%s", res.Summary())
	}
	return res, code
}

// prepareChildren keeps hooks and the maker of the report from using up the memory: the kernel is to kill them rather
// than to panic, and what hooks write to /tmp is bounded.
func (p *initProcess) prepareChildren() {
	err := error(nil)
	switch {
	case !p.cfg.Hooks.none():
		err = p.sys.Mount("tmpfs", "/tmp", "tmpfs", "mode=1777,size="+hookTemp)
	case len(p.opt.Reporter) == 0 || p.cfg.reportTimeout() == 0:
		return
	}
	if panics, readErr := sysfs.ReadString(p.sys.FS(), panicOnOOM[1:]); readErr == nil && strings.TrimSpace(panics) != "0" {
		err = errors.Join(err, p.write(panicOnOOM, "0"))
	}
	if err != nil {
		p.say("%v", err)
	}
}

// emergency runs the hooks for a capture of which nothing came.
func (p *initProcess) emergency() {
	h := &hookRunner{p.cfg.Hooks, p.sys, p.say, VMCorePath, p.opt.Version}
	h.run(HookEmergency, nil, "")
}

func (p *initProcess) loadModules(ctx context.Context) error {
	if p.opt.LoadModules == nil {
		return nil
	}
	// One that heeds its context stops when it is given up.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	_, err := within(ctx, moduleTimeout, "load modules", func() (struct{}, error) {
		return struct{}{}, p.opt.LoadModules(ctx, p.out)
	})
	return err
}

func (p *initProcess) readConfig() (Config, error) {
	f, err := p.sys.FS().Open(strings.TrimPrefix(path.Clean(p.opt.ConfigPath), "/"))
	if err != nil {
		return Config{}, sysfs.Rooted(err)
	}
	defer f.Close()
	cfg, err := ParseConfig(f)
	if err != nil {
		return Config{}, fmt.Errorf("%s: %w", p.opt.ConfigPath, err)
	}
	// From here on its failure action counts, whatever else is wrong with it.
	p.cfg = cfg
	if err := cfg.ValidateInit(); err != nil {
		return Config{}, fmt.Errorf("%s: %w", p.opt.ConfigPath, err)
	}
	return cfg, nil
}

// terminal is the device behind /dev/console: the last of those listed
// (Documentation/ABI/testing/sysfs-tty).
func (p *initProcess) terminal() string {
	active, err := sysfs.ReadString(p.sys.FS(), "sys/class/tty/console/active")
	if names := strings.Fields(active); err == nil && len(names) > 0 {
		return "/dev/" + names[len(names)-1]
	}
	return consolePath
}

// isScreen tells a virtual terminal, where a line can be replaced, from a serial
// console, where all of it is kept and lines are dear.
func isScreen(terminal string) bool {
	number, ok := strings.CutPrefix(terminal, "/dev/tty")
	return ok && number != "" && strings.Trim(number, "0123456789") == ""
}
