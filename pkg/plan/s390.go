package plan

import (
	"debug/elf"

	"github.com/gokexec/gokexec/pkg/bootimage"
	"github.com/gokexec/gokexec/pkg/machine"
)

// s390Protocol: a bzImage with its parameter area; gokexec leaves it to kexec_file_load
// (arch/s390/kernel/machine_kexec_file.c).
func s390Protocol() protocol {
	return protocol{
		machine: elf.EM_S390,
		formats: []bootimage.Format{bootimage.FormatS390, bootimage.FormatELF},
		accepts: func(p *Plan, _ *machine.Host) (string, error) {
			if p.Image.ELF == nil {
				return "", nil
			}
			return "give the bzImage that was built with it (arch/s390/boot/bzImage, /boot/vmlinuz-VERSION); the running kernel oopses when it loads this file",
				p.Image.ELF.CheckKexecS390(p.Kind == machine.Crash)
		},
		reserveHint:    reserveByOffset,
		bootLoaderHint: "in /etc/zipl.conf, then zipl; grubby where that is",
	}
}
