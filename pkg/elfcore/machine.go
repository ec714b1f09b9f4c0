package elfcore

import "debug/elf"

// traits are what differs between machines in a dump's ELF form: a row of the table.
type traits struct {
	machine elf.Machine
	// word is the size of a long in bytes where the ELF class does not tell; 0: the class tells.
	word int
	// identity: the kernel is mapped at its physical address, so that a p_vaddr of 0 is one.
	identity bool
	// incompleteFlag: bit 0 of e_flags has no meaning of its own, and makedumpfile's is heeded.
	incompleteFlag bool
	// needsText: the kernel text has a mapping of its own, and a header without it is of no use.
	needsText bool
}

// machines is the table. A machine that is not in it has no trait.
var machines = []traits{
	{machine: elf.EM_X86_64, incompleteFlag: true, needsText: true},
	{machine: elf.EM_AARCH64, incompleteFlag: true},
	{machine: elf.EM_386, incompleteFlag: true, word: 4},
	{machine: elf.EM_ARM, word: 4},
	{machine: elf.EM_PPC, word: 4},
	{machine: elf.EM_SH, word: 4},
	{machine: elf.EM_S390, identity: true},
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
