package plan

import (
	"debug/elf"

	"github.com/gokexec/gokexec/internal/purgatory"
	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/bootimage"
	"github.com/gokexec/gokexec/pkg/kexec"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/memmap"
)

// riscvProtocol: an Image and a device tree (Documentation/arch/riscv/boot.rst). Kernels
// before 6.4 can't use memory below themselves.
func riscvProtocol() protocol {
	return protocol{
		machine: elf.EM_RISCV,
		formats: []bootimage.Format{bootimage.FormatELF, bootimage.FormatRISCV},
		accepts: func(p *Plan, _ *machine.Host) (string, error) {
			if p.Image.ELF == nil {
				return "", nil
			}
			return "use kexec_load (--method segments), or the Image that was built with it", p.Image.ELF.CheckKexecRISCV()
		},
		fileSegments: func(p *Plan, host *machine.Host) []memmap.Hole { return p.dtFileSegments(host, true) },
		prepare:      prepareDT,
		destinations: destinations,
		hotplugFlag:  kexec.LoadHotplugSupport,
		kernelFirst:  true,
		// The firmware's needs no choice.
		console: func(*machine.Host) purgatory.Serial { return purgatory.Serial{Kind: purgatory.SerialSBI} },
		port: func(s Serial, host *machine.Host) (port purgatory.Serial, why string) {
			if s.Kind == "pl011" {
				return port, "none on " + host.Arch.Name
			}
			return memoryPort(s, host)
		},
		controlPages: dtControlPages,
		checks: func(p *Plan, host *machine.Host) []advice.Finding {
			if p.Kind == machine.Crash {
				return []advice.Finding{p.checkFirmware(host)}
			}
			return nil
		},
	}
}
