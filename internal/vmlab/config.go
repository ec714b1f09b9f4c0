package vmlab

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/gokexec/gokexec/pkg/fdt"
)

// Config says what to boot. The zero value of each field is what most tests
// want; only Kernel is needed.
type Config struct {
	Kernel *Kernel

	Memory      int    // MiB; 512 by default
	MaxMemory   int    // MiB; more than Memory: DIMMs can be added
	CPUs        int    // 1 by default
	MaxCPUs     int    // more than CPUs: CPUs can be added
	CrashKernel string // value of crashkernel=; empty for none
	Cmdline     string // appended to the kernel's command line

	Files   []File   // for the initramfs, in addition to the agent
	Modules []string // kernel modules to load before the guest answers, by name
	Disks   []Disk

	Machine  string   // QEMU's -machine; the architecture's usual one by default
	CPU      string   // QEMU's -cpu model with its flags, instead of the default
	CPUFlags []string // added to the default, like "-la57"
	Firmware string   // "", "uefi" for OVMF, "opensbi" for Debian's newest stable instead of QEMU's
	Channel  string   // "uart" or "virtio"; by default the faster that is built in
	Args     []string // more arguments for QEMU

	// Tree changes the device tree that QEMU makes for the guest; on riscv64 (on arm64
	// QEMU has the last word on memory).
	Tree func(root *fdt.Node) error

	// Root is a disk's device in the guest, such as /dev/nvme0n1: its ext4 is the
	// root, its systemd is started, and the agent runs under that from /run. Files
	// are copied to the disk before. See [GetDebian].
	Root string

	// Bare: instead of the systemd of Root the agent is its init, and nothing else runs. See [ToolsDisk].
	Bare bool

	// BootDisk: the firmware starts what the first disk holds; see [GetBootable]. Files are copied
	// to it at each start. CrashKernel and Cmdline are its boot loader's affair.
	BootDisk bool

	Init string // guest path to start instead of the agent, which then isn't waited for
	Dir  string // for the VM's files; a temporary one by default
}

// Disk is a raw disk of a guest.
type Disk struct {
	Size   int64  // bytes; 8 GiB by default. The file is sparse
	Bus    string // "nvme" (default), "virtio" or "scsi"
	Source string // host file to use as it is, instead of a new empty one
	Serial string // "gokexec" and the disk's index by default
	Drive  string // more of QEMU's -drive options, like "bps_wr=1000000"
	Device string // more of QEMU's -device options, like "share-rw=on"
}

// busSpec is how a disk is attached: QEMU's device, and the kernel's modules for it.
type busSpec struct {
	device  string
	modules []string
}

var busSpecs = map[string]busSpec{
	"nvme":   {"nvme", []string{"nvme"}},
	"virtio": {"virtio-blk", []string{"virtio_blk"}},
	"scsi":   {"scsi-hd", []string{"virtio_scsi", "sd_mod"}},
}

// withDefaults checks a configuration and fills it in.
func (cfg Config) withDefaults() (Config, error) {
	if cfg.Kernel == nil {
		return cfg, fmt.Errorf("no kernel given")
	}
	spec, ok := machineSpecs[cfg.Kernel.Arch]
	if !ok {
		return cfg, fmt.Errorf("no machine for architecture %s", cfg.Kernel.Arch)
	}
	if cfg.Memory == 0 {
		cfg.Memory = 512
	}
	if cfg.CPUs == 0 {
		cfg.CPUs = 1
	}
	if cfg.Machine == "" {
		cfg.Machine = spec.machine
	}
	if cfg.Firmware == "" {
		cfg.Firmware = spec.firmware
	}
	if cfg.Channel == "" {
		// A virtio port is a hundred times faster, a UART always built in. A system on a boot disk loads what it needs.
		cfg.Channel = "virtio"
		if spec.uart != "" && !cfg.BootDisk && !cfg.Kernel.builtin(spec.virtio, "virtio_console") {
			cfg.Channel = "uart"
		}
	}
	if cfg.Channel == "uart" && spec.uart == "" {
		return cfg, fmt.Errorf("%s has no second serial port", cfg.Kernel.Arch)
	}
	nvme := 0
	for i := range cfg.Disks {
		d := &cfg.Disks[i]
		if d.Size == 0 {
			d.Size = 8 << 30
		}
		if d.Bus == "" {
			d.Bus = "nvme"
		}
		if _, ok := busSpecs[d.Bus]; !ok {
			return cfg, fmt.Errorf("disk %d: unknown bus %q", i, d.Bus)
		}
		if d.Serial == "" {
			d.Serial = fmt.Sprintf("gokexec%d", i)
		}
		if d.Bus == "nvme" {
			nvme++
		}
	}
	if strings.HasPrefix(cfg.Root, "/dev/nvme") && nvme > 1 {
		return cfg, fmt.Errorf("root %s: of %d NVMe disks either may have that name", cfg.Root, nvme)
	}
	return cfg, nil
}

// neededModules are those for the devices the configuration asks for.
func (cfg *Config) neededModules() []string {
	names := append([]string(nil), cfg.Modules...)
	virtio := machineSpecs[cfg.Kernel.Arch].virtio
	for _, d := range cfg.Disks {
		if d.Bus != "nvme" {
			names = append(names, virtio)
		}
		names = append(names, busSpecs[d.Bus].modules...)
	}
	if cfg.Channel == "virtio" {
		names = append(names, virtio, "virtio_console")
	}
	return names
}

