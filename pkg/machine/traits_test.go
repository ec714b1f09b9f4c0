package machine_test

import (
	"debug/elf"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/kexectest"
	"github.com/gokexec/gokexec/pkg/cmdline"
	"github.com/gokexec/gokexec/pkg/kconfig"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/memmap"
)

func TestComplete(t *testing.T) {
	tests := []struct {
		name, in   string
		machine    elf.Machine
		crash      []memmap.Range
		with, less []string
	}{
		{"x86", "root=/dev/sda", elf.EM_X86_64, nil, []string{"nr_cpus=1", "reset_devices", "irqpoll", "acpi_no_memhotplug", "panic=10", "mce=off"}, []string{"maxcpus=1"}},
		{"decided already", "nr_cpus=2 panic=0 mce=on irqpoll", elf.EM_X86_64, nil, []string{"nr_cpus=2", "panic=0", "mce=on"}, []string{"nr_cpus=1", "panic=10", "mce=off"}},
		{"maxcpus counts as nr_cpus", "maxcpus=1", elf.EM_X86_64, nil, []string{"maxcpus=1"}, []string{"nr_cpus=1"}},
		{"arm64", "", elf.EM_AARCH64, nil, []string{"nr_cpus=1", "reset_devices", "acpi_no_memhotplug"}, []string{"mce=off"}},
		{"ppc64", "", elf.EM_PPC64, nil, []string{"maxcpus=1", "noirqdistrib"}, []string{"nr_cpus=1", "acpi_no_memhotplug"}},
		{"riscv", "", elf.EM_RISCV, nil, []string{"nr_cpus=1", "panic=10"}, []string{"irqpoll", "acpi_no_memhotplug"}},
		{"arm64 below 4 GiB", "", elf.EM_AARCH64, []memmap.Range{{Start: 0xe0000000, End: 1 << 32}}, []string{"swiotlb=noforce", "cma=0"}, []string{"nokaslr"}},
		{"arm64 above 4 GiB", "", elf.EM_AARCH64, []memmap.Range{{Start: 1 << 32, End: 1<<32 + 1<<28}}, nil, []string{"swiotlb=noforce"}},
		{"what distributions add", "", elf.EM_X86_64, nil, []string{"kfence.sample_interval=0", "hest_disable", "pcie_ports=compat", "nokaslr", "cma=0", "initramfs_options=size=90%", "udev.children-max=2"}, []string{"swiotlb=noforce", "vmcp_cma=0"}},
		{"s390x", "", elf.EM_S390, nil, []string{"vmcp_cma=0", "cma=0"}, []string{"hest_disable", "pcie_ports=compat"}},
		{"before init's words", "a -- single", elf.EM_X86_64, nil, []string{"-- single"}, nil},
	}
	for _, tt := range tests {
		c, err := cmdline.Parse(tt.in)
		if err != nil {
			t.Fatal(err)
		}
		host := &machine.Host{Arch: machine.Arch{Machine: tt.machine}, Crash: tt.crash}
		got, _ := cmdline.Complete(c, host.CmdlineTraits())
		words := " " + got.String() + " "
		for _, w := range tt.with {
			if strings.Count(words, " "+w+" ") != 1 {
				t.Errorf("%s: Complete(%q) = %q; want %q in it once", tt.name, tt.in, got, w)
			}
		}
		for _, w := range tt.less {
			if strings.Contains(words, " "+w+" ") {
				t.Errorf("%s: Complete(%q) = %q; want no %q", tt.name, tt.in, got, w)
			}
		}
		if again, more := cmdline.Complete(got, host.CmdlineTraits()); again.String() != got.String() || len(more) != 0 {
			t.Errorf("%s: completing twice adds %v; want nothing", tt.name, more)
		}
	}
}

// A kernel that has kexec handover on by itself is told to leave it.
func TestCompleteHandover(t *testing.T) {
	for _, on := range []bool{false, true} {
		host := &machine.Host{Arch: kexectest.Arch(t, "x86_64"), Config: kconfig.Config{}}
		if on {
			host.Config["KEXEC_HANDOVER_ENABLE_DEFAULT"] = "y"
		}
		if c, _ := cmdline.Complete(cmdline.Cmdline{}, host.CmdlineTraits()); c.Has("kho") != on {
			t.Errorf("handover on by default %t: %q", on, c)
		}
	}
}
