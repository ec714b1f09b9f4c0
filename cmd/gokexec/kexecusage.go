package main

import (
	"fmt"
	"strings"

	"github.com/gokexec/gokexec/internal/kexeccmd"
)

// kexecToolsVersion is the release of kexec-tools whose command line is taken.
const kexecToolsVersion = "2.0.32"

// kexecVersion has kexec-tools' name and version as its first two words: scripts
// compare them.
func kexecVersion() string {
	return fmt.Sprintf("kexec-tools %s (gokexec %s)", kexecToolsVersion, version())
}

// printUsage goes to stdout, as kexec-tools' does even for a wrong command line.
func (k *kexecRun) printUsage() {
	options, err := kexeccmd.Options(k.arch.Name)
	if err != nil {
		fmt.Fprintln(k.stderr, err)
		return
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s\nUsage: kexec [OPTION]... [kernel]\nBoot straight into another kernel, or load one for a panic.\n\n", kexecVersion())
	for _, o := range options {
		lines := strings.Split(wrap(o.Help, 46), "\n")
		fmt.Fprintf(&b, " %-30s  %s\n", optionSpelling(o), lines[0])
		for _, line := range lines[1:] {
			fmt.Fprintf(&b, " %-30s  %s\n", "", line)
		}
	}
	fmt.Fprintf(&b, "\nSupported kernel file types: %s\n", strings.Join(kexeccmd.Types(k.arch.Name), ", "))
	fmt.Fprint(k.stdout, b.String())
}

func optionSpelling(o kexeccmd.Option) string {
	s := "    --" + o.Name
	if o.Letter != 0 {
		s = fmt.Sprintf("-%c, --%s", o.Letter, o.Name)
	}
	if o.Value != "" {
		s += "=" + o.Value
	}
	return s
}
