package cmdline

import (
	"debug/elf"
	"slices"
	"strings"
)

// Change is a word that was dropped from or added to a command line.
type Change struct {
	Added bool   `json:"added"`
	Text  string `json:"text"`
	Why   string `json:"why"`
}

// Reuse makes a command line for a kernel on machine out of that of the
// running kernel: for one that a reboot starts if boot is true, else for a capture kernel.
func Reuse(running Cmdline, boot bool, machine elf.Machine) (Cmdline, []Change) {
	return dropParams(running, machine, func(d DroppedParam) bool { return !boot || d.Boot })
}

// DropEnding leaves out what a capture would end by. It is for a line that was made
// for no certain kind of kernel: that of a UKI.
func DropEnding(c Cmdline, machine elf.Machine) (Cmdline, []Change) {
	return dropParams(c, machine, func(d DroppedParam) bool { return d.Ends })
}

func dropParams(c Cmdline, machine elf.Machine, concerned func(DroppedParam) bool) (Cmdline, []Change) {
	var changes []Change
	table := slices.DeleteFunc(DroppedParams(), func(d DroppedParam) bool { return !concerned(d) })
	kept, _ := c.Without(func(a Arg) bool {
		for _, d := range table {
			if d.matches(a, machine) {
				changes = append(changes, Change{Text: a.Text, Why: d.Why})
				return true
			}
		}
		return false
	})
	return kept, changes
}

// Traits are what the command line of a capture kernel depends on, of the machine.
type Traits struct {
	Machine elf.Machine
	// Handover says that kexec handover is on unless the command line turns it off
	// (CONFIG_KEXEC_HANDOVER_ENABLE_DEFAULT).
	Handover bool
	// CPUs is how many the capture kernel is to have; 0 is one.
	CPUs int
	// BootAPIC is the initial APIC ID of the boot CPU, of x86; nil is not known.
	BootAPIC *uint32
	// NoBounce says that devices reach all of the crash memory, so that DMA needs no
	// bounce buffers (SWIOTLB).
	NoBounce bool
}

// Complete appends what a capture kernel on such a machine needs and c
// does not say.
func Complete(c Cmdline, traits Traits) (Cmdline, []Change) {
	var changes []Change
	for _, p := range CrashParams() {
		if !p.appliesTo(traits) || c.Has(p.Unless...) {
			continue
		}
		text := p.Text
		if p.Value != nil {
			text += p.Value(traits)
		}
		c = c.Append(Cmdline{Args: []Arg{parseArg(text)}})
		changes = append(changes, Change{Added: true, Text: text, Why: p.Why})
	}
	return c, changes
}

func (p CrashParam) appliesTo(traits Traits) bool {
	return (p.On == nil || slices.Contains(p.On, traits.Machine)) && !slices.Contains(p.Not, traits.Machine) && (p.If == nil || p.If(traits))
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
	return Same(name, prefix)
}
