package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/blkid"
	"github.com/gokexec/gokexec/pkg/capture"
	"github.com/gokexec/gokexec/pkg/kmod"
)

func captureCommand() command {
	return command{
		name: "capture", acts: true, args: "[TARGET...]",
		short: "save the log and the memory of the crashed kernel",
		long: `Run it in a capture kernel: it saves the log of the crashed kernel and then its
memory to the first TARGET that has room for all of it. As init of the capture kernel, in
an initramfs made by gokexec initramfs, it does so by itself and then reboots.

A TARGET is dir:PATH, a directory of a mounted filesystem (or just PATH);
fs:DEVICE[:PATH], a filesystem to be mounted; raw:DEVICE, a block device to which a
tar stream is written: tar xf DEVICE extracts it; or nfs:HOST:/PATH, a directory of an NFS server,
over the network as it is. DEVICE is /dev/NAME, UUID=, LABEL=,
PARTUUID=, PARTLABEL=, WWID= or SERIAL=; in a value and in PATH \xHH stands for a byte, such
as \x20 for a blank.

Each dump has a directory of its own, named after the time of the crash, with dmesg.txt,
report.txt and report.json (gokexec report), vmcore (called vmcore.incomplete until all of it
is on disk) and result.json. The log is on disk before the report is made, and the report before
the memory is read. The report is made by a process of its own with little memory and time: its
failure is noted in result.json and costs nothing else. A page that can't be read is saved as zeros and counted.

By default the dump has makedumpfile's compressed format, which crash(8) and drgn read, and
lacks what rarely matters: zero pages, page cache, memory of processes, free memory (--dump-level
31). What is not understood of a kernel is kept, and result.json says so: where pages can't be told
apart, all are saved. On the capture kernel's command line gokexec.dump_level=, gokexec.format= and
gokexec.compress= count before options and configuration.

The capture never waits for a reader of its messages.

--final-action and --failure-action are for the hooks of other initramfs: gokexec reboots or
powers off by itself. A disk that stopped answering leaves a process that can't be killed,
and a shell would wait for it forever. If both are none, gokexec just exits, even then.`,
		exits: []exitCode{
			{capture.ExitComplete, "the log and all of the memory are saved"},
			{capture.ExitFailed, "nothing is saved"},
			{capture.ExitUsage, "the command line or the configuration is wrong"},
			{capture.ExitIncomplete, "the dump is saved, but pages could not be read or it broke off"},
			{capture.ExitLogOnly, "only the log is saved"},
			{capture.ExitNoLog, "all of the memory is saved, but its log could not be read"},
		},
		orderly: true,
		unheard: true,
		setup: func(flags *pflag.FlagSet) func(context.Context, *env, []string) error {
			source := flags.String("source", capture.VMCorePath, "`FILE` with the memory of the crashed kernel")
			config := flags.String("config", "", "take targets and limits from the JSON `FILE`, as init does")
			overwrite := flags.Bool("overwrite", false, "let raw: targets destroy what the device holds")
			var limits limitOptions
			limits.register(flags)
			asJSON := flags.Bool("json", false, "report as JSON, as in result.json")
			var action actionFlags
			action.declare(flags)
			return func(ctx context.Context, e *env, args []string) error {
				cfg, err := captureConfig(*config, args, *overwrite, &limits)
				if err != nil {
					return usageError("%w", err)
				}
				if err := action.parse(flags); err != nil {
					return err
				}
				if err := e.configuredStores(cfg.Targets); *config == "" && err != nil {
					return err
				}
				if !action.given {
					_, err := e.capture(ctx, cfg, *source, *asJSON)
					return err
				}
				if *asJSON {
					return usageError("--json can't be used with an action, which would wait for the reader of the output; result.json has the same contents")
				}
				a := &actor{actionFlags: action, cfg: cfg, sys: capture.NewSystem(), out: e.messages, proc: "/proc"}
				if os.Getenv(childVar) == "" {
					return a.supervise(ctx, captureChild())
				}
				result, err := e.capture(ctx, cfg, *source, false)
				code := e.finish("capture", err)
				return &exitError{code: code, err: a.end(result.Saved())}
			}
		},
	}
}

