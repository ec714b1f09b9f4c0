package report

import "strings"

// taintFlag is one of TAINT_*: its letter, and what it means.
type taintFlag struct {
	letter  byte
	meaning string
}

// taints are the flags by number (kernel/panic.c, taint_flags; Documentation/admin-guide/tainted-kernels.rst).
var taints = [...]taintFlag{
	{'P', "proprietary module"},
	{'F', "module loaded by force"},
	{'S', "CPUs out of specification"},
	{'R', "module unloaded by force"},
	{'M', "machine check"},
	{'B', "bad page"},
	{'U', "set by user space"},
	{'D', "oops or BUG"},
	{'A', "ACPI table replaced"},
	{'W', "warning"},
	{'C', "staging driver"},
	{'I', "firmware bug worked around"},
	{'O', "out-of-tree module"},
	{'E', "unsigned module"},
	{'L', "soft lockup before"},
	{'K', "live patch"},
	{'X', "flag of the distribution"},
	{'T', "randomised structures"},
	{'N', "kernel test"},
	{'J', "firmware changed through fwctl"},
}

// taintLetters returns the letters of a mask; ? stands for one that came later.
func taintLetters(mask uint64) string {
	var b []byte
	for i := range 64 {
		switch {
		case mask>>i&1 == 0:
		case i < len(taints):
			b = append(b, taints[i].letter)
		default:
			b = append(b, '?')
		}
	}
	return string(b)
}

// taintText lists the flags with their meanings: "OE (out-of-tree module, unsigned module)". A letter that isn't known
// has none, and G, which stands for the absence of P.
func taintText(flags string) string {
	var meanings []string
	for _, letter := range []byte(flags) {
		for _, t := range taints {
			if t.letter == letter {
				meanings = append(meanings, t.meaning)
			}
		}
	}
	if len(meanings) == 0 {
		return flags
	}
	return flags + " (" + strings.Join(meanings, ", ") + ")"
}
