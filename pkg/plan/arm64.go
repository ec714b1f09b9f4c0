package plan

import (
	"debug/elf"

	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/bootimage"
	"github.com/gokexec/gokexec/pkg/kexec"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/memmap"
)

// arm64Protocol: an Image and a device tree (Documentation/arch/arm64/booting.rst).
func arm64Protocol() protocol {
	return protocol{
		machine:      elf.EM_AARCH64,
		formats:      []bootimage.Format{bootimage.FormatARM64},
		fileSegments: func(p *Plan, host *machine.Host) []memmap.Hole { return p.dtFileSegments(host, false) },
		prepare:      prepareDT,
		destinations: destinations,
		hotplugFlag:  kexec.LoadHotplugSupport,
		port:         memoryPort,
		controlPages: dtControlPages,
		checks: func(p *Plan, host *machine.Host) []advice.Finding {
			if p.Kind == machine.Boot {
				return []advice.Finding{p.checkInterrupts(host)}
			}
			return nil
		},
		reserveHint: reserveByKASLR,
	}
}
