package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"

	"github.com/gokexec/gokexec/pkg/accuracy"
	"github.com/gokexec/gokexec/pkg/loader"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/memmap"
	"github.com/gokexec/gokexec/pkg/statedir"
)

// Exit codes of status, and of commands that find nothing loaded.
const (
	exitNotLoaded = 3
	exitUnknown   = 4
	exitStale     = 5
)

func statusCommand() command {
	return command{
		name:  "status",
		short: "show what is loaded, whether it is accurate, and where the crash memory is",
		long: `Says whether a crash kernel and a kernel for an ordinary kexec are loaded, and
which memory is reserved for the crash kernel. Of one that gokexec arm has loaded it says for
which kernel, targets and configuration, and what has changed since: the configuration, the
kernel's file, or where the targets lie (as root). That does not change the exit code.

A capture kernel learns the memory and CPUs of the crashed kernel from the elfcorehdr,
which must be updated when they are hot-added or hot-removed. status reads the loaded
elfcorehdr through /proc/kcore, whoever loaded it, and compares it with the machine. It is
accurate, or stale, with each range that a dump would lack or that no longer exists. Where
the kernel hides it (lockdown for confidentiality, no CONFIG_PROC_KCORE), it is unknown,
with the reason.

The exit code is about the crash kernel. No kernel lock is taken, so status can be called
at any time.`,
		exits: []exitCode{
			{exitOK, "a crash kernel is loaded, and its elfcorehdr is accurate"},
			{exitNotLoaded, "no crash kernel is loaded, and none is wanted"},
			{exitUnknown, "the kernel does not tell whether a crash kernel is loaded, or whether its elfcorehdr is accurate"},
			{exitStale, "a crash kernel is loaded, but its elfcorehdr is stale; or one is wanted, and none is loaded; gokexec hotplug loads it again"},
		},
		setup: func(flags *pflag.FlagSet) func(context.Context, *env, []string) error {
			asJSON := flags.Bool("json", false, "report as JSON")
			plugin := flags.Bool("nagios", false, "print one line, and end with an exit code, as the plugins of Nagios, Icinga and others do: 0 armed, 1 the last drill failed, 2 not armed, 3 unknown")
			sysroot := flags.String("sysroot", "", "read /proc and /sys under `DIR`, a collected tree")
			return func(_ context.Context, e *env, args []string) error {
				if err := noArgs(args); err != nil {
					return err
				}
				if *plugin && *asJSON {
					return usageError("--nagios and --json exclude each other")
				}
				return e.status(*sysroot, *asJSON, *plugin)
			}
		},
	}
}

// statusReport is what status --json prints.
type statusReport struct {
	*loader.Status
	Verification *accuracy.Verification `json:"elfcorehdr"`
	Wanted       bool                   `json:"wanted"`                    // a crash kernel was loaded, and not explicitly unloaded since
	Armed        *armed                 `json:"armed,omitempty"`           // what gokexec arm has loaded
	Event        bool                   `json:"unattended_event"`          // memory or CPUs have changed, and no process has checked
	Problem      string                 `json:"hotplug_problem,omitempty"` // what gokexec hotplug could not repair

	LastDrill *lastDrill `json:"last_drill"` // how the last drill ended; null: there was none

	loading bool // a gokexec process is loading or checking
}

func (e *env) status(sysroot string, asJSON, plugin bool) error {
	r, err := e.readStatus(sysroot)
	if err != nil {
		return err
	}
	if plugin {
		return r.printPlugin(e.stdout)
	}
	r.Armed = e.armedOf(r.Noted, sysroot == "")
	if asJSON {
		if err := e.printJSON(r); err != nil {
			return err
		}
	} else {
		r.print(e.stdout)
	}
	code := accuracyExit(r.Verification)
	if r.unarmed() {
		code = exitStale
	}
	if code != exitOK {
		return &exitError{code: code}
	}
	return nil
}

// readStatus looks at the machine, or at the tree that --sysroot names.
func (e *env) readStatus(sysroot string) (*statusReport, error) {
	arch, err := machine.NativeArch()
	if err != nil {
		return nil, err
	}
	host, err := e.host(sysroot, arch)
	if err != nil {
		return nil, err
	}
	root, err := e.tree(sysroot)
	if err != nil {
		return nil, err
	}
	dir, done, err := e.notes(sysroot, root)
	if err != nil {
		return nil, err
	}
	defer done()
	stateDir := string(dir)
	r := &statusReport{Status: loader.ReadStatus(host, stateDir), Verification: accuracy.Verify(root, stateDir), Event: dir.Marked(), Problem: dir.Problem()}
	r.Wanted = wantedIn(dir)
	loaded := r.Verification.Accuracy != accuracy.NotLoaded
	if r.CrashLoaded != nil {
		r.CrashLoaded = &loaded // which was read twice
	}
	if r.Verification.Foreign || !loaded {
		r.Noted = nil
	}
	r.loading = r.unarmed() && dir.Locked()
	if sysroot == "" {
		r.LastDrill, _ = readDrill[lastDrill](e.libDir, lastDrillName) // none is no error
	}
	return r, nil
}

