package machine

import (
	"debug/elf"
	"fmt"
	"runtime"
	"strings"
)

// Arch is what loading must know of an architecture, on whatever machine the
// plan is made.
type Arch struct {
	Name       string      // as uname -m says
	GOARCH     string      // as Go says
	Machine    elf.Machine // e_machine of its kernels
	FileLoad   bool        // the kernel can have kexec_file_load
	BootParams bool        // its kernels are told all by struct boot_params
	DeviceTree bool        // its kernels are told all by a device tree
	LiveTree   bool        // the device tree changes while the kernel runs: it is read from its directories
	Bounces    bool        // a capture kernel takes memory for SWIOTLB where devices might not reach all of its own
	BackedUp   uint64      // bytes from address 0 on that a crash kernel uses, and that are copied before (arch/powerpc/include/asm/crashdump-ppc64.h, BACKUP_SRC_SIZE)
	OwnHeader  bool        // its capture kernel makes the elfcorehdr, of the memory that it finds (arch/s390/kernel/crash_dump.c, elfcorehdr_alloc)
	OneCmdline bool        // the kernel keeps one command line for both images: see check.OneCmdline
	BootReset  bool        // an INIT to the boot CPU resets the machine, so that a capture kernel must not start it
	LowMiB     bool        // the elfcorehdr that the kernel makes lacks the first MiB of RAM, by design
	DiskKeys   bool        // kexec_file_load hands over keys of encrypted disks, and this was tried
	StuckCPUs  bool        // EBUSY from a load for a reboot also means that CPUs can't be stopped
	CmdlineMax int         // bytes with the NUL: COMMAND_LINE_SIZE (asm/setup.h); a bzImage's header says its own
}

// Arches lists the architectures that are known.
func Arches() []Arch {
	return []Arch{
		{Name: "x86_64", GOARCH: "amd64", Machine: elf.EM_X86_64, FileLoad: true, BootParams: true, BootReset: true, LowMiB: true, DiskKeys: true, CmdlineMax: 2048},
		{Name: "aarch64", GOARCH: "arm64", Machine: elf.EM_AARCH64, FileLoad: true, DeviceTree: true, Bounces: true, StuckCPUs: true, CmdlineMax: 2048},
		{Name: "riscv64", GOARCH: "riscv64", Machine: elf.EM_RISCV, FileLoad: true, DeviceTree: true, CmdlineMax: 1024},
		{Name: "ppc64le", GOARCH: "ppc64le", Machine: elf.EM_PPC64, FileLoad: true, DeviceTree: true, LiveTree: true, BackedUp: 64 << 10, CmdlineMax: 2048},
		{Name: "s390x", GOARCH: "s390x", Machine: elf.EM_S390, FileLoad: true, OwnHeader: true, CmdlineMax: 4096},
		{Name: "loongarch64", GOARCH: "loong64", Machine: elf.EM_LOONGARCH, FileLoad: true, OneCmdline: true, CmdlineMax: 4096},
		{Name: "armv7l", GOARCH: "arm", Machine: elf.EM_ARM, CmdlineMax: 1024},
		{Name: "i686", GOARCH: "386", Machine: elf.EM_386, BootReset: true, LowMiB: true, CmdlineMax: 2048},
	}
}

// Names are those of the architectures, as uname -m says.
func Names() []string {
	var names []string
	for _, a := range Arches() {
		names = append(names, a.Name)
	}
	return names
}

// ArchByName finds an architecture by its uname or Go name.
func ArchByName(name string) (Arch, error) {
	for _, a := range Arches() {
		if name == a.Name || name == a.GOARCH {
			return a, nil
		}
	}
	return Arch{}, fmt.Errorf("architecture %q: not supported; known are %s", name, strings.Join(Names(), ", "))
}

// ArchOf finds an architecture by the e_machine of its kernels; the zero Arch if it is not
// known.
func ArchOf(m elf.Machine) Arch {
	for _, a := range Arches() {
		if a.Machine == m {
			return a
		}
	}
	return Arch{}
}

// NativeArch is the architecture this program was built for.
func NativeArch() (Arch, error) {
	return ArchByName(runtime.GOARCH)
}