// AgentCmdline is what a kernel's command line needs for the agent to answer,
// and the console to be kept: also the second kernel's of a kexec.
func (cfg *Config) AgentCmdline() string {
	spec := machineSpecs[cfg.Kernel.Arch]
	channel := spec.uart
	if cfg.Channel == "virtio" || channel == "" {
		channel = "virtio:" + channelPort
	}
	return fmt.Sprintf("%s panic=3 lab.channel=%s", cfg.Kernel.ConsoleArg(), channel)
}

func (cfg *Config) cmdline() string {
	words := []string{cfg.AgentCmdline()}
	if cfg.CrashKernel != "" {
		words = append(words, "crashkernel="+cfg.CrashKernel)
	}
	if cfg.Init != "" {
		words = append(words, "rdinit="+cfg.Init)
	}
	if cfg.Root != "" {
		// root= is for the initramfs that a capture kernel gets from the disk.
		words = append(words, "lab.root="+cfg.Root, "root="+cfg.Root, "rw")
	}
	if cfg.Bare {
		words = append(words, "lab.bare")
	}
	if cfg.Cmdline != "" {
		words = append(words, cfg.Cmdline)
	}
	return strings.Join(words, " ")
}

// channelPort is the virtio port of the control channel.
const channelPort = "lab.channel"

// The file descriptors QEMU inherits.
const (
	channelFD = 3
	monitorFD = 4
)

// qemuArgs makes QEMU's command line. Everything the VM leaves is in
// dir.
func (cfg *Config) qemuArgs(dir string, firmware []string, major int) []string {
	spec := machineSpecs[cfg.Kernel.Arch]
	accel := accelerator()
	if accel == "tcg" {
		accel = "tcg,thread=multi"
		// QEMU 7.2 lets a CPU run into the int3 of a text patch that another
		// CPU has already finished: an oops in one boot of twenty with two CPUs.
		if cfg.Kernel.Arch == "amd64" && major < 10 && max(cfg.CPUs, cfg.MaxCPUs) > 1 {
			accel = "tcg,thread=single"
		}
	}
	machine := cfg.Machine + ",memory-backend=ram"
	// Shared memory, so that the host can look at it (VM.ReadPhysical).
	args := []string{
		"-name", "gokexec-vmlab", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
		"-machine", machine, "-accel", accel, "-cpu", spec.cpuArg(cfg, accel, major), "-smp", smpArg(cfg),
		"-m", cfg.memoryArg(),
		"-object", fmt.Sprintf("memory-backend-memfd,id=ram,size=%dM,share=on", cfg.Memory),
		"-chardev", "file,id=console,path=" + escape(filepath.Join(dir, consoleName)), "-serial", "chardev:console",
		"-chardev", "socket,id=channel,fd=" + strconv.Itoa(channelFD),
		"-chardev", "socket,id=monitor,fd=" + strconv.Itoa(monitorFD), "-mon", "chardev=monitor,mode=control",
	}
	if cfg.BootDisk {
		args = append(args, "-drive", "if=none,id=vmlab,format=raw,readonly=on,file="+escape(filepath.Join(dir, initramfsName)),
			"-device", "virtio-blk-pci,drive=vmlab,serial=vmlab")
	} else {
		args = append(args, "-kernel", cfg.Kernel.Image, "-initrd", filepath.Join(dir, initramfsName), "-append", cfg.cmdline())
	}
	if cfg.Channel == "uart" {
		args = append(args, "-serial", "chardev:channel")
	}
	if cfg.Channel == "virtio" {
		args = append(args, "-device", "virtio-serial,id=ports", "-device", "virtserialport,bus=ports.0,chardev=channel,name="+channelPort)
	}
	if slices.ContainsFunc(cfg.Disks, func(d Disk) bool { return d.Bus == "scsi" }) {
		args = append(args, "-device", "virtio-scsi")
	}
	for i, d := range cfg.Disks {
		drive := fmt.Sprintf("file=%s,if=none,id=disk%d,format=raw,cache=unsafe", escape(d.file(dir, i)), i)
		if d.Drive != "" {
			drive += "," + d.Drive
		}
		device := fmt.Sprintf("%s,id=disk%ddev,serial=%s,drive=disk%d", busSpecs[d.Bus].device, i, escape(d.Serial), i)
		if d.Device != "" {
			device += "," + d.Device
		}
		if cfg.BootDisk && i == 0 {
			device += ",bootindex=0"
		}
		args = append(args, "-drive", drive, "-device", device)
	}
	if cfg.MaxCPUs > cfg.CPUs && cfg.Kernel.Arch == "amd64" {
		// From 6.12 on only CPUs that a hypervisor promises can be added; of
		// those that Linux believes, VMware's shows by its serial number.
		args = append(args, "-smbios", "type=1,serial=VMware-56")
	}
	args = append(args, firmware...)
	return append(args, cfg.Args...)
}

func (cfg *Config) memoryArg() string {
	arg := fmt.Sprintf("%dM", cfg.Memory)
	if cfg.MaxMemory > cfg.Memory {
		arg += fmt.Sprintf(",slots=32,maxmem=%dM", cfg.MaxMemory)
	}
	return arg
}

func (d Disk) file(dir string, i int) string {
	if d.Source != "" {
		return d.Source
	}
	return filepath.Join(dir, fmt.Sprintf("disk%d.img", i))
}

// escape doubles commas, as QEMU's options want it.
func escape(s string) string { return strings.ReplaceAll(s, ",", ",,") }

const (
	consoleName   = "console.log"
	initramfsName = "initramfs.cpio"
)
