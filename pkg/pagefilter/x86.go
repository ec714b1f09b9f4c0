package pagefilter

import (
	"debug/elf"

	"github.com/gokexec/gokexec/pkg/vmcore"
)

// x86 is x86_64 (arch/x86/include/asm/sparsemem.h, page_64_types.h).
var x86 = arch{
	machine: elf.EM_X86_64,
	stackAt: 264, // pr_reg.sp of struct elf_prstatus
	sparse: func(v *vmcore.VMCoreInfo) (section, phys uint) {
		if n, ok := v.Number("pgtable_l5_enabled"); ok && n == 1 {
			return 27, 52
		}
		return 27, 46
	},
	image: func(v *vmcore.VMCoreInfo, _ uint64) (first, last uint64, ok bool) {
		size, _ := v.Number("KERNEL_IMAGE_SIZE")
		if size <= 0 || size > 1<<31 {
			size = 1 << 30
		}
		return vmcore.StartKernelMap, vmcore.StartKernelMap + uint64(size) - 1, true
	},
}
