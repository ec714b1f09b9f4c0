package loader

import (
	"context"
	"fmt"

	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/plan"
)

// dropBoot unloads the kernel that is loaded for a reboot, if the load of a crash
// kernel that was just made has overwritten its command line. The next reboot is one
// through the firmware.
func (l *Loader) dropBoot(ctx context.Context) {
	if !l.Arch.OneCmdline {
		return
	}
	loaded := machine.BootLoaded(l.Root)
	if loaded != nil && !*loaded {
		return
	}
	if err := l.unloadBy(ctx, machine.Boot, plan.Auto); err != nil {
		l.report(fmt.Sprintf("the kernel that is loaded for a reboot has the crash kernel's command line now, and can't be unloaded: %v", err))
		return
	}
	l.report("the kernel that was loaded for a reboot is unloaded: the crash kernel's load has overwritten its command line; load it again after gokexec unload --crash")
}
