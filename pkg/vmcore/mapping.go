package vmcore

import "debug/elf"

// mapping is how the kernels of an architecture map memory: a row of the table.
type mapping struct {
	linear func(p Platform, info *VMCoreInfo, hints Hints) []linearMap
	tables func(info *VMCoreInfo) *pageTables // nil: its page tables are not walked
}

// mappingOf looks an architecture up.
func mappingOf(machine elf.Machine) mapping {
	row, known := map[elf.Machine]mapping{
		elf.EM_X86_64:    {func(_ Platform, v *VMCoreInfo, h Hints) []linearMap { return linearX86(v, h.PhysBase) }, tablesX86},
		elf.EM_AARCH64:   {informed(linearARM64), tablesARM64},
		elf.EM_RISCV:     {informed(linearRISCV), tablesRISCV},
		elf.EM_S390:      {informed(linearS390), tablesS390},
		elf.EM_PPC64:     {fixed(mapAt(0xc000000000000000, 0, 1<<51)), tablesPPC64},                                          // PAGE_OFFSET, and below where the vmalloc area begins (arch/powerpc/include/asm/book3s/64/radix.h)
		elf.EM_LOONGARCH: {fixed(mapAt(0x9000000000000000, 0, 1<<48), mapAt(0x8000000000000000, 0, 1<<48)), tablesLoongArch}, // DMW windows: cached, where the kernel runs, and uncached (arch/loongarch/include/asm/addrspace.h)
		elf.EM_MIPS:      {func(p Platform, _ *VMCoreInfo, _ Hints) []linearMap { return linearMIPS(p.Word) }, nil},
		elf.EM_386:       {func(_ Platform, v *VMCoreInfo, _ Hints) []linearMap { return linear32(v, nil) }, nil}, // from 0 on, always
		elf.EM_ARM:       {func(_ Platform, v *VMCoreInfo, h Hints) []linearMap { return linear32(v, h.PhysBase) }, nil},
		elf.EM_PPC:       {func(_ Platform, v *VMCoreInfo, h Hints) []linearMap { return linear32(v, h.PhysBase) }, nil},
	}[machine]
	if !known {
		row.linear = informed(linearGeneric)
	}
	return row
}

// informed is for an architecture whose VMCOREINFO says all.
func informed(linear func(*VMCoreInfo) []linearMap) func(Platform, *VMCoreInfo, Hints) []linearMap {
	return func(_ Platform, v *VMCoreInfo, _ Hints) []linearMap { return linear(v) }
}

// fixed is for one whose mapping is always the same.
func fixed(maps ...linearMap) func(Platform, *VMCoreInfo, Hints) []linearMap {
	return func(Platform, *VMCoreInfo, Hints) []linearMap { return maps }
}
