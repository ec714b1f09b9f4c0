package check

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/plan"
)

// Host looks at what the machine itself allows, before any file is
// opened: permission, policy, and for a crash kernel the reserved memory.
func Host(h *machine.Host, kind machine.Kind) []advice.Finding {
	findings := append([]advice.Finding{checkSupport(h)}, Policy(h, kind)...)
	findings = append(findings, checkLockdown(h))
	if h.Arch.OneCmdline {
		findings = append(findings, OneCmdline(h, kind))
	}
	if kind == machine.Crash {
		findings = append(findings, plan.CheckCrashMemory(h), checkCrashSupport(h))
	}
	return findings
}

// Policy looks at what is asked of an unload as well as of a load.
func Policy(h *machine.Host, kind machine.Kind) []advice.Finding {
	return []advice.Finding{checkCapability(h), checkDisabled(h), checkLimit(h, kind)}
}

func checkSupport(h *machine.Host) advice.Finding {
	const name = "kexec support"
	switch {
	case h.Config == nil:
		return advice.NotKnown(name, "the configuration of kernel %s is not published (no /proc/config.gz, no /boot/config-%s)", h.Release, h.Release)
	case h.Config.Off("KEXEC_FILE") && h.Config.Off("KEXEC"):
		return advice.Finding{Check: name, Level: advice.Failure,
			Detail: "kernel " + h.Release + " was built with neither CONFIG_KEXEC nor CONFIG_KEXEC_FILE",
			Remedy: "boot a kernel with CONFIG_KEXEC_FILE=y",
			Errno:  []unix.Errno{unix.ENOSYS}}
	case h.Config.Off("KEXEC_FILE") && !plan.CanPlanSegments(h.Arch):
		return advice.Finding{Check: name, Level: advice.Failure,
			Detail: "kernel " + h.Release + " was built without CONFIG_KEXEC_FILE: kexec_file_load is not there",
			Remedy: plan.NoSegmentsHint(h.Arch),
			Errno:  []unix.Errno{unix.ENOSYS}, Err: unix.ENOSYS}
	case h.Config.Off("KEXEC_FILE"):
		return advice.Finding{Check: name, Level: advice.Warning,
			Detail: "kernel " + h.Release + " was built without CONFIG_KEXEC_FILE: kexec_file_load is not there",
			Remedy: "use kexec_load (--method segments)",
			Errno:  []unix.Errno{unix.ENOSYS}}
	}
	return advice.Passed(name, "kernel %s has CONFIG_KEXEC_FILE", h.Release)
}

func checkCapability(h *machine.Host) advice.Finding {
	const name = "permission"
	switch {
	case h.CanBoot == nil:
		return advice.NotKnown(name, "/proc/self/status does not tell the capabilities")
	case !*h.CanBoot:
		return advice.Finding{Check: name, Level: advice.Failure,
			Detail: "no permission: this process lacks CAP_SYS_BOOT",
			Remedy: "run as root, outside of containers that drop CAP_SYS_BOOT",
			Errno:  []unix.Errno{unix.EPERM}, Err: unix.EPERM}
	}
	return advice.Passed(name, "CAP_SYS_BOOT is there")
}

func checkDisabled(h *machine.Host) advice.Finding {
	const name = "kexec_load_disabled"
	if h.LoadDisabled {
		return advice.Finding{Check: name, Level: advice.Failure,
			Detail: "kernel.kexec_load_disabled is 1: nothing can be loaded or unloaded",
			Remedy: "it can't be taken back before the next boot; find who sets it (sysctl.d, a hardening service) and load before that",
			Errno:  []unix.Errno{unix.EPERM}, Err: unix.EPERM}
	}
	return advice.Passed(name, "loading is not disabled")
}

func checkLimit(h *machine.Host, kind machine.Kind) advice.Finding {
	name := advice.CheckID("kexec_load_limit_panic")
	if kind == machine.Boot {
		name = "kexec_load_limit_reboot"
	}
	switch left := h.Limit(kind); left {
	case machine.Unlimited:
		return advice.Passed(name, "no limit on loads")
	case 0:
		return advice.Finding{Check: name, Level: advice.Failure,
			Detail: "kernel." + string(name) + " is 0: no load is left",
			Remedy: "the limit can only be lowered; raise it in sysctl.d for the next boot (each attempt counts, failed ones too)",
			Errno:  []unix.Errno{unix.EPERM}, Err: unix.EPERM}
	default:
		return advice.Finding{Check: name, Level: advice.Warning,
			Detail: fmt.Sprintf("kernel.%s is %d: each attempt uses one up, failed ones too", name, left),
			Remedy: "so a busy kernel is not tried again; run once more by hand if it was"}
	}
}

func checkLockdown(h *machine.Host) advice.Finding {
	const name = "lockdown"
	switch h.Lockdown {
	case "":
		return advice.Passed(name, "the kernel has no lockdown")
	case "none":
		return advice.Passed(name, "lockdown is off")
	}
	return advice.Finding{Check: name, Level: advice.Warning,
		Detail: fmt.Sprintf("lockdown is %s: only a kernel whose signature the kernel trusts can be loaded, by kexec_file_load only", h.Lockdown),
		Remedy: "load the distribution's own signed kernel image as it is, or turn Secure Boot or lockdown= off",
		Errno:  []unix.Errno{unix.EPERM, unix.EKEYREJECTED, unix.ENODATA, unix.ENOKEY, unix.EBADMSG, unix.ENOPKG, unix.EACCES}}
}

func checkCrashSupport(h *machine.Host) advice.Finding {
	const name = "crash kernel support"
	for _, option := range []string{"CRASH_DUMP", "PROC_VMCORE"} {
		if h.Config.Off(option) {
			return advice.Finding{Check: name, Level: advice.Warning,
				Detail: fmt.Sprintf("kernel %s was built without CONFIG_%s: as a capture kernel it can't show the old memory", h.Release, option),
				Remedy: "load a capture kernel that has it"}
		}
	}
	if h.Config == nil {
		return advice.NotKnown(name, "the configuration of kernel %s is not published", h.Release)
	}
	return advice.Passed(name, "kernel %s can serve as a capture kernel", h.Release)
}

// Load is what the kernel would refuse, found before a load, a reload or a restore: what
// is wrong with the machine, and with the plan for it. What the kernel takes and a capture
// fails by, Initrd tells.
func Load(host *machine.Host, p *plan.Plan) []advice.Finding {
	return append(Host(host, p.Kind), p.Check(host)...)
}
