package capture

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gokexec/gokexec/internal/sysfs"
	"github.com/gokexec/gokexec/pkg/network"
	"github.com/gokexec/gokexec/pkg/stack"
)

// logTimeout bounds the extraction of the kernel log: it must not cost the dump.
const logTimeout = 120 * time.Second

// DefaultMountPoint is where filesystem targets are mounted, each in a
// directory of its own.
const DefaultMountPoint = "/run/gokexec/target"

// Options are the surroundings of [Run]. The zero value is for a plain command.
type Options struct {
	// System is the operating system; nil is the running one.
	System System
	// Source is the file with the old memory. Default: [VMCorePath].
	Source string
	// Version is gokexec's, for the result.
	Version string
	// Reporter is the program with its arguments that makes the report of the crash: it gets the source as one more
	// argument, and writes what [report.ReadParts] reads. nil: there is no report.
	Reporter []string
	// Console gets messages and the progress; nil is nowhere. Nothing waits for it: what
	// it doesn't take is lost ([Console]).
	Console io.Writer
	// ReplaceLine shows the progress on one line by carriage returns: for a
	// terminal, not for a serial console.
	ReplaceLine bool
	// MountPoint is made if need be. Default: [DefaultMountPoint].
	MountPoint string
	// RemoteProgram is gokexec-remote, for targets that need it. Default: [RemoteProgramPath].
	RemoteProgram string
}

// Run saves the kernel log and then the memory to the first target that takes
// all of it. The Result says what is saved, and where; it is nil only when
// nothing was tried. The error is nil when all of the memory is saved, also if
// the log could not be read (see [ExitCode]).
//
// A target that makes no progress for the configured time is given up, and a
// goroutine stays behind in the kernel.
func Run(ctx context.Context, cfg Config, opt Options) (*Result, error) {
	cfg = cfg.withDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	r := newRun(cfg, opt)
	if r.out != opt.Console {
		defer r.out.Close(flushTimeout)
	}
	defer r.startFence(ctx)()
	res, err := r.save(ctx)
	if res == nil {
		r.hooks.run(HookEmergency, nil, "")
	}
	return res, err
}

// save opens the memory, and saves it with its log.
func (r *run) save(ctx context.Context) (*Result, error) {
	src, err := within(ctx, r.cfg.stallTimeout(), "open "+r.opt.Source, func() (*source, error) {
		return openSource(r.sys, r.opt.Source)
	})
	if err != nil {
		return nil, sysfs.Rooted(err)
	}
	defer src.close()
	r.src = src
	if err := r.readForm(); err != nil {
		return nil, err
	}
	src.describe(r.base)
	r.say("%s: %d MB, kernel %s", r.opt.Source, src.size/1e6, orUnknown(r.base.KernelRelease))
	r.readLog(ctx)
	r.base.Hooks = r.hooks.run(HookPre, r.base, "")
	return r.targets(ctx)
}

// run is one capture.
type run struct {
	cfg    Config
	opt    Options
	sys    System
	out    *Console
	start  time.Time
	gauge  *memoryGauge
	form   form
	src    *source
	hooks  *hookRunner
	log    *kernelLog // nil when it could not be read
	base   *Result    // what holds for every target
	choose sync.Once
	choice choice

	makeReport sync.Once
	made       madeReport

	assemble sync.Once
	layers   *stack.Assembler
	standing standing

	connect sync.Once
	links   *network.Bringer // nil: there is no network to be made
	linkErr error
}

func newRun(cfg Config, opt Options) *run {
	if opt.System == nil {
		opt.System = NewSystem()
	}
	if opt.Source == "" {
		opt.Source = VMCorePath
	}
	if opt.Console == nil {
		opt.Console = io.Discard
	}
	if opt.MountPoint == "" {
		opt.MountPoint = DefaultMountPoint
	}
	out, queued := opt.Console.(*Console)
	if !queued {
		out = NewConsole(opt.Console)
	}
	r := &run{cfg: cfg, opt: opt, sys: opt.System, out: out, start: time.Now(), gauge: &memoryGauge{root: opt.System.FS()}}
	r.base = &Result{GokexecVersion: opt.Version, Outcome: Failed, CPUs: runtime.GOMAXPROCS(0), CaptureTime: r.start.UTC().Truncate(time.Second)}
	r.hooks = &hookRunner{cfg.Hooks, r.sys, r.say, r.opt.Source, opt.Version}
	r.gauge.sample()
	return r
}

func (r *run) say(format string, args ...any) {
	fmt.Fprintf(r.out, "gokexec: "+format+"\n", args...)
}

