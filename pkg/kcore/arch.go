package kcore

import (
	"debug/elf"

	"github.com/gokexec/gokexec/pkg/elfcore"
	"github.com/gokexec/gokexec/pkg/memmap"
	"github.com/gokexec/gokexec/pkg/vmcore"
)

// arch is what differs between architectures in how the running kernel shows its memory: a row of
// the table.
type arch struct {
	machine elf.Machine
	// numbers are what its VMCOREINFO has, and no other's; textOffset is that of
	// them by which the kernel image is mapped away from its physical address.
	numbers    []string
	textOffset string
	// fromVMCoreInfo fills in the direct map, and gives the distance of the kernel text
	// from its physical address; nil: VMCOREINFO does not say enough.
	fromVMCoreInfo func(m *elfcore.KernelMap, v *vmcore.VMCoreInfo, cmdline []string) (text uint64, err error)
	// fileHeaderAlign is that of a header that kexec_file_load puts as high in the
	// crash region as it fits, in bytes; 0: it lies at the beginning of the region.
	fileHeaderAlign memmap.PhysAddr
	// unaddressed: old kernels gave the segments of /proc/kcore no physical addresses.
	unaddressed bool
	// image is where the kernel image is mapped; 0: not at a fixed place.
	image uint64
	// gart: reads of the GART's aperture fail.
	gart bool
}

// headerAlign is that of every header, in bytes: segments begin at a page, whatever its size is.
const headerAlign = 4096

// archs is the table.
var archs = []arch{
	{machine: elf.EM_X86_64, unaddressed: true, image: vmcore.StartKernelMap, gart: true,
		numbers: []string{"phys_base", "pgtable_l5_enabled"}, fromVMCoreInfo: mapX86}, // arch/x86/kernel/vmcore_info_64.c
	{machine: elf.EM_386, unaddressed: true, gart: true},
	{machine: elf.EM_AARCH64, fileHeaderAlign: 64 << 10,
		numbers: []string{"kimage_voffset", "VA_BITS", "PHYS_OFFSET"}, textOffset: "kimage_voffset", fromVMCoreInfo: mapARM64}, // arch/arm64/kernel/vmcore_info.c
	{machine: elf.EM_RISCV, fileHeaderAlign: headerAlign,
		numbers: []string{"PAGE_OFFSET", "phys_ram_base", "va_kernel_pa_offset"}, textOffset: "va_kernel_pa_offset", fromVMCoreInfo: mapRISCV}, // arch/riscv/kernel/vmcore_info.c
}

// archOf looks a machine up; one that is not in the table has no trait.
func archOf(m elf.Machine) arch {
	for _, a := range archs {
		if a.machine == m {
			return a
		}
	}
	return arch{machine: m}
}
