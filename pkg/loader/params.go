package loader

import "debug/elf"

// CrashParam is a word that a capture kernel's command line needs, and why.
type CrashParam struct {
	Text   string   // what is appended
	Unless []string // parameters that say the user has decided this already
	On     []elf.Machine
	Why    string
}

// DroppedParam is a parameter of the running kernel that must not reach a
// capture kernel (or, with Boot, any kernel that is not loaded by a boot loader).
type DroppedParam struct {
	Name string
	Boot bool // dropped for an ordinary kexec too
	Why  string
}

// CrashParams lists what is appended to a capture kernel's command line, in
// this order (Documentation/admin-guide/kdump/kdump.rst and kernel-parameters.txt).
func CrashParams() []CrashParam {
	x86 := []elf.Machine{elf.EM_X86_64, elf.EM_386}
	acpi := []elf.Machine{elf.EM_X86_64, elf.EM_386, elf.EM_AARCH64, elf.EM_LOONGARCH}
	ppc := []elf.Machine{elf.EM_PPC64}
	return []CrashParam{
		{Text: "nr_cpus=1", Unless: []string{"nr_cpus", "maxcpus", "nosmp"}, On: not(elf.EM_PPC64),
			Why: "one CPU is enough, and per-CPU memory is what a small crashkernel= lacks"},
		{Text: "maxcpus=1", Unless: []string{"nr_cpus", "maxcpus", "nosmp"}, On: ppc,
			Why: "as nr_cpus=1, but the crashed CPU's number may be above it on this architecture"},
		{Text: "reset_devices", Unless: []string{"reset_devices"},
			Why: "devices were left running; drivers must reset them first"},
		{Text: "irqpoll", Unless: []string{"irqpoll", "irqfixup"}, On: append(x86, elf.EM_PPC64, elf.EM_AARCH64),
			Why: "interrupts left pending by the dead kernel must not get a line disabled"},
		{Text: "acpi_no_memhotplug", Unless: []string{"acpi_no_memhotplug"}, On: acpi,
			Why: "else the capture kernel adds DIMMs by itself, and their old content is unreadable or overwritten"},
		{Text: "noirqdistrib", Unless: []string{"noirqdistrib"}, On: ppc,
			Why: "interrupts go to the one CPU that runs"},
		{Text: "mce=off", Unless: []string{"mce"}, On: x86,
			Why: "a machine check broadcast by CPUs that still run must not stop the dump"},
		{Text: "numa=off", Unless: []string{"numa"}, On: append(x86, elf.EM_PPC64),
			Why: "per-node structures cost memory"},
		{Text: "cgroup_disable=memory", Unless: []string{"cgroup_disable"},
			Why: "memory cgroup structures cost memory"},
		{Text: "transparent_hugepage=never", Unless: []string{"transparent_hugepage"},
			Why: "2 MiB pages waste a small memory"},
		{Text: "hugetlb_cma=0", Unless: []string{"hugetlb_cma"},
			Why: "a built-in reservation must not take the crash memory"},
		{Text: "cma=0", Unless: []string{"cma"}, On: []elf.Machine{elf.EM_AARCH64, elf.EM_RISCV, elf.EM_LOONGARCH},
			Why: "kernels have 64 MiB or so built in, of which little can be used for anything else"},
		{Text: "novmcoredd", Unless: []string{"novmcoredd"},
			Why: "device dumps are collected into crash memory and can exhaust it"},
		{Text: "panic=10", Unless: []string{"panic"},
			Why: "a capture kernel that dies too must reboot the machine, not hang it"},
	}
}

