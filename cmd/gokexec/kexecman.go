package main

import (
	"fmt"
	"strings"

	"github.com/gokexec/gokexec/internal/kexeccmd"
)

// kexecMan is kexec(8), made from the tables by which command lines are read.
func kexecMan() string {
	var b strings.Builder
	manHead(&b, "KEXEC", kexecName, "load another kernel and boot it directly; gokexec in place of kexec-tools")
	b.WriteString(".SH SYNOPSIS\n.B kexec\n[options] [kernel]\n.PP\n.B gokexec kexec\n[options] [kernel]\n.SH DESCRIPTION\n")
	paragraphs := []string{
		"Under the name kexec, gokexec takes the command line of kexec-tools " + kexecToolsVersion + " and of its later development: options in any order, before or after the kernel, several letters in one word, long options abbreviated as long as they stay unambiguous. Exit codes and messages are the same; a line that begins with hint: may follow.",
		"-l loads a kernel that -e boots; -p loads one that a panic boots. -u unloads the former; with -p before it, the latter. Without any of these the kernel is loaded, and shutdown(8) is called to reboot. The order matters: -p -u unloads, -u -p unloads and then loads.",
		"The new kernel gets exactly the command line that is given: unlike gokexec load, kexec does not add what a capture kernel needs. With kexec_load, the address of the elfcorehdr is put before it.",
		"gokexec keeps what kexec loads accurate, too: see gokexec-status(8), gokexec-reload(8) and gokexec-hotplug(8).",
	}
	manParagraphs(&b, paragraphs)
	b.WriteString(".SH OPTIONS\n")
	manOptions(&b)
	manExits(&b, kexecExits())
	b.WriteString(".SH NOT SUPPORTED\n")
	for _, u := range kexeccmd.Unsupported() {
		manUnsupported(&b, "--"+u.Option, u.Refused, u.Why)
	}
	b.WriteString(".SH DIFFERENCES\n" + roff("What gokexec does differently from kexec-tools, on purpose.") + "\n")
	for _, d := range kexeccmd.Differences() {
		manDifference(&b, d.When, "kexec-tools", d.Original, d.Here)
	}
	b.WriteString(".SH SEE ALSO\n.BR gokexec (8),\n.BR gokexec\\-load (8)\n")
	return b.String()
}

// manOptions lists every option once, with the architectures that have it where not
// all do.
func manOptions(b *strings.Builder) {
	var order []kexeccmd.Option
	arches := map[string][]string{}
	for _, arch := range kexeccmd.Arches() {
		options, err := kexeccmd.Options(arch)
		if err != nil {
			continue // Arches lists those that have options
		}
		for _, o := range options {
			if arches[o.Name] == nil {
				order = append(order, o)
			}
			arches[o.Name] = append(arches[o.Name], arch)
		}
	}
	for _, o := range order {
		name := "--" + o.Name
		if o.Letter != 0 {
			name = fmt.Sprintf("-%c, %s", o.Letter, name)
		}
		value := ""
		if o.Value != "" {
			value = "=\\fI" + roff(o.Value) + "\\fR"
		}
		only := ""
		if len(arches[o.Name]) < len(kexeccmd.Arches()) {
			only = " (" + strings.Join(arches[o.Name], ", ") + ")"
		}
		fmt.Fprintf(b, ".TP\n\\fB%s\\fR%s\n%s\n", roff(name), value, roff(o.Help+only))
	}
}

func kexecExits() []exitCode {
	return []exitCode{
		{kexeccmd.ExitOK, "all went well; with -S: nothing is loaded"},
		{kexeccmd.ExitUsage, "the command line is wrong, a file can't be read, no memory is reserved for a crash kernel, or there is no room; with -S: a kernel is loaded"},
		{kexeccmd.ExitNoFileLoad, "with -s: the kernel has no kexec_file_load, or does not take the image"},
		{kexeccmd.ExitFailed, "the image can't be loaded, the system call failed, or no kernel is given; with -S: the kernel does not tell"},
	}
}
