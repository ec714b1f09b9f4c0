package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/pkg/capture"
	"github.com/gokexec/gokexec/pkg/initramfs"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/plan"
)

// shellTool finds a shell; its absence is a skip unless the tests' machine is to
// have all.
func shellTool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("GOKEXEC_VM_REQUIRED") == "1" {
			t.Fatal(err)
		}
		t.Skipf("SKIPPED: %v", err)
	}
	return path
}

func writeCompletions(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	b := newBench(t)
	if code := b.run("help", "--completions", dir); code != exitOK {
		t.Fatalf("help --completions = %d: %s", code, &b.stderr)
	}
	return dir
}

func TestCompletionBash(t *testing.T) {
	bash, dir := shellTool(t, "bash"), writeCompletions(t)
	if err := os.WriteFile(filepath.Join(dir, "vmlinuz-6.12"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		line []string // the words as the shell parts them; the last is completed
		want []string // some of what is offered
		not  []string
	}{
		{"command", []string{"gokexec", "lo"}, []string{"load"}, []string{"unload"}},
		{"all commands", []string{"gokexec", ""}, []string{"load", "hotplug", "capture", "help", "version"}, nil},
		{"option", []string{"gokexec", "load", "--me"}, []string{"--method"}, []string{"--crash"}},
		{"other command's option", []string{"gokexec", "status", "-"}, []string{"--json", "--help", "-h"}, []string{"--method"}},
		{"value", []string{"gokexec", "load", "--method", "s"}, []string{"segments"}, []string{"auto"}},
		{"value behind equals", []string{"gokexec", "load", "--method", "=", "f"}, []string{"file"}, []string{"auto"}},
		{"value at equals", []string{"gokexec", "load", "--method", "="}, []string{"auto", "file", "segments"}, nil},
		{"letter's value", []string{"gokexec", "initramfs", "-o", "vmlinuz-"}, []string{"vmlinuz-6.12"}, nil},
		{"text", []string{"gokexec", "load", "--append", ""}, nil, []string{"vmlinuz-6.12"}},
		{"kernel", []string{"gokexec", "load", "--crash", "vml"}, []string{"vmlinuz-6.12"}, nil},
		{"sets", []string{"gokexec", "initramfs", "--set", "nv"}, []string{"nvme"}, []string{"sd"}},
		{"target", []string{"gokexec", "capture", "raw"}, []string{"raw:/dev/"}, []string{"fs:/dev/"}},
		{"target's file", []string{"gokexec", "capture", "raw", ":", "/dev/nul"}, []string{"/dev/null"}, nil},
		{"subcommand", []string{"gokexec", "elfcorehdr", "s"}, []string{"show"}, []string{"build"}},
		{"help", []string{"gokexec", "help", "dm"}, []string{"dmesg"}, []string{"load"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			// compopt works only while a completion is under way.
			const script = `compopt() { :; }; source ./gokexec; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _gokexec; printf '%s\n' "${COMPREPLY[@]}"`
			cmd := exec.Command(bash, append([]string{"--norc", "-u", "-c", script, "bash"}, tt.line...)...)
			cmd.Dir = dir
			out, err := cmd.CombinedOutput()
			got := strings.Split(strings.TrimSpace(string(out)), "\n")
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			for _, w := range tt.want {
				if !slices.Contains(got, w) {
					t.Errorf("completion of %q = %q; want %q in it", tt.line, got, w)
				}
			}
			for _, w := range tt.not {
				if slices.Contains(got, w) {
					t.Errorf("completion of %q = %q; want no %q in it", tt.line, got, w)
				}
			}
		})
	}
}

func TestCompletionFish(t *testing.T) {
	fish, dir := shellTool(t, "fish"), writeCompletions(t)
	for line, want := range map[string]string{
		"gokexec unl":              "unload",
		"gokexec load --meth":      "--method",
		"gokexec load --method s":  "segments",
		"gokexec capture raw":      "raw:/dev/",
		"gokexec elfcorehdr bui":   "build",
		"gokexec help dm":          "dmesg",
		"gokexec initramfs -o gok": "gokexec.fish",
	} {
		cmd := exec.Command(fish, "--no-config", "-c", "source gokexec.fish; complete -C $argv[1]", line)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains("\n"+string(out), "\n"+want) {
			t.Errorf("completion of %q = %q, %v; want %q", line, out, err, want)
		}
	}
}

// A zsh with its completion system takes the file, and the function runs.
func TestCompletionZsh(t *testing.T) {
	zsh, dir := shellTool(t, "zsh"), writeCompletions(t)
	// The functions that would talk to the line editor say what they were asked.
	const script = `
_arguments() { print -rl -- "$@"; state=arguments }
_describe() { print -rl -- ${(P)2} }
_files() { print files }
words=(gokexec load); source ./_gokexec; words=(load); _gokexec
_gokexec_commands`
	cmd := exec.Command(zsh, "-f", "-c", script)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, want := range []string{"*--method=[METHOD of loading\\: auto, file or segments]:METHOD:(auto file segments)", "*--initrd=[FILE with the initramfs]:FILE:_files", "elfcorehdr:", "help:explain a command"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("what zsh is told lacks %q:\n%s", want, out)
		}
	}
	if out, err := exec.Command(zsh, "-n", filepath.Join(dir, "_gokexec")).CombinedOutput(); err != nil {
		t.Errorf("zsh -n: %v: %s", err, out)
	}
}

