package loader

import (
	"errors"
	"fmt"
	"strings"

	"github.com/gokexec/gokexec/pkg/advice"
)

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

// checkHandover refuses an ordinary kexec that would lose what is handed on: by
// kexec_load the kernel adds none of it (kernel/kexec_file.c is the only caller of
// kho_fill_kimage).
func (p *Plan) checkHandover(host *Host) advice.Finding {
	const name = "handover"
	switch {
	case p.Kind != Boot || host.Handover == "":
		return advice.Passed(name, "nothing is handed on")
	case p.Method == File:
		return advice.Passed(name, "%s goes with the load", host.Handover)
	}
	return advice.Finding{Check: name, Level: advice.Failure,
		Detail: fmt.Sprintf("%s is on, and kexec_load (by segments) hands nothing on: what is kept for the next kernel would be lost", host.Handover),
		Remedy: "use --method file; or turn it off (kho=off on the kernel's command line)",
		Err:    errors.ErrUnsupported}
}