func captureConfig(file string, targets []string, overwrite bool, limits *limitOptions) (capture.Config, error) {
	if file == "" {
		cfg, err := targetConfig(targets, overwrite)
		if err != nil {
			return cfg, err
		}
		limits.apply(&cfg)
		return cfg, cfg.Validate()
	}
	if len(targets) > 0 || overwrite || limits.given() {
		return capture.Config{}, errors.New("--config names the targets and limits; give no others, and none of --overwrite, --keep-free, --keep-dump, --keep-dumps, --device-timeout, --stall-timeout, --report-timeout, --network-timeout, --start-dirty-degraded, --fence-kdump, --fence-kdump-interval, --dump-level, --format and --compress")
	}
	f, err := os.Open(file)
	if err != nil {
		return capture.Config{}, err
	}
	defer f.Close()
	return capture.ParseConfig(f)
}

func targetConfig(targets []string, overwrite bool) (capture.Config, error) {
	var cfg capture.Config
	if len(targets) == 0 {
		return cfg, fmt.Errorf("no target: give %s", capture.TargetUsage())
	}
	for _, s := range targets {
		t, err := capture.ParseTarget(s)
		if err != nil {
			return cfg, err
		}
		t.Overwrite = overwrite
		cfg.Targets = append(cfg.Targets, t.Own())
	}
	return cfg, nil
}

func (e *env) capture(ctx context.Context, cfg capture.Config, source string, asJSON bool) (*capture.Result, error) {
	if source == capture.VMCorePath {
		// Little more than the crash memory is there, and nobody else should run out of it.
		if err := capture.LimitMemory(os.DirFS("/")); err != nil {
			fmt.Fprintf(e.messages, "gokexec: %v\n", err)
		}
	}
	_, err := unix.IoctlGetTermios(int(os.Stderr.Fd()), unix.TCGETS)
	program, _ := e.remoteProgram() // a target that needs it says that it can't be started
	result, err := capture.Run(ctx, cfg, capture.Options{RemoteProgram: program, Source: source, Version: version(), Reporter: reporter(), Console: e.messages, ReplaceLine: err == nil})
	code := capture.ExitCode(result, err)
	if result != nil && asJSON {
		if jsonErr := e.printJSON(result); jsonErr != nil {
			return result, jsonErr
		}
	}
	switch {
	case err != nil:
		err = &exitError{code: code, err: captureProblem(err)}
	case code != capture.ExitComplete:
		err = &exitError{code: code}
	}
	return result, err
}

func captureProblem(err error) error {
	hint := ""
	switch {
	case errors.Is(err, capture.ErrNoVMCore):
		hint = "only a kernel started by a panic of another one shows its memory; --source takes a saved dump"
	case errors.Is(err, blkid.ErrMember):
		hint = "no option lets a dump be written into a part of something else: the rest of it would differ"
	case errors.Is(err, capture.ErrKept):
		hint = "copy it away; --keep-dump DAYS says how long a complete dump is kept"
	case errors.Is(err, capture.ErrInUse):
		hint = "--overwrite destroys what the device holds"
	case errors.Is(err, unix.ENOSPC):
		hint = "the log and a part of the memory are saved; give a larger target; --keep-free says what it is to leave free"
	}
	return &advice.Problem{What: err.Error(), Hint: hint, Err: err}
}

// loadModules loads what the initramfs brings, and frees the memory that the
// files take as it goes: they are in RAM.
func loadModules(ctx context.Context, console io.Writer) error {
	root := os.DirFS("/")
	list, err := kmod.ReadList(root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // all that the targets need is built in
	}
	if err != nil {
		return err
	}
	release, err := runningRelease()
	if err != nil {
		return err
	}
	if list.Kernel != release {
		return fmt.Errorf("the modules of this initramfs are for kernel %s, this is %s", list.Kernel, release)
	}
	cmdline, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return err
	}
	list.AddCmdline(string(cmdline))
	return kmod.Load(ctx, kmod.System(), root, list, func(r kmod.Result) {
		if r.Err != nil {
			fmt.Fprintf(console, "gokexec: module %s: %v\n", r.Name, r.Err)
		}
		if err := os.Remove("/" + r.Path); err != nil {
			fmt.Fprintf(console, "gokexec: %v\n", err)
		}
	})
}

func runningRelease() (string, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "", fmt.Errorf("uname: %w", err)
	}
	return unix.ByteSliceToString(u.Release[:]), nil
}
