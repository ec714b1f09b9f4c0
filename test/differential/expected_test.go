package differential

import (
	"slices"
	"strings"

	"github.com/gokexec/gokexec/internal/kexeccmd"
	"github.com/gokexec/gokexec/pkg/plan"
)

// expectedDifferences are the command lines on which gokexec differs from a
// kexec-tools on purpose, each with the reason.
var expectedDifferences = []struct {
	why string
	is  func(c comparison) bool
}{
	{"kexec-tools 2.0.32 crashes on most files that are no kernel, in its search for a UKI", func(c comparison) bool {
		return c.theirs.code == 128+11 && c.ours.code != 0
	}},
	{"compressed kernels are unpacked; Debian's kexec-tools is built without the libraries", func(c comparison) bool {
		return c.names("K.gz", "K.xz") && strings.Contains(c.theirs.stderr, "Cannot determine the file type")
	}},
	{"a vmlinux is loaded as Linux, by kexec_load if need be; kexec-tools fails to by kexec_file_load", func(c comparison) bool {
		return c.names("V") && c.theirs.code == 1 && c.ours.code != 0
	}},
	{"2.0.25 gives another exit code for a missing kernel by kexec_file_load than by kexec_load; gokexec is like 2.0.32", func(c comparison) bool {
		return c.release == "2.0.25" && strings.Contains(c.theirs.stderr, "Failed to open file") && strings.Contains(c.ours.stderr, "Cannot open `")
	}},
	{"a wrong --serial or --serial-baud ends the program; kexec-tools goes on with some of what else is asked, and with 0x", func(c comparison) bool {
		return strings.Contains(c.ours.stderr, "Bad serial port") && c.ours.code != 0 &&
			(strings.Contains(c.theirs.stderr, "Bad serial port") || slices.Contains(c.argv, "--serial=0x"))
	}},
	{"a jump to an address outside of all segments is refused", func(c comparison) bool {
		return c.inv.Entry != 0 && c.ours.code == c.theirs.code
	}},
	{"--type=bzImage loads a 64-bit kernel as such; kexec-tools enters it in 32-bit mode, and needs room below 640 KiB", func(c comparison) bool {
		return c.inv.Type == "bzImage" && strings.Contains(c.theirs.stderr, "locate_hole")
	}},
	{"--type counts where kexec_load is chosen, not where it is only fallen back to", func(c comparison) bool {
		return c.inv.Type != "" && c.inv.Method == plan.Auto && c.ours.code != 0 && strings.Contains(c.theirs.stderr, "Unsupported kernel type")
	}},
	{"kexec jump is refused", func(c comparison) bool {
		return (c.inv.Jump || c.inv.JumpBack) && c.ours.code == c.theirs.code
	}},
	{"a kernel is not placed below its preferred address, as by kexec-tools since 2.0.30", func(c comparison) bool {
		return c.release == "2.0.25" && c.inv.MemMax == 0x1000000
	}},
	{"a kernel that is cut short is refused before the system call", func(c comparison) bool {
		return c.names("truncated") && c.inv.Method != plan.Segments && c.ours.code != 0 && c.theirs.code != 0
	}},
}

// comparison is a command line with both outcomes.
type comparison struct {
	release      string
	argv         []string
	inv          *kexeccmd.Invocation
	ours, theirs outcome
}

// names tells whether the kernel is one of the files.
func (c comparison) names(files ...string) bool {
	return len(c.inv.Kernels) > 0 && slices.Contains(files, c.inv.Kernels[0])
}

// expected gives the reason for a difference, "" if there is none.
func expected(release string, argv []string, ours, theirs outcome) string {
	inv, err := kexeccmd.Parse("x86_64", append([]string{"kexec"}, argv...), false)
	if err != nil {
		return ""
	}
	c := comparison{release, argv, inv, ours, theirs}
	for _, d := range expectedDifferences {
		if d.is(c) {
			return d.why
		}
	}
	return ""
}
