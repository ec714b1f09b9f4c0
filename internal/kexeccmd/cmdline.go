package kexeccmd

import (
	"slices"
	"strings"

	"github.com/gokexec/gokexec/pkg/cmdline"
)

// Cmdline makes the new kernel's command line. running is that of the kernel that
// runs, for --reuse-cmdline, and runningErr why it can't be read.
func (inv *Invocation) Cmdline(running cmdline.Cmdline, runningErr error) (string, error) {
	var parts []string
	switch {
	case inv.Base != nil:
		parts = append(parts, *inv.Base)
	case inv.Reuse && runningErr != nil:
		return "", runningErr
	case inv.Reuse:
		kept, _ := running.Without(func(a cmdline.Arg) bool { return slices.Contains(inv.dropped(), a.Name) })
		parts = append(parts, kept.String())
	}
	if inv.Append != nil {
		parts = append(parts, *inv.Append)
	}
	return strings.Join(parts, " "), nil
}

// dropped are the parameters that --reuse-cmdline leaves out: those of kexec-tools,
// and addresses in the memory of the kernel before the running one.
func (inv *Invocation) dropped() []string {
	names := []string{"BOOT_IMAGE", "elfcorehdr", "kexec_jump_back_entry"}
	if inv.Crash {
		names = append(names, "crashkernel")
	}
	return append(names, archOf(inv.Arch).dropped...)
}
