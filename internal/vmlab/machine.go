package vmlab

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// machineSpec is how QEMU is asked for a machine of an architecture.
type machineSpec struct {
	qemu       string // program
	aptPackage string // that has it
	machine    string // default -machine
	cpu        string // default -cpu under TCG
	console    string // the kernel's name for the first serial port
	uart       string // the kernel's name for the second one; empty: use virtio
	virtio     string // the kernel's module for the bus that QEMU's virtio devices are on
	ramBase    uint64 // physical address of the first RAM
	low, high  uint64 // bytes of RAM below a hole, and where the rest is; 0: there is no hole, or it depends (x86)
	least      int    // major version of QEMU that has it
	suite      string // where a package has that, for hosts whose own is older
	firmware   string // the default of Config.Firmware
}

var machineSpecs = map[string]machineSpec{
	"amd64": {qemu: "qemu-system-x86_64", aptPackage: "qemu-system-x86", machine: "q35", cpu: "max",
		console: "ttyS0", uart: "ttyS1", virtio: "virtio_pci"},
	"arm64": {qemu: "qemu-system-aarch64", aptPackage: "qemu-system-arm", machine: "virt,gic-version=3", cpu: "cortex-a72",
		console: "ttyAMA0", virtio: "virtio_pci", ramBase: 0x40000000},
	"riscv64": {qemu: "qemu-system-riscv64", aptPackage: "qemu-system-misc", machine: "virt", cpu: "rv64",
		console: "ttyS0", virtio: "virtio_pci", ramBase: 0x80000000},
	"ppc64le": {qemu: "qemu-system-ppc64", aptPackage: "qemu-system-ppc", machine: "pseries", cpu: "power9",
		console: "hvc0", virtio: "virtio_pci"},
	"s390x": {qemu: "qemu-system-s390x", aptPackage: "qemu-system-misc", machine: "s390-ccw-virtio", cpu: "max",
		console: "ttysclp0", virtio: "virtio_ccw"},
	"loong64": {qemu: "qemu-system-loongarch64", aptPackage: "qemu-system-misc", machine: "virt", cpu: "la464",
		console: "ttyS0", virtio: "virtio_pci", low: 256 << 20, high: 0x80000000, least: 10, suite: "trixie-backports", firmware: "uefi"},
}

// debianArch is Debian's name of a GOARCH.
func debianArch(goarch string) string {
	switch goarch {
	case "ppc64le":
		return "ppc64el"
	case "386":
		return "i386"
	case "arm":
		return "armhf"
	}
	return goarch
}

// accelerator is tcg, unless GOKEXEC_VM_ACCEL names another. KVM isn't tried
// by itself: that /dev/kvm can be opened doesn't say that a kernel boots on it.
func accelerator() string {
	if accel := os.Getenv("GOKEXEC_VM_ACCEL"); accel != "" {
		return accel
	}
	return "tcg"
}

var qemuVersionLine = regexp.MustCompile(`version ([0-9]+)\.([0-9]+)`)

// program is how to run QEMU, and its major version. Where the host has none, or too old a one, it comes from a package
// and runs by that one's libraries.
func (m machineSpec) program(ctx context.Context) (argv []string, major int, err error) {
	qemu, err := exec.LookPath(m.qemu)
	if err == nil {
		if major, err = qemuMajor(qemu); err == nil && major >= m.least {
			return []string{qemu}, major, nil
		}
	}
	if m.suite == "" {
		return nil, 0, fmt.Errorf("QEMU is needed (package %s): %w", m.aptPackage, err)
	}
	p, err := GetPackage(ctx, m.suite, m.aptPackage, debianArch(runtime.GOARCH))
	if err != nil {
		return nil, 0, err
	}
	program, err := p.HostProgram("usr/bin/" + m.qemu)
	if err != nil {
		return nil, 0, err
	}
	major, err = qemuMajor(program.Argv...)
	return append(program.Argv, "-L", p.Path("usr/share/qemu")), major, err
}

// qemuMajor returns the major version of a QEMU program.
func qemuMajor(qemu ...string) (int, error) {
	out, err := exec.Command(qemu[0], append(slices.Clone(qemu[1:]), "--version")...).Output()
	if err != nil {
		return 0, fmt.Errorf("%s --version: %w", strings.Join(qemu, " "), err)
	}
	match := qemuVersionLine.FindSubmatch(out)
	if match == nil {
		return 0, fmt.Errorf("%s --version: no version in %q", qemu, out)
	}
	return strconv.Atoi(string(match[1]))
}

// cpuArg makes the value of -cpu.
func (m machineSpec) cpuArg(cfg *Config, accel string, major int) string {
	model := cfg.CPU
	switch {
	case model != "":
	case strings.HasPrefix(accel, "tcg"):
		model = m.cpu
		// TCG before 10 gives wrong flags for cmpxchg16b: random oopses in
		// about one boot of ten.
		if m.uart != "" && major < 10 {
			model += ",-cx16"
		}
		if m.uart != "" && cfg.MaxCPUs > cfg.CPUs {
			model += ",-hypervisor" // see the SMBIOS serial number in qemuArgs
		}
	default:
		model = "host"
	}
	return strings.Join(append([]string{model}, cfg.CPUFlags...), ",")
}

// smpArg makes the value of -smp; sockets can be hot-added.
func smpArg(cfg *Config) string {
	if cfg.MaxCPUs <= cfg.CPUs {
		return strconv.Itoa(cfg.CPUs)
	}
	return fmt.Sprintf("%d,sockets=%d,cores=1,threads=1,maxcpus=%d", cfg.CPUs, cfg.MaxCPUs, cfg.MaxCPUs)
}

// belowFourGiB is how much of an x86 machine's RAM is below 4 GiB, in bytes
// (QEMU hw/i386/pc_q35.c and pc_piix.c); the rest begins at 4 GiB.
func belowFourGiB(machine string, ram uint64) uint64 {
	limit, split := uint64(0xb0000000), uint64(0x80000000)
	if strings.HasPrefix(machine, "pc") {
		limit, split = 0xe0000000, 0xc0000000
	}
	if ram >= limit {
		return split
	}
	return ram
}
