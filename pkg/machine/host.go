package machine

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"strconv"
	"strings"

	"github.com/gokexec/gokexec/pkg/cmdline"
	"github.com/gokexec/gokexec/pkg/fdt"
	"github.com/gokexec/gokexec/pkg/kconfig"
	"github.com/gokexec/gokexec/pkg/kcore"
	"github.com/gokexec/gokexec/pkg/memmap"
)

// Unlimited is a load limit that was never set.
const Unlimited = -1

// capSysBoot is the number of CAP_SYS_BOOT (include/uapi/linux/capability.h).
const capSysBoot = 22

// Host is what a machine says of itself, read once from a tree of /proc and
// /sys. What could not be read is nil or empty, with the reason in the error beside it, or in Unread.
type Host struct {
	Arch    Arch
	Release string // uname -r

	Cmdline    cmdline.Cmdline
	CmdlineErr error

	Iomem    *memmap.Iomem
	IomemErr error
	Crash    []memmap.Range // reserved for a crash kernel, ascending; the last is loaded into
	MemTotal uint64         // bytes of RAM the kernel manages

	CrashLoaded, BootLoaded *bool

	Lockdown       string // "none", "integrity", "confidentiality"; "" when the kernel has none
	LoadDisabled   bool   // kernel.kexec_load_disabled
	LimitCrash     int    // kernel.kexec_load_limit_panic: loads left, or Unlimited
	LimitBoot      int    // kernel.kexec_load_limit_reboot
	CanBoot        *bool  // CAP_SYS_BOOT is effective
	SecureBoot     *bool  // UEFI says so
	ElfcorehdrSize uint64 // crash_elfcorehdr_size, bytes; 0: the kernel can't update a header
	LA57           bool   // x86: five page-table levels are on

	Config kconfig.Config // build configuration; nil where it is not published or cannot be read

	Handover string // what a reboot by kexec hands on to the next kernel; "": nothing

	// For loading by kexec_load.
	Dump    *kcore.Machine // what an elfcorehdr is built from
	DumpErr error
	X86     *X86 // nil on other architectures

	// Of arm64 and riscv64.
	DeviceTree    *fdt.Tree // what the running kernel was booted with
	DeviceTreeErr error
	PageSize      uint64                // bytes
	SME           bool                  // the Scalable Matrix Extension is in use
	SerialPorts   map[string]SerialPort // in memory, by name: "ttyAMA0"

	// BootAPIC is the initial APIC ID of the boot CPU, of x86; nil is not known.
	BootAPIC *uint32

	// Of arm64: what a capture kernel's DMA needs.
	DMATranslated     bool // an IOMMU translates for every device that is in a group
	ConfidentialGuest bool // a realm (CCA), whose devices see shared memory only

	Unread []error // of all files that are there and could not be read, those above too
}

// ReadHost reads the machine under root: os.DirFS("/") for this one, or a
// collected tree. Only a tree without any /proc is an error; all else is noted
// in Unread. It takes no kernel lock: kexec_crash_size and crash_hotplug, whose
// reading takes the one that a panic needs, are left alone.
func ReadHost(root fs.FS, arch Arch) (*Host, error) { return RereadHost(root, arch, nil) }

// RereadHost is ReadHost for who has read the machine before, and reads less while its
// memory is as it was then. last may be nil.
func RereadHost(root fs.FS, arch Arch, last *kcore.Machine) (*Host, error) {
	return readHost(root, arch, func() (*kcore.Machine, error) { return kcore.RereadMachine(root, last) })
}

// HostOf is ReadHost with a memory and CPUs that were read already; nil: they were not.
func HostOf(root fs.FS, arch Arch, m *kcore.Machine) (*Host, error) {
	if m == nil {
		return ReadHost(root, arch)
	}
	return readHost(root, arch, func() (*kcore.Machine, error) { return m, nil })
}

// hostReader reads a Host: what depends on what was read of it before.
type hostReader struct {
	*reader
	h *Host
}