// notes returns the state directory of this machine, or a copy of the one in the tree that --sysroot
// names. done removes the copy.
func (e *env) notes(sysroot string, root fs.FS) (dir statedir.Dir, done func(), err error) {
	if sysroot == "" {
		return statedir.Dir(e.stateDir), func() {}, nil
	}
	copied, err := copyNotes(root)
	return statedir.Dir(copied), func() { os.RemoveAll(copied) }, err
}

// unarmed tells whether a crash kernel is wanted and none is loaded.
func (r *statusReport) unarmed() bool {
	return r.Wanted && r.Verification.Accuracy == accuracy.NotLoaded
}

// Bounds on the files that are read from a tree's state directory: they are few and small.
const (
	maxNotes    = 100
	maxNoteSize = 1 << 20 // bytes
)

// copyNotes copies the state directory of a collected tree: its files are opened by name, and names in the
// tree may be links to anywhere. The caller removes the copy.
func copyNotes(root fs.FS) (string, error) {
	dir, err := os.MkdirTemp("", "gokexec-status-*")
	if err != nil {
		return "", err
	}
	from := strings.Trim(loader.DefaultStateDir, "/")
	list, _ := fs.ReadDir(root, from) // a machine without gokexec has none
	for _, entry := range list[:min(len(list), maxNotes)] {
		name := path.Join(from, entry.Name())
		if info, err := fs.Stat(root, name); err != nil || info.Size() > maxNoteSize {
			continue // no note
		}
		b, err := fs.ReadFile(root, name)
		if err != nil {
			continue // a directory, a device
		}
		if err := os.WriteFile(filepath.Join(dir, entry.Name()), b, 0o600); err != nil {
			return "", errors.Join(err, os.RemoveAll(dir))
		}
	}
	return dir, nil
}

func (r *statusReport) unarmedLine() string {
	if r.loading {
		return "               one is wanted, and a load or check is under way"
	}
	return "               one is wanted, but was lost; gokexec hotplug or reload loads it again, gokexec unload --crash records that none is wanted"
}

// wantedIn tells whether a crash kernel is wanted. It is also wanted if the first load was
// killed.
func wantedIn(dir statedir.Dir) bool {
	_, wanted := dir.Wanted()
	return wanted || dir.Interrupted()
}

func accuracyExit(t *accuracy.Verification) int {
	switch t.Accuracy {
	case accuracy.Accurate:
		return exitOK
	case accuracy.NotLoaded:
		return exitNotLoaded
	case accuracy.Stale:
		return exitStale
	}
	return exitUnknown
}

func (r *statusReport) print(w io.Writer) {
	fmt.Fprintf(w, "crash kernel:  %s\n", loadedWord(r.CrashLoaded))
	switch {
	case r.unarmed():
		fmt.Fprintln(w, r.unarmedLine())
	case r.Noted != nil:
		fmt.Fprintf(w, "               last loaded by gokexec: %s, %s\n", r.Noted.Asked.Kernel.Path, r.Noted.Loaded.Format("2006-01-02 15:04:05 MST"))
	case r.Verification.Foreign:
		fmt.Fprintln(w, "               loaded by another program since gokexec did")
	}
	if r.Armed != nil {
		r.Armed.print(w)
	}
	r.printTruth(w)
	fmt.Fprintf(w, "boot kernel:   %s\n", loadedWord(r.BootLoaded))
	switch {
	case r.MemoryError != "":
		fmt.Fprintf(w, "crash memory:  unknown: %s\n", r.MemoryError)
	case len(r.CrashMemory) == 0:
		fmt.Fprintln(w, "crash memory:  none is reserved (crashkernel=)")
	default:
		fmt.Fprintf(w, "crash memory:  %d MiB\n", r.CrashBytes>>20)
		for _, m := range r.CrashMemory {
			fmt.Fprintf(w, "               %#x-%#x\n", uint64(m.Start), uint64(m.End)-1)
		}
	}
	if r.LastDrill != nil {
		fmt.Fprintf(w, "last drill:    %s\n", r.LastDrill.text())
	}
}

func (r *statusReport) printTruth(w io.Writer) {
	switch t := r.Verification; t.Accuracy {
	case accuracy.NotLoaded:
	case accuracy.Stale:
		fmt.Fprintln(w, "elfcorehdr:    stale: it does not match the machine")
		for _, m := range t.Wrong {
			size := ""
			if m.Start < m.End {
				size = fmt.Sprintf(", %d KiB", memmap.Range{Start: m.Start, End: m.End}.Size()>>10)
			}
			fmt.Fprintf(w, "               %v%s\n", m, size)
		}
	default:
		fmt.Fprintf(w, "elfcorehdr:    %v\n", t)
	}
	if r.Event {
		fmt.Fprintln(w, "hotplug:       memory or CPUs have changed, and the header is not checked yet; gokexec hotplug does that")
	}
	if r.Problem != "" {
		fmt.Fprintf(w, "hotplug:       the last attempt could not repair it: %s\n", r.Problem)
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
