package reservation

import (
	"debug/elf"
	"slices"
)

// Default is what a distribution reserves unless it is told otherwise.
type Default struct {
	Name   string `json:"name"`
	Value  string `json:"crashkernel"`
	Bytes  uint64 `json:"bytes"` // on this machine; 0: nothing
	Source string `json:"source"`
}

// defaultRow is a default with the machines that it is for.
type defaultRow struct {
	name   string
	arches []elf.Machine           // nil: all
	value  string                  // of crashkernel=
	more   func(m *Machine) uint64 // bytes in addition; nil: none
	source string
}

const kdumpUtilsSource = "kdump-utils, kdump-lib.sh"

// ppc64Table is Fedora's for POWER without firmware-assisted dumps.
const ppc64Table = "2G-4G:384M,4G-16G:512M,16G-64G:1G,64G-128G:2G,128G-:4G"

// defaultRows are the tables in force at the end of 2026.
func defaultRows() []defaultRow {
	x86, arm64 := []elf.Machine{elf.EM_X86_64}, []elf.Machine{elf.EM_AARCH64}
	return []defaultRow{
		{"Fedora, RHEL 10", []elf.Machine{elf.EM_X86_64, elf.EM_S390}, "2G-64G:256M,64G-:512M", func(m *Machine) uint64 {
			return when(m.Encrypted, 64<<20)
		}, kdumpUtilsSource},
		{"Fedora, RHEL 10", arm64, "2G-4G:256M,4G-64G:320M,64G-:576M", func(m *Machine) uint64 {
			large := m.Page >= 64<<10
			return when(large, 100<<20) + when(large && m.SMMU, 384<<20)
		}, kdumpUtilsSource},
		{"Fedora, RHEL 10", []elf.Machine{elf.EM_PPC64}, ppc64Table, func(m *Machine) uint64 {
			return uint64(m.AllCPUs) << 20
		}, kdumpUtilsSource},
		{"RHEL 9", x86, "1G-2G:192M,2G-64G:256M,64G-:512M", nil, "kexec-tools of RHEL 9"},
		{"Ubuntu 24.10 to 26.04", []elf.Machine{elf.EM_X86_64, elf.EM_AARCH64, elf.EM_PPC64, elf.EM_S390}, "2G-4G:320M,4G-32G:512M,32G-64G:1024M,64G-128G:2048M,128G-:4096M", nil, "Ubuntu Server's documentation"},
		{"Debian, kdump-tools", nil, "512M-:192M", nil, "grub.d/kdump-tools.cfg"},
		{"SUSE, not calibrated", []elf.Machine{elf.EM_X86_64, elf.EM_AARCH64, elf.EM_S390, elf.EM_RISCV}, "192M", nil, "kdump, calibrate.cc"},
		{"SUSE, not calibrated", []elf.Machine{elf.EM_PPC64}, "384M", nil, "kdump, calibrate.cc"},
		{"Fedora CoreOS", x86, "300M", nil, "Fedora CoreOS's documentation"},
	}
}

func when(yes bool, n uint64) uint64 {
	if yes {
		return n
	}
	return 0
}

// Defaults are those of the distributions for a machine like this one.
func Defaults(m Machine) []Default {
	var list []Default
	for _, row := range defaultRows() {
		if row.arches != nil && !slices.Contains(row.arches, m.Arch) {
			continue
		}
		v, err := Parse(row.value)
		if err != nil {
			continue // a test parses all
		}
		d := Default{Name: row.name, Value: row.value, Bytes: v.Size(m.RAM), Source: row.source}
		if row.more != nil && d.Bytes > 0 {
			d.Bytes += row.more(&m)
		}
		list = append(list, d)
	}
	return list
}
