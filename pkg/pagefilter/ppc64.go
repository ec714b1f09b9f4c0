package pagefilter

import (
	"debug/elf"

	"github.com/gokexec/gokexec/pkg/vmcore"
)

// ppc64 is ppc64le with the radix MMU, whose kernel image lies in the direct map (arch/powerpc/include/asm/sparsemem.h,
// book3s/64/mmu.h).
var ppc64 = arch{
	machine: elf.EM_PPC64,
	stackAt: 120, // pr_reg.gpr[1] of struct elf_prstatus
	sparse: func(v *vmcore.VMCoreInfo) (section, phys uint) {
		if v.PageSize == 1<<16 {
			return 24, 51
		}
		return 24, 46
	},
}
