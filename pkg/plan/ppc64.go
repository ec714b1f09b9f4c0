package plan

import (
	"debug/elf"

	"github.com/gokexec/gokexec/pkg/bootimage"
)

// ppc64Protocol: an ELF file and a device tree; gokexec leaves both to kexec_file_load
// (arch/powerpc/kexec/elf_64.c).
func ppc64Protocol() protocol {
	return protocol{
		machine:     elf.EM_PPC64,
		formats:     []bootimage.Format{bootimage.FormatELF},
		reserveHint: reserveByOffset,
	}
}