func orUnknown(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}

// readForm takes the form of the dump from the configuration and, for the memory of a crashed kernel,
// from the command line of this one.
func (r *run) readForm() (err error) {
	cfg := r.cfg
	if r.opt.Source == VMCorePath {
		var ignored []error
		line, err := sysfs.ReadString(r.sys.FS(), "proc/cmdline")
		if err == nil {
			cfg, ignored = cfg.withCmdline(line)
		}
		for _, err := range ignored {
			r.base.addError(err)
			r.say("%v", err)
		}
	}
	r.form, err = cfg.form()
	return err
}

// readLog extracts the kernel log into memory. It only notes a failure.
func (r *run) readLog(ctx context.Context) {
	begin := time.Now()
	err := error(nil)
	if r.src.core == nil {
		err = errors.New("the headers of the dump are damaged")
	} else {
		r.log, err = within(ctx, logTimeout, "read it", func() (*kernelLog, error) { return readKernelLog(r.src.core) })
	}
	r.base.Durations.ReadLogSeconds = seconds(begin)
	if err != nil {
		err = fmt.Errorf("kernel log: %w", err)
		r.base.addError(err)
		r.say("%v; going on with the memory", err)
		return
	}
	for _, d := range r.log.damage {
		r.base.addError(fmt.Errorf("kernel log: %w", d))
	}
}

// targets tries the targets and returns the best result.
func (r *run) targets(ctx context.Context) (*Result, error) {
	var best *Result
	var errs, before []error
	for i, t := range r.cfg.Targets {
		r.say("target %s", t)
		a := r.try(ctx, i, before)
		if best == nil || a.result.better(best) {
			best = a.result
		}
		if a.err != nil {
			r.say("%v", a.err)
			errs = append(errs, a.err)
			before = append(before, fmt.Errorf("target %s: %w", t, a.err))
		}
		last := a.err == nil || !a.next || ctx.Err() != nil || i == len(r.cfg.Targets)-1
		if last {
			r.runAfter(best, &a)
		}
		r.seal(&a, t)
		if a.err == nil {
			return a.result, nil
		}
		if last {
			break
		}
	}
	r.gauge.describe(&best.Memory)
	best.Durations.TotalSeconds = seconds(r.start)
	if best.Outcome != Complete && len(before) > 1 {
		for _, err := range before {
			best.addError(err)
		}
	}
	return best, errors.Join(errs...)
}

// try tries one target, with those tried before for its result.
func (r *run) try(ctx context.Context, index int, before []error) attempt {
	var reported atomic.Pointer[Result]
	name := r.cfg.Targets[index].String()
	// A cancelled attempt ends by itself, and keeps what it has.
	a, err := bounded(context.WithoutCancel(ctx), r.cfg.stallTimeoutOf(r.cfg.Targets[index]), name, func(touch func()) (attempt, error) {
		return r.attempt(ctx, index, before, watcher{touch, func(res *Result) { reported.Store(res.clone()) }}), nil
	})
	if err == nil {
		return a
	}
	r.standing.takeDown(ctx, r.say, name)
	// It was given up: what it reported last is what is known.
	a = attempt{result: reported.Load(), err: err, next: true}
	if a.result == nil {
		a.result = r.base.clone()
		a.result.Target = name
	}
	a.result.addError(err)
	return a
}

// runAfter runs the hooks that follow the capture, while the last target is still there.
func (r *run) runAfter(best *Result, a *attempt) {
	directory := ""
	if a.sink != nil && a.result == best {
		directory = a.sink.directory()
	}
	ended := r.hooks.after(best, directory)
	best.Hooks = append(best.Hooks, ended...)
	if a.result != best {
		a.result.Hooks = append(a.result.Hooks, ended...)
	}
}

// seal stores the result of an attempt and lets go of its target. The dump is on disk: what fails from here on is
// only told.
func (r *run) seal(a *attempt, t Target) {
	if a.sink == nil {
		return
	}
	s := a.sink
	data, err := a.result.json()
	_, sealErr := bounded(context.Background(), r.cfg.stallTimeoutOf(t), "finish "+a.result.Target, func(touch func()) (struct{}, error) {
		var err error
		if data != nil {
			err = putBytes(s, ResultName, data)
		}
		touch()
		return struct{}{}, errors.Join(err, s.close())
	})
	if err := errors.Join(err, sealErr); err != nil {
		a.result.addError(err)
		r.say("%v", err)
	}
}

func seconds(since time.Time) float64 {
	// Milliseconds are enough, and read better.
	return float64(time.Since(since).Milliseconds()) / 1000
}
