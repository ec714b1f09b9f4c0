package check

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/machine"
)

// BothImages is the name of the check of what the two images do to each other.
const BothImages advice.CheckID = "both images"

// OneCmdline looks whether both images could be right at once. On loong64 the
// kernel copies the command line of every load, by kexec_file_load or by kexec_load, to the same
// place, and hands that on with either image (arch/loongarch/kernel/machine_kexec.c,
// machine_kexec_prepare, KEXEC_CMDLINE_ADDR). A crash kernel with the other's has no
// mem= and takes the memory that it should save; an ordinary one with the crash
// kernel's takes itself for a capture kernel. So the line of the crash
// kernel, which would be missed only after a panic, is not overwritten; see dropBoot
// for the other direction.
func OneCmdline(h *machine.Host, kind machine.Kind) advice.Finding {
	const name = BothImages
	other := h.Loaded(machine.Crash)
	if kind == machine.Crash {
		other = h.Loaded(machine.Boot)
	}
	switch {
	case !h.Arch.OneCmdline:
		return advice.Passed(name, "each has a command line of its own")
	case other == nil:
		return advice.NotKnown(name, "whether the other image is loaded, whose command line a load on %s overwrites, is not known", h.Arch.Name)
	case !*other:
		return advice.Passed(name, "no other is loaded")
	case kind == machine.Crash:
		return advice.Finding{Check: name, Level: advice.Warning,
			Detail: fmt.Sprintf("a kernel is loaded for a reboot, and on %s there is one command line for both images: the last load gives it to both, and a load of a crash kernel unloads the other one", h.Arch.Name),
			Remedy: "gokexec unload --boot, then gokexec reload"}
	}
	return advice.Finding{Check: name, Level: advice.Failure,
		Detail: fmt.Sprintf("on %s the kernel has one command line for both images: this load would overwrite that of the crash kernel, which would then take the memory that it should save", h.Arch.Name),
		Remedy: "reboot through the firmware; or gokexec unload --crash first, and have no crash kernel until the reboot",
		Errno:  []unix.Errno{unix.EBUSY}, Err: unix.EBUSY}
}