func readHost(root fs.FS, arch Arch, read func() (*kcore.Machine, error)) (*Host, error) {
	if _, err := fs.Stat(root, "proc"); err != nil {
		return nil, fmt.Errorf("no /proc to read the machine from: %w", err)
	}
	h := &Host{Arch: arch, LimitCrash: Unlimited, LimitBoot: Unlimited}
	r := hostReader{newReader(root), h}

	h.Release = r.text("proc/sys/kernel/osrelease")
	var line string
	if line, h.CmdlineErr = r.read("proc/cmdline"); line != "" {
		h.Cmdline, h.CmdlineErr = cmdline.Parse(line)
	}
	r.unread(h.CmdlineErr)
	r.memory(read)
	h.MemTotal = r.memTotal()
	h.CrashLoaded = r.flag("sys/kernel/kexec/crash_loaded", "sys/kernel/kexec_crash_loaded")
	h.BootLoaded = r.flag(bootLoadedFiles...)
	h.Lockdown = selected(r.optional("sys/kernel/security/lockdown"))
	if v := r.number("proc/sys/kernel/kexec_load_disabled"); v != nil {
		h.LoadDisabled = *v != 0
	}
	if v := r.number("proc/sys/kernel/kexec_load_limit_panic"); v != nil {
		h.LimitCrash = int(*v)
	}
	if v := r.number("proc/sys/kernel/kexec_load_limit_reboot"); v != nil {
		h.LimitBoot = int(*v)
	}
	for _, name := range []string{"sys/kernel/kexec/crash_elfcorehdr_size", "sys/kernel/crash_elfcorehdr_size"} {
		if v := r.number(name); v != nil && *v > 0 {
			h.ElfcorehdrSize = uint64(*v)
			break
		}
	}
	h.CanBoot = r.capability(capSysBoot)
	h.SecureBoot = r.secureBoot()
	h.LA57 = r.cpuFlag("la57") && !h.Cmdline.Has("no5lvl")
	h.Config = readConfig(root, h.Release)
	h.Handover = r.handover()
	if arch.BootParams {
		h.X86 = r.x86()
	}
	h.BootAPIC = r.bootAPIC()
	h.PageSize = r.pageSize()
	if arch.DeviceTree {
		r.deviceTree()
		h.SME, h.SerialPorts = r.cpuFlag("sme"), r.serialPorts()
	}
	if arch.Bounces {
		h.DMATranslated, h.ConfidentialGuest = r.dmaTranslated(), r.exists("sys/bus/platform/devices/arm-cca-dev")
	}
	h.Unread = r.errs
	return h, nil
}

// memory reads the memory map, once: that of Dump, if there is one.
func (r hostReader) memory(read func() (*kcore.Machine, error)) {
	h := r.h
	dump, err := read()
	if err == nil {
		h.Dump, h.Iomem, h.Crash = dump, dump.Iomem, dump.Iomem.CrashKernel()
		return
	}
	iomem, iomemErr := memmap.ReadIomem(r.root)
	if iomemErr != nil {
		h.IomemErr = iomemErr
		r.unread(iomemErr)
		return
	}
	h.Iomem, h.Crash, h.DumpErr = iomem, iomem.CrashKernel(), err
	r.unread(err)
}

// CrashRegion is the range a crash kernel is loaded into: the highest, since
// the kernel refuses the low one (kernel/kexec_core.c, sanity_check_segment_list).
func (h *Host) CrashRegion() (memmap.Range, bool) {
	if len(h.Crash) == 0 {
		return memmap.Range{}, false
	}
	return h.Crash[len(h.Crash)-1], true
}

// Loaded tells whether an image of that kind is loaded; nil when unknown.
func (h *Host) Loaded(kind Kind) *bool {
	if kind == Boot {
		return h.BootLoaded
	}
	return h.CrashLoaded
}

// Limit gives the loads left for that kind, or Unlimited.
func (h *Host) Limit(kind Kind) int {
	if kind == Boot {
		return h.LimitBoot
	}
	return h.LimitCrash
}

// memTotal reads MemTotal (Documentation/filesystems/proc.rst, kB = 1024 bytes).
func (r *reader) memTotal() uint64 {
	for line := range strings.Lines(r.text("proc/meminfo")) {
		fields := strings.Fields(line)
		if len(fields) >= 2 && fields[0] == "MemTotal:" {
			kb, err := strconv.ParseUint(fields[1], 10, 53)
			if err == nil {
				return kb << 10
			}
		}
	}
	return 0
}

