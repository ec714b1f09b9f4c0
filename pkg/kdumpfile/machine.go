package kdumpfile

import (
	"debug/elf"
	"encoding/binary"

	"github.com/gokexec/gokexec/pkg/vmcore"
)

// traits are what differs between machines in a compressed dump: a row of the table.
type traits struct {
	machine elf.Machine
	// framesFromBase: page frames are counted from where memory begins, a multiple of 2 MiB.
	framesFromBase bool
	// text is the virtual address that the kernel's physical one is counted from (phys_base
	// of the sub header); 0: it is where memory begins, if memoryBase is set.
	text       uint64
	memoryBase bool
	// packed: values of 8 bytes are aligned to 4 in the headers of its 32-bit kernels.
	packed bool
}

// machines is the table. A machine that is not in it has no trait.
var machines = []traits{
	{machine: elf.EM_X86_64, text: vmcore.StartKernelMap},
	{machine: elf.EM_386, packed: true},
	{machine: elf.EM_ARM, framesFromBase: true, memoryBase: true},
	{machine: elf.EM_AARCH64, memoryBase: true},
	{machine: elf.EM_RISCV, memoryBase: true},
}

// traitsOf looks a machine up.
func traitsOf(m elf.Machine) traits {
	for _, t := range machines {
		if t.machine == m {
			return t
		}
	}
	return traits{machine: m}
}

// machineName is what uname -m says on a machine.
func machineName(p vmcore.Platform) string {
	for _, m := range []struct {
		machine elf.Machine
		word    int              // bytes; 0: of any size
		order   binary.ByteOrder // nil: of either
		name    string
	}{
		{machine: elf.EM_X86_64, name: "x86_64"}, {machine: elf.EM_386, name: "i686"},
		{machine: elf.EM_AARCH64, name: "aarch64"}, {machine: elf.EM_ARM, name: "armv7l"},
		{machine: elf.EM_PPC64, order: binary.LittleEndian, name: "ppc64le"}, {machine: elf.EM_PPC64, name: "ppc64"}, {machine: elf.EM_PPC, name: "ppc"},
		{machine: elf.EM_RISCV, word: 8, name: "riscv64"}, {machine: elf.EM_RISCV, name: "riscv32"},
		{machine: elf.EM_LOONGARCH, word: 8, name: "loongarch64"}, {machine: elf.EM_LOONGARCH, name: "loongarch32"},
		{machine: elf.EM_S390, word: 8, name: "s390x"}, {machine: elf.EM_S390, name: "s390"},
		{machine: elf.EM_MIPS, word: 8, name: "mips64"}, {machine: elf.EM_MIPS, name: "mips"},
		{machine: elf.EM_SPARCV9, name: "sparc64"}, {machine: elf.EM_IA_64, name: "ia64"}, {machine: elf.EM_ALPHA, name: "alpha"},
	} {
		if m.machine == p.Machine && (m.word == 0 || m.word == p.Word) && (m.order == nil || m.order == p.Order) {
			return m.name
		}
	}
	return "Unknown" // as QEMU has it
}
