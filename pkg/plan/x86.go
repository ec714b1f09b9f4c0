package plan

import (
	"debug/elf"
	"fmt"

	"github.com/gokexec/gokexec/internal/purgatory"
	"github.com/gokexec/gokexec/pkg/bootimage"
	"github.com/gokexec/gokexec/pkg/kexec"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/memmap"
)

// x86Protocol: boot_params (Documentation/arch/x86/boot.rst), entered in 64-bit mode.
func x86Protocol() protocol {
	return protocol{
		machine:    elf.EM_X86_64,
		formats:    []bootimage.Format{bootimage.FormatBzImage},
		accepts:    acceptsBzImage,
		cmdlineOwn: elfcorehdrWord,
		fileSegments: func(p *Plan, host *machine.Host) []memmap.Hole {
			return p.plainFileSegments(host, initrdMin)
		},
		refusedFile: tooManyRanges,
		prepare: func(p *Plan, host *machine.Host, in *Inputs) (func(*layout, []byte) error, error) {
			if err := p.checkX86Image(host); err != nil {
				return nil, err
			}
			if p.Kind == machine.Boot {
				p.E820 = bootE820(host)
			}
			return func(l *layout, initrd []byte) error { return p.planX86(l, host, in, initrd) }, nil
		},
		imageHint:    "use a 64-bit kernel, version 3.17 or newer",
		destinations: func(host *machine.Host) memmap.Set { return host.Iomem.BootRAM() },
		// Before 6.10 there is no other flag than x86's own (include/uapi/linux/kexec.h).
		hotplugFlag:  kexec.LoadUpdateElfcorehdr,
		port:         x86Port,
		controlPages: x86ControlPages,
		reserveHint:  reserveByKASLR,
	}
}

func acceptsBzImage(p *Plan, host *machine.Host) (remedy string, err error) {
	return "use a kernel built with CONFIG_RELOCATABLE=y and CONFIG_X86_64=y, version 3.9 or newer", p.Image.BzImage.CheckKexec64(host.LA57)
}

// tooManyRanges: boot_params by kexec_file_load has no room for more.
func tooManyRanges(p *Plan, host *machine.Host) string {
	if n := len(crashE820(host, nil)); p.Kind == machine.Crash && n > maxE820 {
		return fmt.Sprintf("kexec_file_load hands over %d memory ranges at most and drops the rest, crash memory first; this machine has %d", maxE820, n)
	}
	return ""
}

func x86Port(s Serial, _ *machine.Host) (port purgatory.Serial, why string) {
	if s.Port == 0 {
		return port, "not an I/O port, as x86 has them"
	}
	return purgatory.Serial{Kind: purgatory.Serial8250Port, Addr: uint64(s.Port), Baud: s.Baud}, ""
}

// x86ControlPages is most of all the identity mapping of all RAM: a page per
// GiB of it, or with pages of 1 GiB only per GiB that is not all RAM, and one per
// 512 GiB (arch/x86/kernel/machine_kexec_64.c, init_pgtable; arch/x86/mm/
// ident_map.c).
func x86ControlPages(host *machine.Host) uint64 {
	if host.Iomem == nil {
		return (otherControlPages + host.MemTotal>>30) * memmap.PageSize
	}
	gbPages := host.X86 != nil && host.X86.GBPages
	ram := host.Iomem.SystemRAM()
	middle, upper := countBlocks(ram, 30, gbPages), countBlocks(ram, 39, false)
	return (otherControlPages + middle + upper) * memmap.PageSize
}
