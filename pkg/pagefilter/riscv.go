package pagefilter

import (
	"debug/elf"

	"github.com/gokexec/gokexec/pkg/vmcore"
)

// riscv is riscv64 with Sv39, Sv48 and Sv57 (arch/riscv/include/asm/sparsemem.h).
var riscv = arch{
	machine: elf.EM_RISCV,
	stackAt: 128, // pr_reg.sp of struct elf_prstatus
	taskAt:  144, // pr_reg.tp
	sparse:  func(*vmcore.VMCoreInfo) (section, phys uint) { return 27, 56 },
	image:   imageAround,
}