// DroppedParams lists what --reuse-cmdline leaves out.
func DroppedParams() []DroppedParam {
	return []DroppedParam{
		{Name: "BOOT_IMAGE", Boot: true, Why: "written by the boot loader, names the old kernel"},
		{Name: "initrd", Boot: true, Why: "read by the EFI stub, names the old initrd"},
		{Name: "kexec_jump_back_entry", Boot: true, Why: "an address in the kernel before"},
		{Name: "elfcorehdr", Boot: true, Why: "an address in the kernel before"},
		{Name: "crashkernel", Why: "a capture kernel has no memory to reserve"},
		{Name: "hugepages", Why: "reserves memory"},
		{Name: "hugepagesz", Why: "goes with hugepages="},
		{Name: "default_hugepagesz", Why: "goes with hugepages="},
		{Name: "hugetlb_cma", Why: "reserves memory"},
		{Name: "cma", Why: "reserves memory"},
		{Name: "kvm_cma_resv_ratio", Why: "reserves memory"},
		{Name: "swiotlb", Why: "reserves memory"},
		{Name: "log_buf_len", Why: "reserves memory"},
		{Name: "trace_buf_size", Why: "reserves memory"},
		{Name: "ftrace", Why: "allocates trace buffers"},
		{Name: "trace_event", Why: "allocates trace buffers"},
		{Name: "reserve_mem", Why: "reserves memory"},
		{Name: "kho", Why: "reserves memory for a handover that never comes"},
		{Name: "page_owner", Why: "costs memory per page"},
		{Name: "page_poison", Why: "costs time per page"},
		{Name: "debug_pagealloc", Why: "costs memory and time"},
		{Name: "slub_debug", Why: "costs memory per object"},
		{Name: "slab_debug", Why: "costs memory per object"},
		{Name: "kfence.sample_interval", Why: "costs memory"},
		{Name: "kmemleak", Why: "costs memory per object"},
		{Name: "mem", Why: "would cut the crash memory off"},
		{Name: "memmap", Why: "would change the map handed to the capture kernel"},
		{Name: "movablecore", Why: "meant for the whole memory"},
		{Name: "kernelcore", Why: "meant for the whole memory"},
		{Name: "memhp_default_state", Why: "memory must not be onlined by the capture kernel"},
		{Name: "nr_cpus", Why: "meant for the whole machine"},
		{Name: "maxcpus", Why: "meant for the whole machine"},
		{Name: "possible_cpus", Why: "meant for the whole machine"},
		{Name: "isolcpus", Why: "meant for the whole machine"},
		{Name: "nohz_full", Why: "meant for the whole machine"},
		{Name: "rcu_nocbs", Why: "meant for the whole machine"},
		{Name: "panic", Why: "the capture kernel gets its own"},
		{Name: "panic_on_warn", Why: "a mere warning would end the capture"},
		{Name: "rdinit", Why: "names the first kernel's init"},
		{Name: "resume", Why: "resuming from hibernation would overwrite the dead kernel's memory"},
		{Name: "resume_offset", Why: "goes with resume="},
	}
}

// CmdlineChange is a word that was dropped from or added to a command line.
type CmdlineChange struct {
	Added bool   `json:"added"`
	Text  string `json:"text"`
	Why   string `json:"why"`
}

// ReuseCmdline makes a command line out of that of the running kernel.
func ReuseCmdline(running Cmdline, kind Kind) (Cmdline, []CmdlineChange) {
	var changes []CmdlineChange
	table := DroppedParams()
	kept, _ := running.Without(func(a Arg) bool {
		for _, d := range table {
			if sameParam(a.Name, d.Name) && (kind == Crash || d.Boot) {
				changes = append(changes, CmdlineChange{Text: a.Text, Why: d.Why})
				return true
			}
		}
		return false
	})
	return kept, changes
}

// CompleteCrashCmdline appends what a capture kernel on machine needs and c
// does not say.
func CompleteCrashCmdline(c Cmdline, machine elf.Machine) (Cmdline, []CmdlineChange) {
	var changes []CmdlineChange
	for _, p := range CrashParams() {
		if !p.appliesTo(machine) || c.Has(p.Unless...) {
			continue
		}
		c = c.Append(Cmdline{Args: []Arg{parseArg(p.Text)}})
		changes = append(changes, CmdlineChange{Added: true, Text: p.Text, Why: p.Why})
	}
	return c, changes
}

func (p CrashParam) appliesTo(machine elf.Machine) bool {
	if p.On == nil {
		return true
	}
	for _, m := range p.On {
		if m == machine {
			return true
		}
	}
	return false
}

func not(without elf.Machine) []elf.Machine {
	var on []elf.Machine
	for _, a := range arches() {
		if a.Machine != without {
			on = append(on, a.Machine)
		}
	}
	return on
}
