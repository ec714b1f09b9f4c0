package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/gokexec/gokexec/internal/kexecsys"
	"github.com/gokexec/gokexec/internal/rootfs"
	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/capture"
	"github.com/gokexec/gokexec/pkg/loader"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/storage"
)

// Exit codes that every command shares.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

// messageTimeout is how long writing the last messages of a command with unheard set may take.
const messageTimeout = 2 * time.Second

// env is everything a command uses of the machine, except the files it is
// given, so that a test can hand it another.
type env struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	sysroot        string // "/" or, in tests, a tree of /proc and /sys
	stateDir       string
	kernel         loader.Kernel
	kmsg           string        // "" keeps out of the kernel's log
	absent         time.Duration // hotplug.Handler.WaitForLoad
	power          power
	libDir         string // what outlives a boot
	drill          drillMachine
	programs       runner
	remote         string           // gokexec-remote; "" finds it
	messages       *capture.Console // stderr for commands whose messages may be lost
	interrupts     *interrupts      // nil: signals are not handled
	// maps opens device mapper; nil: the kernel's.
	maps func() (storage.Maps, error)
	// logons are root's keys; nil: the kernel's.
	logons storage.Logons
}

func systemEnv() *env {
	return &env{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, sysroot: "/", stateDir: loader.DefaultStateDir, kernel: kexecsys.Kernel{}, kmsg: "/dev/kmsg", power: systemPower{}, libDir: defaultLibDir, drill: systemDrill{}, programs: systemRunner{}}
}

// command is one subcommand; usage, help and man pages are made from it.
type command struct {
	name  string
	args  string // positional arguments, as in a synopsis
	short string // one line, no full stop
	long  string // paragraphs, parted by blank lines
	exits []exitCode
	// orderly commands end through their context when they are interrupted, others at once.
	orderly bool
	// unheard: the command does not wait for its messages to be read; they may be lost.
	unheard bool
	acts    bool // its exit code reports what it did to the machine: see env.checked
	// setup declares the flags and returns what runs once they are parsed.
	setup func(flags *pflag.FlagSet) func(ctx context.Context, e *env, args []string) error
}

type exitCode struct {
	code    int
	meaning string
}

// exitError ends a command with a code of its own.
type exitError struct {
	code int
	err  error // nil: nothing more to print
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// usageError is a wrong command line.
func usageError(format string, args ...any) error {
	return &exitError{code: exitUsage, err: fmt.Errorf(format, args...)}
}

func commands() []command {
	return []command{
		setupCommand(),
		armCommand(),
		disarmCommand(),
		loadCommand(),
		unloadCommand(),
		reloadCommand(),
		hotplugCommand(),
		execCommand(),
		statusCommand(),
		checkCommand(),
		drillCommand(),
		metricsCommand(),
		captureCommand(),
		reportCommand(),
		dumpCommand(),
		shipCommand(),
		tidyCommand(),
		storageCommand(),
		initramfsCommand(),
		configCommand(),
		dmesgCommand(),
		elfcorehdrCommand(),
		memmapCommand(),
		estimateCommand(),
		collectCommand(),
	}
}

func run(ctx context.Context, e *env, argv []string) int {
	if len(argv) == 0 {
		fmt.Fprint(e.stderr, overview())
		return exitUsage
	}
	switch argv[0] {
	case "help", "--help", "-h":
		return e.checked(false, func(e *env) int { return help(e, argv[1:]) })
	case "version", "--version", "-V":
		return e.checked(false, func(e *env) int {
			fmt.Fprint(e.stdout, versionLine())
			return exitOK
		})
	}
	if p := findProgram(argv[0]); p != nil {
		return p.run(ctx, e, argv)
	}
	for _, c := range commands() {
		if c.name == argv[0] {
			return e.checked(c.acts, func(e *env) int { return c.run(ctx, e, argv[1:]) })
		}
	}
	fmt.Fprintf(e.stderr, "gokexec: there is no command %q\nhint: gokexec help lists them\n", argv[0])
	return exitUsage
}

func (c *command) run(ctx context.Context, e *env, argv []string) int {
	flags := pflag.NewFlagSet(c.name, pflag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.SortFlags = false
	do := c.setup(flags)
	err := flags.Parse(argv)
	if errors.Is(err, pflag.ErrHelp) {
		fmt.Fprint(e.stdout, c.help())
		return exitOK
	}
	if c.orderly {
		ctx = e.interrupts.orderly(ctx)
	}
	if c.unheard {
		out := capture.NewConsole(e.stderr)
		defer out.Close(messageTimeout)
		queued := *e
		queued.stderr, queued.messages = out, out
		e = &queued
	}
	if err != nil {
		err = usageError("%w", err)
	} else {
		err = do(ctx, e, flags.Args())
	}
	return e.finish(c.name, err)
}

// finish prints an error as its line and its hint, and gives the exit code.
func (e *env) finish(name string, err error) int {
	if err == nil {
		return exitOK
	}
	code := exitFailure
	var exit *exitError
	if errors.As(err, &exit) {
		code = exit.code
		if exit.err == nil {
			return code
		}
	}
	fmt.Fprintf(e.stderr, "gokexec: %s: %s\n", name, oneLine(err.Error()))
	hint := ""
	var problem *advice.Problem
	if errors.As(err, &problem) {
		hint = problem.Hint
	} else if code == exitUsage {
		hint = "gokexec help " + name + " shows what it takes"
	}
	if hint != "" {
		fmt.Fprintf(e.stderr, "hint: %s\n", oneLine(hint))
	}
	return code
}

func oneLine(s string) string {
	return strings.ReplaceAll(strings.TrimSpace(s), "\n", "; ")
}

// storage is that of the machine.
func (e *env) storage() *storage.Machine {
	return storage.New(storage.Options{Root: e.sysroot, Maps: e.maps, Logons: e.logons})
}

func (e *env) printJSON(v any) error { return writeJSON(e.stdout, v) }

func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// tree is the tree that --sysroot names, which is not trusted, or the machine itself.
func (e *env) tree(sysroot string) (fs.FS, error) {
	if sysroot == "" || filepath.Clean(sysroot) == "/" {
		return os.DirFS(e.sysroot), nil
	}
	tree, err := rootfs.Open(sysroot)
	if err != nil {
		return nil, fmt.Errorf("--sysroot: %w", err)
	}
	return tree, nil
}

// host reads the machine, or the tree that --sysroot names.
func (e *env) host(sysroot string, arch machine.Arch) (*machine.Host, error) {
	root, err := e.tree(sysroot)
	if err != nil {
		return nil, err
	}
	return machine.ReadHost(root, arch)
}

func noArgs(args []string) error {
	if len(args) > 0 {
		return usageError("unexpected argument %q", args[0])
	}
	return nil
}
