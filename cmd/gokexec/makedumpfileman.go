package main

import (
	"fmt"
	"strings"

	"github.com/gokexec/gokexec/internal/makedumpfilecmd"
)

// makedumpfileRelease is the release of makedumpfile whose command line is taken.
const makedumpfileRelease = "1.7.8"

// makedumpfileVersion has the words of the original's first lines where scripts look for them.
func makedumpfileVersion() string {
	return fmt.Sprintf("makedumpfile: version %s (gokexec %s)\nlzo\tenabled\nsnappy\tenabled\nzstd\tenabled\n\n", makedumpfileRelease, version())
}

// makedumpfileSynopses are the kinds of command lines.
func makedumpfileSynopses() []string {
	return []string{
		"[-c|-l|-p|-z|-E] [-d LEVEL[,LEVEL...]] [OPTION]... VMCORE DUMPFILE",
		"-F [-c|-l|-p|-z|-E] [-d LEVEL] [OPTION]... VMCORE",
		"-R DUMPFILE",
		"--split [-c|-l|-p|-z] [-d LEVEL] [OPTION]... VMCORE DUMPFILE DUMPFILE...",
		"--reassemble DUMPFILE DUMPFILE... DUMPFILE",
		"--dump-dmesg [--partial-dmesg] VMCORE LOGFILE",
		"--mem-usage /proc/kcore",
		"--check-params [OPTION]... VMCORE DUMPFILE",
	}
}

// makedumpfileUsage is the text of --help.
func makedumpfileUsage() string {
	var b strings.Builder
	b.WriteString("\nLZO support:\n  enabled\nsnappy support:\n  enabled\nzstd support:\n  enabled\n\nUsage:\n")
	for _, s := range makedumpfileSynopses() {
		fmt.Fprintf(&b, "  makedumpfile %s\n", s)
	}
	b.WriteString("\nAvailable options:\n")
	for _, o := range makedumpfilecmd.Options() {
		fmt.Fprintf(&b, "  %s\n", makedumpfileSpelling(&o))
		for line := range strings.SplitSeq(wrap(makedumpfileHelp(&o), 70), "\n") {
			fmt.Fprintf(&b, "      %s\n", line)
		}
	}
	b.WriteString("\n")
	return b.String()
}

func makedumpfileSpelling(o *makedumpfilecmd.Option) string {
	s := o.Spelling()
	if o.Letter != 0 && o.Name != "" {
		s += ", --" + o.Name
	}
	if o.Value != "" {
		s += " " + o.Value
	}
	return s
}

// makedumpfileHelp explains an option, and says so if gokexec does not support it.
func makedumpfileHelp(o *makedumpfilecmd.Option) string {
	for _, u := range makedumpfilecmd.Unsupported() {
		if u.Option == o.Spelling() {
			if u.Refused {
				return o.Help + " (not supported)"
			}
			return o.Help + " (accepted without effect)"
		}
	}
	return o.Help
}

func makedumpfileExits() []exitCode {
	return []exitCode{
		{makedumpfilecmd.ExitOK, "all went well"},
		{makedumpfilecmd.ExitFailed, "the command line is wrong, VMCORE can't be read, or DUMPFILE can't be written; what was written of a dump can be read, and says that it is incomplete"},
		{makedumpfilecmd.ExitOtherKernel, "the file of -i is about another kernel than VMCORE"},
		{makedumpfilecmd.ExitUnsupported, "an option is not supported by gokexec"},
	}
}

// makedumpfileMan is makedumpfile(8), made from the tables by which command lines are read.
func makedumpfileMan() string {
	var b strings.Builder
	manHead(&b, "MAKEDUMPFILE", makedumpfileName, "save the memory of a crashed kernel, filtered and compressed; gokexec in place of makedumpfile")
	b.WriteString(".SH SYNOPSIS\n")
	for _, s := range makedumpfileSynopses() {
		fmt.Fprintf(&b, ".B makedumpfile\n%s\n.br\n", roff(s))
	}
	b.WriteString(".B gokexec makedumpfile\n" + roff("...") + "\n.SH DESCRIPTION\n")
	manParagraphs(&b, []string{
		"Under the name makedumpfile, gokexec takes the command line of makedumpfile " + makedumpfileRelease + ". The exit codes 0 to 2 are the same, and so are the messages that scripts read. gokexec-dump(8) does the same with a command line of its own.",
		"VMCORE is /proc/vmcore in the capture kernel, or a saved dump: ELF, in makedumpfile's compressed format, or flattened. DUMPFILE is written in the compressed format, or as an ELF core (-E); it must not exist, except with -f. What it leaves out of the memory is said by the dump level (-d).",
		"Which pages are which is told by the dump itself: its VMCOREINFO and the kernel's page tables. Debug information is not needed.",
		"Messages go to the standard output, errors and the progress to the standard error; with -F all of them go to the standard error.",
	})
	b.WriteString(".SH OPTIONS\n")
	for _, o := range makedumpfilecmd.Options() {
		fmt.Fprintf(&b, ".TP\n\\fB%s\\fR\n%s\n", roff(makedumpfileSpelling(&o)), roff(makedumpfileHelp(&o)+"."))
	}
	manExits(&b, makedumpfileExits())
	b.WriteString(".SH NOT SUPPORTED\n")
	for _, u := range makedumpfilecmd.Unsupported() {
		manUnsupported(&b, u.Option, u.Refused, u.Why)
	}
	b.WriteString(".SH DIFFERENCES\n" + roff("What gokexec does differently from makedumpfile, on purpose.") + "\n")
	for _, d := range makedumpfilecmd.Differences() {
		manDifference(&b, d.When, "makedumpfile", d.Original, d.Here)
	}
	b.WriteString(".SH SEE ALSO\n.BR gokexec (8),\n.BR gokexec\\-dump (8),\n.BR crash (8)\n")
	return b.String()
}
