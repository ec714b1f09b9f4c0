package pagefilter

import (
	"debug/elf"

	"github.com/gokexec/gokexec/pkg/vmcore"
)

// loongArch is loong64, whose kernel image lies in the direct map (arch/loongarch/include/asm/sparsemem.h).
var loongArch = arch{
	machine: elf.EM_LOONGARCH,
	stackAt: 136, // pr_reg.regs[3] of struct elf_prstatus
	sparse:  func(*vmcore.VMCoreInfo) (section, phys uint) { return 29, 48 },
}
