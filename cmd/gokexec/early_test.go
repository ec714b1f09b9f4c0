package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/pkg/statedir"
)

const earlyRelease = "v9.8.7"

// builtTwice is a release of gokexec. By the second name the same file is no gokexec to
// internal/early: main does it all.
func builtTwice(t *testing.T) (early, normal string) {
	t.Helper()
	dir := t.TempDir()
	early, normal = filepath.Join(dir, "gokexec"), filepath.Join(dir, "gokexec-normal")
	build := exec.CommandContext(t.Context(), "go", "build", "-ldflags", "-X github.com/gokexec/gokexec/internal/early.release="+earlyRelease, "-o", early, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := os.Link(early, normal); err != nil {
		t.Fatal(err)
	}
	return early, normal
}

// initialised lists the packages that a process has initialised.
func initialised(t *testing.T, cmd *exec.Cmd) (packages []string, stdout string) {
	t.Helper()
	var trace, out bytes.Buffer
	cmd.Env = append(os.Environ(), "GODEBUG=inittrace=1")
	cmd.Stdout, cmd.Stderr = &out, &trace
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %v: %s", cmd.Args, err, trace.Bytes())
	}
	for line := range strings.Lines(trace.String()) {
		var name string
		if _, err := fmt.Sscanf(line, "init %s @", &name); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		packages = append(packages, name)
	}
	return packages, out.String()
}

// gokexec version ends before the packages of others are initialised: their tables are most of what a start
// costs. klauspost's cpuinfo imports nothing, not even the runtime, so it comes before all that imports it.
func TestVersionEndsEarly(t *testing.T) {
	early, normal := builtTwice(t)
	want := "gokexec " + earlyRelease + " ("
	for _, word := range []string{"version", "--version", "-V"} {
		packages, out := initialised(t, exec.CommandContext(t.Context(), early, word))
		if !strings.HasPrefix(out, want) || strings.Count(out, "\n") != 1 {
			t.Errorf("%s prints %q", word, out)
		}
		if len(packages) < 3 {
			t.Fatalf("%s initialises %q; want the runtime at least", word, packages)
		}
		for _, name := range packages {
			if name == "github.com/klauspost/compress/internal/cpuinfo" {
				continue
			}
			if first, _, _ := strings.Cut(name, "/"); strings.Contains(first, ".") || name == "main" || name == "unicode" || name == "reflect" {
				t.Errorf("%s initialises %s, which internal/early does not need", word, name)
			}
		}
		all, same := initialised(t, exec.CommandContext(t.Context(), normal, word))
		if same != out || len(all) < 2*len(packages) {
			t.Errorf("%s: main prints %q after %d packages; want %q, and more than %d packages", word, same, len(all), out, 2*len(packages))
		}
	}
}

// result is how a process ended.
type result struct {
	out, errs string
	end       syscall.WaitStatus
}

func resultOf(t *testing.T, cmd *exec.Cmd) result {
	t.Helper()
	var out, errs bytes.Buffer
	if cmd.Stdout == nil {
		cmd.Stdout = &out
	}
	cmd.Stderr = &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%v: %v", cmd.Args, err)
	}
	return result{out.String(), errs.String(), cmd.ProcessState.Sys().(syscall.WaitStatus)}
}

// What can't be done early, and what is not for internal/early, main does: the process ends as if there were no
// internal/early.
func TestEarlyEndsAsMain(t *testing.T) {
	early, normal := builtTwice(t)
	shell := func(script, program string) *exec.Cmd {
		return exec.CommandContext(t.Context(), "sh", "-c", script, "sh", program)
	}
	for _, tt := range []struct {
		script string
		code   int
		errs   string // on stderr
	}{
		{`exec "$1" version`, exitOK, ""},
		{`exec "$1" version further words`, exitOK, ""},
		{`exec "$1" version >/dev/full`, exitFailure, "no space left"},
		{`exec "$1" version >&-`, exitOK, ""}, // Go's runtime opens /dev/null
		{`exec "$1" version </dev/null 1</dev/null`, exitFailure, "bad file descriptor"},
		{`exec "$1" Version`, exitUsage, "there is no command"},
		{`exec "$1" hotplug --hand-over`, exitUsage, "needs an argument"},
		{`exec "$1" hotplug --hand-over unit further`, exitUsage, "unexpected argument"},
		{`exec "$1" hotplug further`, exitUsage, "unexpected argument"},
	} {
		got, want := resultOf(t, shell(tt.script, early)), resultOf(t, shell(tt.script, normal))
		if got != want {
			t.Errorf("%s: %+v; main: %+v", tt.script, got, want)
		}
		if got.end.ExitStatus() != tt.code || !strings.Contains(got.errs, tt.errs) || tt.errs == "" && got.errs != "" {
			t.Errorf("%s: exit code %d, stderr %q; want %d, %q", tt.script, got.end.ExitStatus(), got.errs, tt.code, tt.errs)
		}
	}
	var ends []result
	for _, program := range []string{early, normal} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		cmd := exec.CommandContext(t.Context(), program, "version")
		cmd.Stdout = w
		ends = append(ends, resultOf(t, cmd))
		w.Close()
	}
	if ends[0] != ends[1] || ends[0].end.Signal() != unix.SIGPIPE {
		t.Errorf("version to a pipe without a reader: %+v; main: %+v; want SIGPIPE", ends[0], ends[1])
	}
	// The line is that of gokexec version in the process, apart from the release.
	var out bytes.Buffer
	e := &env{stdout: &out, stderr: &out}
	if code := run(context.Background(), e, []string{"version"}); code != exitOK {
		t.Errorf("version: %d", code)
	}
	got := resultOf(t, exec.CommandContext(t.Context(), early, "version")).out
	if _, build, _ := strings.Cut(out.String(), " ("); got != "gokexec "+earlyRelease+" ("+build {
		t.Errorf("version prints %q early, %q in main", got, out.String())
	}
}

