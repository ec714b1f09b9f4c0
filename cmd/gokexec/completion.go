package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/gokexec/gokexec/pkg/kmod"
	"github.com/gokexec/gokexec/pkg/machine"
)

// completionFiles are the scripts by their names in the directories of the shells.
func completionFiles() map[string]string {
	specs := completionSpecs()
	return map[string]string{
		"gokexec":      bashCompletion(specs), // bash-completion finds it by the command's name
		"_gokexec":     zshCompletion(specs),  // zsh by the function's
		"gokexec.fish": fishCompletion(specs),
	}
}

// completions writes the shells' scripts into a directory.
func completions(e *env, args []string) int {
	if len(args) != 1 {
		fmt.Fprintln(e.stderr, "gokexec: help --completions takes the directory for the scripts")
		return exitUsage
	}
	for name, text := range completionFiles() {
		if err := e.writeText(filepath.Join(args[0], name), text); err != nil {
			return e.finish("help", err)
		}
	}
	return exitOK
}

// completionSpec describes a command to the shells.
type completionSpec struct {
	name, short string
	options     []completionOption
	words       []string // a positional argument's, if there are any
	files       bool     // positional arguments are files
}

type completionOption struct {
	long, letter, usage string
	takesValue          bool
	value               completionValue
}

// completionValue is what may follow an option: words, files, directories, or
// something that the shell cannot know.
type completionValue struct {
	words       []string
	files, dirs bool
	name        string // in the usage: FILE, METHOD
}

// optionWords are the values that an option takes one of, where no package lists them.
var optionWords = []struct {
	option string
	words  []string
}{
	{"method", []string{"auto", "file", "segments"}},
	{"reload-method", []string{"auto", "file", "segments"}},
	{"hotplug", []string{"auto", "on", "off"}},
	{"dump-level", []string{"31", "1,31", "25", "17", "1", "0"}},
	{"compression", []string{"auto", "none", "gzip", "xz", "zstd", "lz4"}},
	{"final-action", []string{"reboot", "poweroff", "halt", "shell"}},
	{"failure-action", []string{"reboot", "poweroff", "halt", "shell"}},
	{"fstype", []string{"ext4", "xfs", "btrfs", "vfat"}},
	{"serial", []string{"ttyS0", "ttyS1", "ttyS2", "ttyS3"}},
}

func completionSpecs() []completionSpec {
	var specs []completionSpec
	for _, c := range commands() {
		spec := completionSpec{name: c.name, short: c.short}
		c.flagSet().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden {
				spec.options = append(spec.options, newCompletionOption(c.name, f))
			}
		})
		spec.options = append(spec.options, completionOption{long: "help", letter: "h", usage: "explain the command"})
		switch {
		case strings.Contains(c.args, "TARGET"):
			spec.words = []string{"fs:UUID=", "fs:LABEL=", "fs:/dev/", "raw:PARTUUID=", "raw:/dev/"}
		case strings.Contains(c.args, "build|show"):
			spec.words, spec.files = []string{"build", "show"}, true
		default:
			spec.files = c.args != ""
		}
		specs = append(specs, spec)
	}
	return specs
}

func newCompletionOption(command string, f *pflag.Flag) completionOption {
	kind, usage := pflag.UnquoteUsage(f)
	o := completionOption{long: f.Name, letter: f.Shorthand, usage: usage, takesValue: f.NoOptDefVal == ""}
	if !o.takesValue {
		return o
	}
	o.value = completionValue{name: kind}
	for _, w := range optionWords {
		if w.option == f.Name {
			o.value.words = w.words
		}
	}
	switch {
	case f.Name == "set":
		o.value.words = kmod.SetNames()
	case f.Name == "compress":
		o.value.words = codecNames()
	case f.Name == "format" && command == "dump":
		o.value.words = dumpFormats
	case f.Name == "format":
		o.value.words = captureFormats()
	case f.Name == "arch":
		o.value.words = machine.Names()
	case strings.HasPrefix(kind, "FILE"):
		o.value.files = true
	case kind == "DIR":
		o.value.dirs = true
	}
	return o
}

// words lists the options as they are typed.
func (o completionOption) words() []string {
	if o.letter == "" {
		return []string{"--" + o.long}
	}
	return []string{"-" + o.letter, "--" + o.long}
}

