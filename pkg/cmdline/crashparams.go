package cmdline

import (
	"debug/elf"
	"strconv"
)

// CrashParam is a word that a capture kernel's command line needs, and why.
type CrashParam struct {
	Text   string              // what is appended
	Value  func(Traits) string // nil: none; else it follows Text
	Unless []string            // parameters that say the user has decided this already
	On     []elf.Machine       // nil: on all
	Not    []elf.Machine       // but not on these
	If     func(Traits) bool   // nil: always
	Since  string              // the Linux release that brought it, if that was 4.0 or later and is known; an older one passes the word to init
	Source string              // who does so, or where the kernel describes it
	Why    string
}

const (
	kdumpGuide = "Documentation/admin-guide/kdump/kdump.rst"
	kdumpUtils = "kdump-utils, gen-kdump-sysconfig.sh"
	kernelDoc  = "Documentation/admin-guide/kernel-parameters.txt"
)

// CrashParams lists what is appended to a capture kernel's command line, in
// this order.
func CrashParams() []CrashParam {
	x86 := []elf.Machine{elf.EM_X86_64, elf.EM_386}
	acpi := []elf.Machine{elf.EM_X86_64, elf.EM_386, elf.EM_AARCH64, elf.EM_LOONGARCH}
	ppc := []elf.Machine{elf.EM_PPC64}
	s390 := []elf.Machine{elf.EM_S390}
	oneCPU := func(t Traits) bool { return t.CPUs <= 1 }
	moreCPUs := func(t Traits) bool { return t.CPUs > 1 }
	cpus := func(t Traits) string { return strconv.Itoa(t.CPUs) }
	return []CrashParam{
		{Text: "nr_cpus=1", Unless: []string{"nr_cpus", "maxcpus", "nosmp"}, Not: ppc, If: oneCPU, Source: kdumpGuide,
			Why: "one CPU is enough, and per-CPU memory is what a small crashkernel= lacks"},
		{Text: "maxcpus=1", Unless: []string{"nr_cpus", "maxcpus", "nosmp"}, On: ppc, If: oneCPU, Source: kdumpGuide,
			Why: "as nr_cpus=1, but the crashed CPU's number may be above it on this architecture"},
		{Text: "nr_cpus=", Value: cpus, Unless: []string{"nr_cpus", "maxcpus", "nosmp"}, Not: ppc, If: moreCPUs, Source: kdumpGuide,
			Why: "as many CPUs as were asked for filter and compress the dump"},
		{Text: "maxcpus=", Value: cpus, Unless: []string{"nr_cpus", "maxcpus", "nosmp"}, On: ppc, If: moreCPUs, Source: kdumpGuide,
			Why: "as nr_cpus=, but the crashed CPU's number may be above it on this architecture"},
		// Later kernels see by themselves that they were not started by the boot CPU
		// (arch/x86/kernel/cpu/topology.c, check_for_real_bsp), and ignore the word.
		{Text: "disable_cpu_apicid=", Value: func(t Traits) string { return strconv.FormatUint(uint64(*t.BootAPIC), 10) }, Unless: []string{"disable_cpu_apicid"}, On: x86,
			If: func(t Traits) bool { return moreCPUs(t) && t.BootAPIC != nil }, Source: kdumpGuide,
			Why: "if another CPU than the boot CPU panics, starting the boot CPU again would reset the machine (Linux before 6.9)"},
		{Text: "reset_devices", Unless: []string{"reset_devices"}, Source: kdumpGuide,
			Why: "devices were left running; drivers must reset them first"},
		{Text: "irqpoll", Unless: []string{"irqpoll", "irqfixup"}, On: []elf.Machine{elf.EM_X86_64, elf.EM_386, elf.EM_PPC64, elf.EM_AARCH64}, Source: kdumpGuide,
			Why: "interrupts left pending by the crashed kernel must not get a line disabled"},
		{Text: "acpi_no_memhotplug", Unless: []string{"acpi_no_memhotplug"}, On: acpi, Source: kernelDoc,
			Why: "else the capture kernel adds DIMMs by itself, and their old content is unreadable or overwritten"},
		{Text: "hest_disable", Unless: []string{"hest_disable"}, On: acpi, Source: kdumpUtils,
			Why: "errors that the firmware reports (ACPI HEST) must not stop the dump, and their tables cost memory"},
		{Text: "pcie_ports=compat", Unless: []string{"pcie_ports"}, On: x86, Source: kdumpUtils,
			Why: "PCIe ports left running interrupt with hotplug and error events, which a capture has no use for"},
		{Text: "noirqdistrib", Unless: []string{"noirqdistrib"}, On: ppc, Source: kdumpUtils,
			Why: "interrupts go to the one CPU that runs"},
		{Text: "mce=off", Unless: []string{"mce"}, On: x86, Source: kdumpUtils,
			Why: "a machine check broadcast by CPUs that still run must not stop the dump"},
		{Text: "nokaslr", Unless: []string{"nokaslr"}, On: x86, Source: kdumpUtils,
			Why: "another place would only break up a small memory"},
		{Text: "numa=off", Unless: []string{"numa"}, On: []elf.Machine{elf.EM_X86_64, elf.EM_386, elf.EM_PPC64}, Source: kdumpUtils,
			Why: "per-node structures cost memory"},
		{Text: "cgroup_disable=memory", Unless: []string{"cgroup_disable"}, Source: kdumpUtils,
			Why: "memory cgroup structures cost memory"},
		{Text: "transparent_hugepage=never", Unless: []string{"transparent_hugepage"}, Source: kdumpUtils,
			Why: "2 MiB pages waste a small memory"},
		{Text: "kfence.sample_interval=0", Unless: []string{"kfence.sample_interval"}, Since: "5.12", Source: kdumpUtils,
			Why: "distributions' kernels have KFENCE on, whose pool costs 2 MiB"},
		{Text: "hugetlb_cma=0", Unless: []string{"hugetlb_cma"}, Since: "5.7", Source: kdumpUtils,
			Why: "a built-in reservation must not take the crash memory"},
		{Text: "cma=0", Unless: []string{"cma"}, Source: kdumpUtils,
			Why: "kernels have 64 MiB or so built in, of which little can be used for anything else"},
		{Text: "kvm_cma_resv_ratio=0", Unless: []string{"kvm_cma_resv_ratio"}, On: ppc, Source: kdumpUtils,
			Why: "5 % of the memory would be set aside for guests"},
		{Text: "vmcp_cma=0", Unless: []string{"vmcp_cma"}, On: s390, Since: "4.14", Source: kdumpUtils,
			Why: "4 MiB would be set aside for z/VM's commands"},
		{Text: "swiotlb=noforce", Unless: []string{"swiotlb"}, On: []elf.Machine{elf.EM_AARCH64}, If: func(t Traits) bool { return t.NoBounce }, Since: "4.10", Source: kdumpUtils,
			Why: "64 MiB would be set aside to bounce DMA, and devices reach all of the crash memory"},
		{Text: "kho=off", Unless: []string{"kho"}, If: func(t Traits) bool { return t.Handover }, Since: "6.16", Source: "kernel/liveupdate/kexec_handover.c",
			Why: "this kernel has it on unless told, and would set memory aside for a handover that never comes"},
		{Text: "novmcoredd", Unless: []string{"novmcoredd"}, Source: kdumpUtils,
			Why: "device dumps are collected into crash memory and can exhaust it"},
		{Text: "initramfs_options=size=90%", Unless: []string{"initramfs_options"}, Since: "6.18", Source: kdumpUtils,
			Why: "an initramfs may fill half of a small memory only, else"},
		{Text: "udev.children-max=2", Unless: []string{"udev.children-max"}, Source: kdumpUtils,
			Why: "a distribution's capture initramfs would start a process per device"},
		{Text: "panic=10", Unless: []string{"panic"}, Source: kdumpUtils,
			Why: "a capture kernel that dies too must reboot the machine, not hang it"},
	}
}
