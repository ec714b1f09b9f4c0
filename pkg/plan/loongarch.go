package plan

import (
	"debug/elf"

	"github.com/gokexec/gokexec/pkg/bootimage"
)

// loongArchProtocol: an EFI image or ELF file; gokexec leaves it to kexec_file_load
// (arch/loongarch/kernel/kexec_efi.c, kexec_elf.c).
func loongArchProtocol() protocol {
	return protocol{
		machine: elf.EM_LOONGARCH,
		formats: []bootimage.Format{bootimage.FormatLoongArch, bootimage.FormatELF},
	}
}
