package bootimage

import (
	"debug/elf"
	"fmt"
)

// machines names architectures as uname(1) does on their kernels.
var machines = []struct {
	machine elf.Machine
	name    string
	pe      []uint16 // IMAGE_FILE_HEADER.Machine
}{
	{elf.EM_X86_64, "x86_64", []uint16{0x8664}},
	{elf.EM_386, "i386", []uint16{0x14c}},
	{elf.EM_AARCH64, "aarch64", []uint16{0xaa64}},
	{elf.EM_ARM, "arm", []uint16{0x1c0, 0x1c2, 0x1c4}},
	{elf.EM_RISCV, "riscv64", []uint16{0x5064, 0x5032}},
	{elf.EM_LOONGARCH, "loongarch64", []uint16{0x6264, 0x6232}},
	{elf.EM_PPC64, "ppc64", nil},
	{elf.EM_PPC, "ppc", nil},
	{elf.EM_S390, "s390x", nil},
	{elf.EM_MIPS, "mips", nil},
	{elf.EM_SPARCV9, "sparc64", nil},
	{elf.EM_PARISC, "parisc", nil},
	{elf.EM_SH, "sh", nil},
	{elf.EM_68K, "m68k", nil},
	{elf.EM_IA_64, "ia64", nil},
	{elf.EM_ALPHA, "alpha", nil},
}

// MachineName returns the name of an architecture as uname -m has it, such as
// "x86_64" or "aarch64". 32 and 64-bit riscv, and both byte orders of ppc64,
// are one machine to ELF and so to this function.
func MachineName(m elf.Machine) string {
	for _, e := range machines {
		if e.machine == m {
			return e.name
		}
	}
	return fmt.Sprintf("machine %d", uint16(m))
}

// machineOfPE returns the machine of a PE file header, EM_NONE when unknown.
func machineOfPE(pe uint16) elf.Machine {
	for _, e := range machines {
		for _, p := range e.pe {
			if p == pe {
				return e.machine
			}
		}
	}
	return elf.EM_NONE
}
