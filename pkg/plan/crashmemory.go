package plan

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/cmdline"
	"github.com/gokexec/gokexec/pkg/machine"
)

// SmallCrashMemory is the size, in bytes, below which capture was seen to run
// out of memory with a 4 MB initramfs (make bench, "smallest crashkernel=").
const SmallCrashMemory = 80 << 20

// CheckCrashMemory looks whether memory is reserved for a crash kernel. Whether it is enough, package check tells.
func CheckCrashMemory(h *machine.Host) advice.Finding {
	const name = "crash memory"
	if err := h.IomemErr; err != nil {
		return advice.Finding{Check: name, Level: advice.Unknown, Detail: err.Error(), Remedy: machine.ReadHint(err, "")}
	}
	if region, found := h.CrashRegion(); found {
		return advice.Passed(name, "%s reserved at %s", advice.MiB(region.Size()), region)
	}
	row := protocolOf(h.Arch.Machine)
	f := advice.Finding{Check: name, Level: advice.Failure, Errno: []unix.Errno{unix.EADDRNOTAVAIL}, Err: unix.EADDRNOTAVAIL}
	if asked := crashkernelWords(h.Cmdline); asked != "" {
		f.Detail = fmt.Sprintf("no memory is reserved for a crash kernel, although the kernel was booted with %s", asked)
		f.Remedy = "the reservation failed: see `dmesg | grep -i crashkernel`; " + row.reserveHint
		return f
	}
	f.Detail = "no memory is reserved for a crash kernel: the kernel was booted without crashkernel="
	f.Remedy = "add crashkernel=256M to the kernel's command line and reboot (" + row.bootLoaderHint + ")"
	return f
}

func crashkernelWords(c cmdline.Cmdline) string {
	var words []string
	for _, a := range c.Args {
		if cmdline.Same(a.Name, "crashkernel") {
			words = append(words, a.Text)
		}
	}
	return strings.Join(words, " ")
}