// inOwnRun runs a script with the program as $1 where /run is empty and this test's: dir.
func inOwnRun(t *testing.T, dir, program, script string) result {
	t.Helper()
	c := exec.CommandContext(t.Context(), "sh", "-c", `mount --bind "$2" /run || exit 77; `+script, "sh", program, dir)
	c.SysProcAttr = namespaces(unix.CLONE_NEWNS)
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	err := c.Run()
	if c.ProcessState == nil || c.ProcessState.ExitCode() == 77 {
		t.Skipf("no mount namespaces here: %v: %s", err, errs.String())
	}
	return result{out.String(), errs.String(), c.ProcessState.Sys().(syscall.WaitStatus)}
}

// files is what is in a directory, with the sizes.
func filesOf(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&all, "%s %v %d\n", e.Name(), info.Mode(), info.Size())
	}
	return all.String()
}

// eventCalls is how the udev rule and the unit of an event call gokexec.
func eventCalls(t *testing.T) []string {
	t.Helper()
	var calls []string
	for _, name := range []string{"udev/60-gokexec.rules", "systemd/gokexec-hotplug-event@.service"} {
		text, err := os.ReadFile("../../dist/" + name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`@SBINDIR@/gokexec ([^"\n]+)`).FindAllSubmatch(text, -1) {
			calls = append(calls, strings.ReplaceAll(string(m[1]), "$env{SEQNUM}", "7"))
		}
	}
	slices.Sort(calls)
	if calls = slices.Compact(calls); len(calls) != 2 {
		t.Fatalf("events are handled by %q; want one call with systemd, and one without", calls)
	}
	return calls
}

// An event that another process will handle: there is a mark, and nothing else has happened.
func TestCoalescedEventEndsEarly(t *testing.T) {
	early, normal := builtTwice(t)
	for _, call := range eventCalls(t) {
		var left []string
		for _, program := range []string{early, normal} {
			run := t.TempDir()
			state := statedir.Dir(filepath.Join(run, "gokexec"))
			if err := state.Mark(); err != nil { // an earlier event; it makes the directory
				t.Fatal(err)
			}
			other, err := state.TryPending()
			if err != nil || other == nil {
				t.Fatal(other, err)
			}
			got := inOwnRun(t, run, program, `GODEBUG=inittrace=1 exec "$1" `+call)
			if err := other.Release(); err != nil {
				t.Fatal(err)
			}
			if got.end.ExitStatus() != exitOK || got.out != "" {
				t.Errorf("%s %s: exit code %d, stdout %q", filepath.Base(program), call, got.end.ExitStatus(), got.out)
			}
			if ended := !strings.Contains(got.errs, "init main @"); ended != (program == early) {
				t.Errorf("%s %s ended before main is initialised: %v", filepath.Base(program), call, ended)
			}
			for line := range strings.Lines(got.errs) {
				if !strings.HasPrefix(line, "init ") {
					t.Errorf("%s %s says %q", filepath.Base(program), call, line)
				}
			}
			if size := state.MarkSize(); size != 2 {
				t.Errorf("%s %s: %d events are marked; want 2", filepath.Base(program), call, size)
			}
			left = append(left, filesOf(t, string(state)))
		}
		if left[0] != left[1] {
			t.Errorf("%s leaves\n%s; main\n%s", call, left[0], left[1])
		}
	}
}

// An event that no other process handles, or of which nothing can be noted, is main's.
func TestOtherEventIsNotEarly(t *testing.T) {
	early, normal := builtTwice(t)
	for _, tt := range []struct {
		name, script string
		errs         string // on stderr
	}{
		// No systemctl is found, and no kernel log.
		{"no other process", `mount -t tmpfs none /dev && PATH=/nonexistent exec "$1" hotplug --hand-over unit`, "a hotplug event is not handled: systemctl start unit"},
		{"no directory", `: >/run/gokexec && mount -t tmpfs none /dev && PATH=/nonexistent exec "$1" hotplug --hand-over unit`, "an event can't be marked"},
	} {
		var ends []result
		for _, program := range []string{early, normal} {
			got := inOwnRun(t, t.TempDir(), program, tt.script)
			if got.end.ExitStatus() != exitFailure || !strings.Contains(got.errs, tt.errs) {
				t.Errorf("%s, %s: exit code %d, stderr %q; want %q", tt.name, filepath.Base(program), got.end.ExitStatus(), got.errs, tt.errs)
			}
			ends = append(ends, got)
		}
		if ends[0] != ends[1] {
			t.Errorf("%s: %+v; main: %+v", tt.name, ends[0], ends[1])
		}
	}
}
