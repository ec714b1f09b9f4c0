package loader

import (
	"debug/elf"
	"slices"
	"strings"
)

// CmdlineChange is a word that was dropped from or added to a command line.
type CmdlineChange struct {
	Added bool   `json:"added"`
	Text  string `json:"text"`
	Why   string `json:"why"`
}

// ReuseCmdline makes a command line for a kernel on machine out of that of the
// running kernel.
func ReuseCmdline(running Cmdline, kind Kind, machine elf.Machine) (Cmdline, []CmdlineChange) {
	return dropParams(running, machine, func(d DroppedParam) bool { return kind == Crash || d.Boot })
}

// dropEnding leaves out what a capture would end by. It is for a line that was made
// for no certain kind of kernel: that of a UKI.
func dropEnding(c Cmdline, machine elf.Machine) (Cmdline, []CmdlineChange) {
	return dropParams(c, machine, func(d DroppedParam) bool { return d.Ends })
}

func dropParams(c Cmdline, machine elf.Machine, concerned func(DroppedParam) bool) (Cmdline, []CmdlineChange) {
	var changes []CmdlineChange
	table := slices.DeleteFunc(DroppedParams(), func(d DroppedParam) bool { return !concerned(d) })
	kept, _ := c.Without(func(a Arg) bool {
		for _, d := range table {
			if d.matches(a, machine) {
				changes = append(changes, CmdlineChange{Text: a.Text, Why: d.Why})
				return true
			}
		}
		return false
	})
	return kept, changes
}

// CompleteCrashCmdline appends what a capture kernel on that machine needs and c
// does not say.
func CompleteCrashCmdline(c Cmdline, host *Host) (Cmdline, []CmdlineChange) {
	var changes []CmdlineChange
	for _, p := range CrashParams() {
		if !p.appliesTo(host) || c.Has(p.Unless...) {
			continue
		}
		c = c.Append(Cmdline{Args: []Arg{parseArg(p.Text)}})
		changes = append(changes, CmdlineChange{Added: true, Text: p.Text, Why: p.Why})
	}
	return c, changes
}

func (p CrashParam) appliesTo(host *Host) bool {
	return (p.On == nil || slices.Contains(p.On, host.Arch.Machine)) && (p.If == nil || p.If(host))
}

// matches tells whether a word is that parameter, or sets that sysctl, to a value
// that matters.
func (d DroppedParam) matches(a Arg, machine elf.Machine) bool {
	if d.On != nil && !slices.Contains(d.On, machine) {
		return false
	}
	return d.names(a) && !slices.Contains(d.Unless, a.Value)
}

func (d DroppedParam) names(a Arg) bool {
	if key, ok := sysctlKey(a.Name); ok {
		return d.Sysctl != "" && samePattern(key, d.Sysctl)
	}
	return d.Name != "" && samePattern(a.Name, d.Name)
}

// sysctlKey gives the path below /proc/sys that a word sets (fs/proc/proc_sysctl.c,
// process_sysctl_arg: "sysctl", then a dot or slash, and dots that stand for slashes).
func sysctlKey(name string) (string, bool) {
	rest, ok := strings.CutPrefix(name, "sysctl")
	if !ok || rest == "" || rest[0] != '.' && rest[0] != '/' {
		return "", false
	}
	return strings.ReplaceAll(rest[1:], ".", "/"), true
}

// samePattern compares with a name of the tables, in which a last '*' stands for
// anything.
func samePattern(name, pattern string) bool {
	prefix, any := strings.CutSuffix(pattern, "*")
	if any && len(name) > len(prefix) {
		name = name[:len(prefix)]
	}
	return sameParam(name, prefix)
}