func commandNames(specs []completionSpec) []string {
	var names []string
	for _, s := range specs {
		names = append(names, s.name)
	}
	return append(names, "version", "help")
}

func bashCompletion(specs []completionSpec) string {
	var b strings.Builder
	b.WriteString(`# bash completion for gokexec; made by gokexec help --completions
# shellcheck shell=bash

_gokexec_reply() { # compgen's arguments
	mapfile -t COMPREPLY < <(compgen "$@")
}

_gokexec_files() { # -f or -d
	compopt -o filenames
	_gokexec_reply "$1" -- "$cur"
}

_gokexec() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} option command=${COMP_WORDS[1]}
	COMPREPLY=()
	if ((COMP_CWORD == 1)); then
`)
	fmt.Fprintf(&b, "\t\t_gokexec_reply -W '%s' -- \"$cur\"\n\t\treturn\n\tfi\n", strings.Join(commandNames(specs), " "))
	b.WriteString(`	# The shell parts --option=value into three words.
	option=$prev
	if [[ $cur == "=" ]]; then
		option=$prev cur=
	elif [[ $prev == "=" ]]; then
		option=${COMP_WORDS[COMP_CWORD - 2]}
	fi
	case "$command $option" in
`)
	for _, s := range specs {
		for _, o := range s.options {
			if o.takesValue {
				bashCase(&b, s, o)
			}
		}
	}
	b.WriteString("\tesac\n\tcase $command in\n")
	for _, s := range specs {
		bashCommand(&b, s)
	}
	fmt.Fprintf(&b, "\thelp) _gokexec_reply -W '%s' -- \"$cur\" ;;\n\tesac\n}\n\ncomplete -F _gokexec gokexec\n", strings.Join(commandNames(specs), " "))
	return b.String()
}

// bashCase completes an option's value.
func bashCase(b *strings.Builder, s completionSpec, o completionOption) {
	var patterns []string
	for _, word := range o.words() {
		patterns = append(patterns, fmt.Sprintf("'%s %s'", s.name, word))
	}
	fmt.Fprintf(b, "\t%s)\n", strings.Join(patterns, " | "))
	switch {
	case len(o.value.words) > 0:
		fmt.Fprintf(b, "\t\t_gokexec_reply -W '%s' -- \"$cur\"\n", strings.Join(o.value.words, " "))
	case o.value.files:
		b.WriteString("\t\t_gokexec_files -f\n")
	case o.value.dirs:
		b.WriteString("\t\t_gokexec_files -d\n")
	}
	b.WriteString("\t\treturn\n\t\t;;\n")
}

// bashCommand completes options and positional arguments.
func bashCommand(b *strings.Builder, s completionSpec) {
	var options []string
	for _, o := range s.options {
		options = append(options, o.words()...)
	}
	fmt.Fprintf(b, "\t%s)\n\t\tif [[ $cur == -* ]]; then\n\t\t\t_gokexec_reply -W '%s' -- \"$cur\"\n", s.name, strings.Join(options, " "))
	targets := slices.Contains(s.words, "raw:/dev/")
	if targets {
		// The shell parts at colons and equals signs too.
		b.WriteString("\t\telif [[ $prev == : || $cur == : ]]; then\n\t\t\t[[ $cur != : ]] || cur=\n\t\t\t_gokexec_files -f\n" +
			"\t\telif [[ $prev == \"=\" || $cur == \"=\" ]]; then\n\t\t\treturn\n")
	}
	switch {
	case len(s.words) > 0 && s.files:
		fmt.Fprintf(b, "\t\telif [[ $prev == \"$command\" ]]; then\n\t\t\t_gokexec_reply -W '%s' -- \"$cur\"\n\t\telse\n\t\t\t_gokexec_files -f\n", strings.Join(s.words, " "))
	case len(s.words) > 0:
		fmt.Fprintf(b, "\t\telse\n\t\t\tcompopt -o nospace\n\t\t\t_gokexec_reply -W '%s' -- \"$cur\"\n", strings.Join(s.words, " "))
	case s.files:
		b.WriteString("\t\telse\n\t\t\t_gokexec_files -f\n")
	}
	b.WriteString("\t\tfi\n\t\t;;\n")
}
