package main

import (
	"fmt"
	"runtime/debug"
	"strings"

	"github.com/spf13/pflag"

	"github.com/gokexec/gokexec/internal/early"
)

// version names the release, or says that there is none.
func version() string {
	v := early.Release()
	if v == "" {
		if info, ok := debug.ReadBuildInfo(); ok {
			v = info.Main.Version
		}
	}
	if v == "" || v == "(devel)" {
		v = "development version"
	}
	return early.Version(v)
}

// versionLine is what gokexec version prints.
func versionLine() string { return fmt.Sprintln("gokexec", version()) }

func overview() string {
	var b strings.Builder
	b.WriteString("gokexec loads crash kernels, and saves the memory of a crashed kernel.\n\nusage: gokexec COMMAND [OPTIONS] [ARGUMENTS]\n\n")
	for _, c := range commands() {
		fmt.Fprintf(&b, "  %-12s %s\n", c.name, c.short)
	}
	for _, p := range programs() {
		fmt.Fprintf(&b, "  %-12s %s\n", p.name, p.short)
	}
	fmt.Fprintf(&b, "  %-12s %s\n", "version", "print the version")
	fmt.Fprintf(&b, "  %-12s %s\n", "help", "explain a command: gokexec help COMMAND")
	return b.String()
}

func help(e *env, args []string) int {
	if len(args) == 0 {
		fmt.Fprint(e.stdout, overview())
		return exitOK
	}
	if args[0] == "--man" {
		return manPages(e, args[1:])
	}
	if p := findProgram(args[0]); p != nil {
		return p.help(e)
	}
	if args[0] == "--completions" {
		return completions(e, args[1:])
	}
	for _, c := range commands() {
		if c.name == args[0] {
			fmt.Fprint(e.stdout, c.help())
			return exitOK
		}
	}
	fmt.Fprintf(e.stderr, "gokexec: there is no command %q\nhint: gokexec help lists them\n", args[0])
	return exitUsage
}

func (c *command) flagSet() *pflag.FlagSet {
	flags := pflag.NewFlagSet(c.name, pflag.ContinueOnError)
	flags.SortFlags = false
	c.setup(flags)
	return flags
}

func (c *command) synopsis() string {
	return strings.TrimRight("gokexec "+c.name+" [OPTIONS] "+c.args, " ")
}

func (c *command) help() string {
	var b strings.Builder
	fmt.Fprintf(&b, "gokexec %s: %s\n\nusage: %s\n\n%s\n\noptions:\n%s", c.name, c.short, c.synopsis(), wrap(c.long, 78), c.flagSet().FlagUsagesWrapped(78))
	b.WriteString("\nexit codes:\n")
	for _, x := range c.exitCodes() {
		fmt.Fprintf(&b, "  %-3d %s\n", x.code, x.meaning)
	}
	return b.String()
}

func (c *command) exitCodes() []exitCode {
	all := []exitCode{{exitOK, "all went well"}, {exitFailure, "it failed; one line on stderr says why, a second what to do"}, {exitUsage, "the command line is wrong"}}
	for _, x := range c.exits {
		replaced := false
		for i := range all {
			if all[i].code == x.code {
				all[i], replaced = x, true
			}
		}
		if !replaced {
			all = append(all, x)
		}
	}
	return all
}

// wrap fills paragraphs, parted by blank lines, to width columns.
func wrap(text string, width int) string {
	var out []string
	for _, paragraph := range strings.Split(strings.TrimSpace(text), "\n\n") {
		line := ""
		var lines []string
		for _, word := range strings.Fields(paragraph) {
			if line != "" && len(line)+1+len(word) > width {
				lines = append(lines, line)
				line = ""
			}
			if line != "" {
				line += " "
			}
			line += word
		}
		out = append(out, strings.Join(append(lines, line), "\n"))
	}
	return strings.Join(out, "\n\n")
}
