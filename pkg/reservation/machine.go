package reservation

import (
	"debug/elf"
	"errors"
	"io"
	"io/fs"
	"slices"
	"strings"

	"github.com/gokexec/gokexec/pkg/bootimage"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/memmap"
)

// Machine is what the size of a reservation depends on. Sizes are in bytes; 0 is not known, and what is usual
// is taken then.
type Machine struct {
	Arch    elf.Machine
	Release string // of the kernel
	Page    uint64
	RAM     uint64         // all RAM
	LowRAM  memmap.Set     // the part below 4 GiB that crashkernel= may take
	Crash   []memmap.Range // reserved now, ascending

	Image  uint64 // what the capture kernel's image needs to start
	Kernel uint64 // the kernel as it runs, from its code to its bss

	Packed   uint64 // the capture initramfs as it is loaded
	Unpacked uint64 // and as it is unpacked

	CPUs       int    // of the capture kernel; 0 is one
	AllCPUs    int    // that the machine may have
	Header     uint64 // the elfcorehdr
	Control    uint64 // the kernel's own pages in the crash memory: identity mapping and the like
	PCIDevices int
	Virtual    bool // under a hypervisor: firmware and devices are few
	Encrypted  bool // SME, SEV or TDX: every DMA is bounced
	NoBounce   bool // arm64: an IOMMU translates for all devices
	SMMU       bool // arm64: with an SMMU
}

// fourGiB is as far as devices with 32 address bits reach.
const fourGiB = 1 << 32

// ReadMachine reads the running machine: root is its "/".
func ReadMachine(root fs.FS) (Machine, error) {
	arch, err := machine.NativeArch()
	if err != nil {
		return Machine{}, err
	}
	host, err := machine.ReadHost(root, arch)
	if err != nil {
		return Machine{}, err
	}
	return Of(root, host), nil
}

// Of makes a Machine of one that was read already, from root. It takes no kernel lock.
func Of(root fs.FS, host *machine.Host) Machine {
	m := Machine{Arch: host.Arch.Machine, Release: host.Release, Page: host.Page(), RAM: host.MemTotal, Crash: host.Crash, Header: host.ElfcorehdrSize}
	if host.Iomem != nil {
		ram := host.Iomem.SystemRAM()
		m.RAM = ram.Size()
		m.LowRAM = host.Iomem.BootRAM().Intersect(memmap.NewSet(memmap.Range{End: fourGiB}))
		m.Kernel = host.Iomem.KernelImage().Size()
		m.Control = controlPages(ram, m.Page)
	}
	m.Image = imageMemory(root, host.Release)
	m.AllCPUs = sysfsCount(root, "sys/devices/system/cpu/cpu[0-9]*")
	m.PCIDevices = sysfsCount(root, "sys/bus/pci/devices/*")
	flags := cpuFlags(root)
	m.Virtual = host.Arch.BootParams && slices.Contains(flags, "hypervisor")
	m.Encrypted = encrypted(flags, host)
	if host.Arch.Bounces {
		m.NoBounce = host.DMATranslated && !host.ConfidentialGuest
		m.SMMU = sysfsCount(root, "sys/class/iommu/smmu*")+sysfsCount(root, "sys/class/iommu/arm-smmu*") > 0
	}
	return m
}

// controlPages bounds the identity mapping of all RAM: a page of tables per GiB (arch/x86/mm/ident_map.c; others
// have less), and the kernel's own copies.
func controlPages(ram memmap.Set, page uint64) uint64 {
	tables := uint64(0)
	for _, r := range ram.Ranges() {
		tables += r.Size()>>30 + 2
	}
	return (64 + tables) * page
}

func sysfsCount(root fs.FS, pattern string) int {
	names, _ := fs.Glob(root, pattern) // the patterns are good
	return len(names)
}

// cpuFlags are those of the first CPU (arch/x86/kernel/cpu/proc.c, show_cpuinfo).
func cpuFlags(root fs.FS) []string {
	for line := range strings.Lines(machine.ReadText(root, "proc/cpuinfo")) {
		if key, value, _ := strings.Cut(line, ":"); strings.TrimSpace(key) == "flags" {
			return strings.Fields(value)
		}
	}
	return nil
}

// encrypted tells whether memory encryption is on: in a guest that has the flag, or, with SME, if
// the kernel was told so or built so (arch/x86/mm/mem_encrypt_amd.c).
func encrypted(flags []string, host *machine.Host) bool {
	has := func(flag string) bool { return slices.Contains(flags, flag) }
	if has("tdx_guest") || has("hypervisor") && (has("sev") || has("sev_es") || has("sev_snp")) {
		return true
	}
	on, told := host.Cmdline.Lookup("mem_encrypt")
	if !told {
		return has("sme") && host.Config.On("AMD_MEM_ENCRYPT_ACTIVE_BY_DEFAULT")
	}
	return has("sme") && on == "on"
}

// imageMemory reads what the bzImage of that release needs to start; other images tell by where they run.
func imageMemory(root fs.FS, release string) uint64 {
	for _, name := range []string{"boot/vmlinuz-" + release, "usr/lib/modules/" + release + "/vmlinuz", "lib/modules/" + release + "/vmlinuz"} {
		if n, err := bzImageMemory(root, name); err == nil {
			return n
		}
	}
	return 0
}

func bzImageMemory(root fs.FS, name string) (uint64, error) {
	f, err := root.Open(name)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	r, ok := f.(io.ReaderAt)
	info, err := f.Stat()
	if err != nil || !ok || !info.Mode().IsRegular() {
		return 0, errors.Join(err, errors.ErrUnsupported)
	}
	image, err := bootimage.OpenWithin(r, info.Size(), 0) // what is wrapped is not unpacked
	if err != nil {
		return 0, err
	}
	return image.MemSize, nil
}

// Reserved is the size of the crash memory that is loaded into, and of all of it.
func (m *Machine) Reserved() (region, all uint64) {
	for _, r := range m.Crash {
		region = r.Size() // the last is the highest
		all += r.Size()
	}
	return region, all
}
