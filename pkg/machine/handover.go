package machine

import "strings"

// handover finds what hands memory or state on to the next kernel: the live update
// orchestrator (/dev/liveupdate, since Linux 6.19) or kexec handover (KHO, since 6.16),
// if that is on. KHO shows itself in debugfs only, which may not be mounted, so the command
// line and the kernel's configuration are looked at as well
// (Documentation/admin-guide/mm/kho.rst; kernel/liveupdate/kexec_handover.c, kho_init).
func (r hostReader) handover() string {
	const kho = "kexec handover (KHO)"
	on := r.h.Config.On("KEXEC_HANDOVER_ENABLE_DEFAULT")
	if value, set := r.h.Cmdline.Lookup("kho"); set {
		on = strings.ContainsAny(value[:min(len(value), 1)], "yYtT1") || strings.EqualFold(value[:min(len(value), 2)], "on")
	}
	switch {
	case r.exists("sys/class/misc/liveupdate"), r.exists("dev/liveupdate"):
		return "live update (/dev/liveupdate)"
	case r.exists("sys/kernel/debug/kho/out"), on && !r.h.Config.Off("KEXEC_HANDOVER"):
		return kho
	}
	return ""
}
