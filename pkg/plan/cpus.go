package plan

import (
	"fmt"

	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/cmdline"
	"github.com/gokexec/gokexec/pkg/machine"
)

// maxCPUs bounds Spec.CPUs (NR_CPUS of the largest machines, arch/x86/Kconfig).
const maxCPUs = 8192

// checkCPUs refuses a number of CPUs for the capture kernel that the command line
// contradicts, or that could reset the machine.
func checkCPUs(line cmdline.Cmdline, traits cmdline.Traits) error {
	if traits.CPUs < 0 || traits.CPUs > maxCPUs {
		return fmt.Errorf("%d CPUs; want 1 to %d", traits.CPUs, maxCPUs)
	}
	if traits.CPUs == 0 {
		return nil
	}
	for _, name := range []string{"nr_cpus", "maxcpus", "nosmp"} {
		if line.Has(name) {
			return &advice.Problem{What: fmt.Sprintf("%d CPUs are asked for (--cpus), and the command line has %s", traits.CPUs, name), Hint: "leave one of the two out"}
		}
	}
	if traits.CPUs > 1 && machine.ArchOf(traits.Machine).BootReset && traits.BootAPIC == nil && !line.Has("disable_cpu_apicid") {
		return &advice.Problem{What: "the APIC ID of the boot CPU is not known: /proc/cpuinfo names none for processor 0; a capture kernel with more than one CPU could reset the machine",
			Hint: "leave --cpus out, or append disable_cpu_apicid=ID"}
	}
	return nil
}