func (r *reader) capability(number uint) *bool {
	for line := range strings.Lines(r.optional("proc/self/status")) {
		if hex, ok := strings.CutPrefix(line, "CapEff:"); ok {
			mask, err := strconv.ParseUint(strings.TrimSpace(hex), 16, 64)
			if err != nil {
				return nil
			}
			has := mask&(1<<number) != 0
			return &has
		}
	}
	return nil
}

// secureBoot reads the EFI variable: 4 bytes of attributes, then the value.
func (r *reader) secureBoot() *bool {
	names, err := fs.Glob(r.root, "sys/firmware/efi/efivars/SecureBoot-*")
	if err != nil || len(names) == 0 {
		return nil
	}
	b, err := fs.ReadFile(r.root, names[0])
	if err != nil || len(b) < 5 {
		return nil
	}
	on := b[4] == 1
	return &on
}

func (r *reader) cpuFlag(name string) bool {
	for line := range strings.Lines(r.optional("proc/cpuinfo")) {
		key, value, _ := strings.Cut(line, ":")
		if key = strings.TrimSpace(key); key != "flags" && key != "Features" {
			continue
		}
		for _, f := range strings.Fields(value) {
			if f == name {
				return true
			}
		}
		return false
	}
	return false
}

// bootAPIC reads the initial APIC ID of processor 0 (arch/x86/kernel/cpu/proc.c; other
// architectures have no such line). The kernel that the firmware started runs it on the boot CPU.
func (r *reader) bootAPIC() *uint32 {
	boot := false
	for line := range strings.Lines(r.optional("proc/cpuinfo")) {
		key, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch strings.TrimSpace(key) {
		case "processor":
			boot = value == "0"
		case "initial apicid":
			if id, err := strconv.ParseUint(value, 10, 32); err == nil && boot {
				return new(uint32(id))
			}
		}
	}
	return nil
}

// selected picks the word in brackets out of "none [integrity] confidentiality".
func selected(s string) string {
	_, s, _ = strings.Cut(s, "[")
	s, _, _ = strings.Cut(s, "]")
	return s
}

// CmdlineTraits are what the command line of a capture kernel depends on.
func (h *Host) CmdlineTraits() cmdline.Traits {
	return cmdline.Traits{Machine: h.Arch.Machine, Handover: h.Config.On("KEXEC_HANDOVER_ENABLE_DEFAULT"), NoBounce: h.needsNoBounce(), BootAPIC: h.BootAPIC}
}

// needsNoBounce tells whether a capture kernel on arm64 can do without SWIOTLB:
// devices that reach the first 4 GiB only reach all of the crash memory, by
// themselves or through an IOMMU, and none is kept from memory that is encrypted or
// outside of a pool of its own.
func (h *Host) needsNoBounce() bool {
	region, found := h.CrashRegion()
	if !found || h.ConfidentialGuest || h.DeviceTree != nil && HasCompatible(h.DeviceTree.Root, "restricted-dma-pool") {
		return false
	}
	return region.End <= math.MaxUint32+1 || h.DMATranslated
}

// ReadHint is what to do about a file of the machine that could not be read: only
// where the reader lacks a permission, to be root.
func ReadHint(err error, otherwise string) string {
	switch {
	case errors.Is(err, memmap.ErrAddressesHidden), errors.Is(err, fs.ErrPermission):
		return "run as root"
	case errors.Is(err, memmap.ErrChanging):
		return "memory is being added or removed; try again when that is over"
	}
	return otherwise
}

// LockedDown tells that the kernel allows no kexec_load (kernel/kexec.c,
// kexec_load_check).
func (h *Host) LockedDown() bool {
	return h.Lockdown == "integrity" || h.Lockdown == "confidentiality"
}

// readConfig gives the build configuration of the running kernel. One that is damaged counts as
// one that is not published.
func readConfig(root fs.FS, release string) kconfig.Config {
	if c, err := kconfig.Running(root); err == nil {
		return c
	}
	if release == "" {
		return nil
	}
	c, err := kconfig.OfRelease(root, release)
	if err != nil {
		return nil
	}
	return c
}
