package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/pflag"

	"github.com/gokexec/gokexec/pkg/loader"
)

// Exit codes of status, and of commands that find nothing loaded.
const (
	exitNotLoaded = 3
	exitUnknown   = 4
)

func statusCommand() command {
	return command{
		name:  "status",
		short: "say what is loaded, and where the crash memory is",
		long: `Says whether a crash kernel and a kernel for an ordinary kexec are loaded, and
which memory is reserved for the crash kernel. The exit code tells about the crash
kernel. No kernel lock is taken: it may be called as often as one likes.`,
		exits: []exitCode{{exitOK, "a crash kernel is loaded"}, {exitNotLoaded, "no crash kernel is loaded"}, {exitUnknown, "the kernel does not say"}},
		setup: func(flags *pflag.FlagSet) func(context.Context, *env, []string) error {
			asJSON := flags.Bool("json", false, "report as JSON")
			sysroot := flags.String("sysroot", "", "read /proc and /sys under `DIR`, a collected tree")
			return func(_ context.Context, e *env, args []string) error {
				if err := noArgs(args); err != nil {
					return err
				}
				return e.status(*sysroot, *asJSON)
			}
		},
	}
}

func (e *env) status(sysroot string, asJSON bool) error {
	arch, err := loader.NativeArch()
	if err != nil {
		return err
	}
	host, err := e.host(sysroot, arch)
	if err != nil {
		return err
	}
	s := loader.ReadStatus(host, e.stateDir)
	if asJSON {
		if err := e.printJSON(s); err != nil {
			return err
		}
	} else {
		printStatus(e.stdout, s)
	}
	switch {
	case s.CrashLoaded == nil:
		return &exitError{code: exitUnknown}
	case !*s.CrashLoaded:
		return &exitError{code: exitNotLoaded}
	}
	return nil
}

func printStatus(w io.Writer, s *loader.Status) {
	fmt.Fprintf(w, "crash kernel:  %s\n", loadedWord(s.CrashLoaded))
	if s.Noted != nil {
		fmt.Fprintf(w, "               last loaded by gokexec: %s, %s\n", s.Noted.Kernel.Path, s.Noted.Loaded.Format("2006-01-02 15:04:05 MST"))
	}
	fmt.Fprintf(w, "boot kernel:   %s\n", loadedWord(s.BootLoaded))
	switch {
	case s.MemoryError != "":
		fmt.Fprintf(w, "crash memory:  unknown: %s\n", s.MemoryError)
	case len(s.CrashMemory) == 0:
		fmt.Fprintln(w, "crash memory:  none is reserved (crashkernel=)")
	default:
		fmt.Fprintf(w, "crash memory:  %d MiB\n", s.CrashBytes>>20)
		for _, m := range s.CrashMemory {
			fmt.Fprintf(w, "               %#x-%#x\n", uint64(m.Start), uint64(m.End)-1)
		}
	}
}

func loadedWord(loaded *bool) string {
	switch {
	case loaded == nil:
		return "unknown (no kexec_crash_loaded in /sys/kernel: the kernel has no kexec)"
	case *loaded:
		return "loaded"
	}
	return "not loaded"
}
