package reservation

import (
	"debug/elf"

	"github.com/gokexec/gokexec/internal/uname"
)

// arch is what differs between architectures: a row of the table.
type arch struct {
	machine elf.Machine
	// high is the release whose kernel knows ",high" and ",low" and goes above 4 GiB by itself, {0, 0}: each; nil: none does.
	high *[2]int
	// anywhere: devices reach all memory, or an IOMMU is always there: nothing has to be below 4 GiB.
	anywhere bool
	// allCPUs: a capture kernel has per-CPU memory for all CPUs that the machine may have (maxcpus=, not
	// nr_cpus=), in bytes for each; as kdump-utils has it.
	allCPUs uint64
}

func archTable() []arch {
	return []arch{
		{machine: elf.EM_X86_64, high: &[2]int{0, 0}},
		{machine: elf.EM_AARCH64, high: &[2]int{6, 0}},
		{machine: elf.EM_RISCV, high: &[2]int{6, 7}},
		{machine: elf.EM_LOONGARCH, high: &[2]int{6, 12}},
		{machine: elf.EM_PPC64, anywhere: true, allCPUs: 1 << 20},
		{machine: elf.EM_S390, anywhere: true},
	}
}

// arch is the row of m; one that is not in the table has the zero row.
func (m *Machine) arch() arch {
	for _, row := range archTable() {
		if row.machine == m.Arch {
			return row
		}
	}
	return arch{}
}

// knowsHigh tells whether the kernel takes memory above 4 GiB.
func (m *Machine) knowsHigh() bool {
	since := m.arch().high
	return since != nil && (since[0] == 0 || uname.AtLeast(m.Release, since[0], since[1]))
}