// What is offered is taken by the program, and every value has been thought of.
func TestCompletionWords(t *testing.T) {
	used := map[string]bool{}
	for _, s := range completionSpecs() {
		for _, o := range s.options {
			for _, w := range o.value.words {
				used[o.long] = true
				if err := parseOptionWord(t, s.name, o.long, w); err != nil {
					t.Errorf("%s --%s %s is offered, but: %v", s.name, o.long, w, err)
				}
			}
		}
	}
	for _, o := range optionWords {
		if !used[o.option] {
			t.Errorf("optionWords has %q, which is no command's option", o.option)
		}
	}
	for _, name := range []string{"compress", "format", "dump-level"} {
		if !used[name] {
			t.Errorf("nothing is offered for --%s", name)
		}
	}
	if parseOptionWord(t, "capture", "format", "flattened") == nil || parseOptionWord(t, "dump", "format", "flattened") != nil {
		t.Error("the test doesn't tell the formats of capture from those of dump")
	}
}

// parseOptionWord has the program take a value of a command's option.
func parseOptionWord(t *testing.T, command, name, word string) error {
	var err error
	switch name {
	case "compress", "format", "dump-level":
		return parseFormWord(t, command, name, word)
	case "method", "reload-method":
		err = new(plan.Method).UnmarshalText([]byte(word))
	case "hotplug":
		err = new(plan.Hotplug).UnmarshalText([]byte(word))
	case "compression":
		_, err = initramfs.ParseCompression(word)
	case "arch":
		_, err = machine.ArchByName(word)
	case "serial":
		_, err = plan.ParseSerial(word)
	case "final-action", "failure-action":
		cfg := capture.Config{FinalAction: capture.Action(word), FailureAction: capture.Action(word)}
		cfg.Targets = []capture.Target{{Type: capture.TargetRaw, Device: "/dev/null"}}
		err = cfg.ValidateInit()
	}
	return err
}

// parseFormWord is parseOptionWord for the form of a dump.
func parseFormWord(t *testing.T, command, name, word string) error {
	if command == "dump" { // of nothing, which is told after what is wrong with the options
		b := newBench(t)
		if b.run("dump", "--"+name, word); !strings.Contains(b.stderr.String(), "no SOURCE") {
			return errors.New(b.stderr.String())
		}
		return nil
	}
	var o formOptions
	*map[string]*string{"compress": &o.compress, "format": &o.format, "dump-level": &o.level}[name] = word
	cfg := capture.Config{Targets: []capture.Target{{Type: capture.TargetRaw, Device: "/dev/null"}}}
	o.apply(&cfg)
	return cfg.Validate()
}
