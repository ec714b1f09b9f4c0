package plan

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/bootimage"
	"github.com/gokexec/gokexec/pkg/cmdline"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/memmap"
)

const (

	// elfcorehdrWord is what the kernel puts before a crash kernel's command
	// line, in bytes (arch/x86/kernel/kexec-bzimage64.c, MAX_ELFCOREHDR_STR_LEN).
	elfcorehdrWord = 30

	// dmcryptkeysWord is what else it puts there where it hands over keys (MAX_DMCRYPTKEYS_STR_LEN).
	dmcryptkeysWord = 31

	// The kernel's own share of the crash region, in bytes, rounded up: the
	// purgatory (some 40 KiB), boot_params with command line and EFI map, and
	// the control pages with the identity mapping.
	purgatoryShare  = 64 << 10
	bootParamsShare = 64 << 10
	// Without hotplug support the header has room for what is there; 128
	// ranges are far above any such machine.
	PlainHeaderSize = 16 << 10

	// initrdMin is the lowest address that x86 gives an initrd
	// (kexec-bzimage64.c, MIN_INITRD_LOAD_ADDR).
	initrdMin = 16 << 20
)

// The checks of an image and its command line, by name.
const (
	CheckKernelImage advice.CheckID = "kernel image"
	CheckCommandLine advice.CheckID = "command line"
)

// Check holds the plan against the kernel's own rules and against what is
// known of the machine, so that the one system call, which frees the old crash
// image before it looks closely, finds nothing to refuse. The machine's own
// state is the business of package check.
func (p *Plan) Check(host *machine.Host) []advice.Finding {
	findings := []advice.Finding{p.checkMachine(host), p.checkImage(host), p.checkCmdline()}
	if more := protocolOf(host.Arch.Machine).checks; more != nil {
		findings = append(findings, more(p, host)...)
	}
	if p.Kind == machine.Boot {
		findings = append(findings, p.checkHandover(host))
	}
	if p.Method == Segments {
		return append(findings, p.checkLoadAllowed(host), p.checkSegments(host))
	}
	findings = append(findings, p.checkUnwrapped(host))
	if p.Kind == machine.Crash {
		findings = append(findings, p.checkRoom(host))
	} else {
		findings = append(findings, p.checkHalf(host))
	}
	return findings
}

// ErrOtherMachine is wrapped when the kernel is for another architecture.
var ErrOtherMachine = errors.New("kernel of another architecture")

func (p *Plan) checkMachine(host *machine.Host) advice.Finding {
	const name = "kernel architecture"
	if p.Image.Machine != host.Arch.Machine {
		return advice.Finding{Check: name, Level: advice.Failure,
			Detail: fmt.Sprintf("kernel %s is for %s, this machine is %s", p.Kernel.Path, bootimage.MachineName(p.Image.Machine), host.Arch.Name),
			Remedy: "give a kernel built for " + host.Arch.Name,
			Errno:  []unix.Errno{unix.ENOEXEC, unix.EINVAL}, Err: fmt.Errorf("%w: %w", ErrOtherMachine, unix.ENOEXEC)}
	}
	return advice.Passed(name, "%s", p.Image)
}

// checkImage asks what kexec_file_load's loaders ask (arch/x86/kernel/
// kexec-bzimage64.c bzImage64_probe, arch/arm64/kernel/kexec_image.c
// image_probe, and their kin). Of a plan by kexec_load the image was looked at when they
// were made of it.
func (p *Plan) checkImage(host *machine.Host) advice.Finding {
	if p.Method == Segments {
		return advice.Passed(CheckKernelImage, "%s, %s", p.Image, advice.MiB(uint64(p.Image.Size())))
	}
	row := protocolOf(host.Arch.Machine)
	if !slices.Contains(row.formats, p.Image.Format) {
		return p.refuseImage("", fmt.Errorf("kexec_file_load on %s does not take %s", host.Arch.Name, p.Image.Format))
	}
	if row.accepts != nil {
		if remedy, err := row.accepts(p, host); err != nil {
			return p.refuseImage(remedy, err)
		}
	}
	return advice.Passed(CheckKernelImage, "%s, %s", p.Image, advice.MiB(uint64(p.Image.Size())))
}

func (p *Plan) refuseImage(remedy string, err error) advice.Finding {
	return advice.Finding{Check: CheckKernelImage, Level: advice.Failure, Remedy: remedy,
		Detail: fmt.Sprintf("kernel %s: %s", p.Kernel.Path, oneLine(err)),
		Errno:  []unix.Errno{unix.ENOEXEC, unix.EINVAL}, Err: unix.ENOEXEC}
}

// oneLine puts joined errors on one line.
func oneLine(err error) string {
	return strings.ReplaceAll(err.Error(), "\n", "; ")
}

func (p *Plan) checkCmdline() advice.Finding {
	const name = CheckCommandLine
	limit, source := p.cmdlineLimit()
	need := uint64(len(p.Cmdline)) + 1
	need += protocolOf(p.Arch.Machine).cmdlineOwn
	if len(p.DiskKeys) > 0 {
		need += dmcryptkeysWord
	}
	if n := uint64(len(p.KernelCmdline)) + 1; n > need {
		need = n
	}
	if need > limit {
		return advice.Finding{Check: name, Level: advice.Failure,
			Detail: fmt.Sprintf("the command line of %d bytes is too long: with its end and the kernel's own elfcorehdr= it needs %d, %s is %d", len(p.Cmdline), need, source, limit),
			Remedy: "shorten it: the capture kernel rarely needs more than root= and console=",
			Errno:  []unix.Errno{unix.EINVAL}, Err: cmdline.ErrBad}
	}
	return advice.Passed(name, "%d of %d bytes", need, limit)
}

// cmdlineLimit is the room for the command line, in bytes with the NUL, and where that stands.
func (p *Plan) cmdlineLimit() (limit uint64, source string) {
	switch {
	case p.Image.BzImage != nil:
		return uint64(p.Image.BzImage.CmdlineSize), "cmdline_size of the kernel's header"
	case p.Image.S390 != nil:
		return p.Image.S390.CmdlineSize, "the room in the kernel's parameter area"
	}
	return uint64(p.Arch.CmdlineMax), "COMMAND_LINE_SIZE"
}

func (p *Plan) checkUnwrapped(host *machine.Host) advice.Finding {
	const name = "signature"
	enforced := host.Lockdown == "integrity" || host.Lockdown == "confidentiality" || host.Config.On("KEXEC_SIG_FORCE")
	if enforced && len(p.Kernel.Unwrap) > 0 {
		return advice.Finding{Check: name, Level: advice.Warning,
			Detail: fmt.Sprintf("%s is unpacked (%v) before it is loaded, so only a signature of the kernel inside counts", p.Kernel.Path, p.Kernel.Unwrap),
			Remedy: "give a signed kernel image that the kernel reads by itself",
			Errno:  []unix.Errno{unix.EKEYREJECTED, unix.ENODATA, unix.EPERM, unix.EBADMSG}}
	}
	return advice.Passed(name, "not asked for, or the file goes to the kernel as it is")
}

// checkRoom places what the kernel will place, in its order and by its bounds
// (kexec-bzimage64.c, bzImage64_load; kernel/kexec_file.c, kexec_locate_mem_hole).
func (p *Plan) checkRoom(host *machine.Host) advice.Finding {
	const name = "room in the crash memory"
	region, found := host.CrashRegion()
	if !found {
		return advice.NotKnown(name, "the crash memory is not known")
	}
	free := memmap.NewSet(region)
	control := ControlPages(host)
	total := control
	for _, s := range protocolOf(host.Arch.Machine).fileSegments(p, host) {
		total += memmap.PageUp(s.Size)
		at, err := free.Place(s)
		if errors.Is(err, memmap.ErrNoSpace) {
			return p.noRoom(name, region, total)
		}
		if err != nil {
			return advice.NotKnown(name, "%v", err)
		}
		free = free.Minus(memmap.NewSet(at))
	}
	if free.Size() < control {
		return p.noRoom(name, region, total)
	}
	return p.checkLeft(name, region, free.Size())
}

func (p *Plan) noRoom(name advice.CheckID, region memmap.Range, total uint64) advice.Finding {
	return advice.Finding{Check: name, Level: advice.Failure,
		Detail: fmt.Sprintf("the kernel (%s once it runs), the initrd (%s) and what goes with them do not fit the crash memory of %s",
			advice.MiB(p.Image.MemSize), advice.MiB(p.InitrdSize()), advice.MiB(region.Size())),
		Remedy: fmt.Sprintf("enlarge crashkernel= to %s at least, or use a smaller initrd (gokexec initramfs makes one)", advice.MiB(memmap.RoundUp(total+SmallCrashMemory/2, 32<<20))),
		Errno:  []unix.Errno{unix.EADDRNOTAVAIL, unix.ENOMEM}, Err: unix.EADDRNOTAVAIL}
}

// plainFileSegments are the kernel's buffers in the order it places them; the initrd no
// lower than initrdMin.
func (p *Plan) plainFileSegments(host *machine.Host, initrdMin memmap.PhysAddr) []memmap.Hole {
	header := uint64(PlainHeaderSize)
	if host.ElfcorehdrSize > 0 {
		header = host.ElfcorehdrSize + 64
	}
	segments := []memmap.Hole{
		{Size: memmap.PageUp(header), Align: memmap.PageSize},
		{Size: purgatoryShare, Align: memmap.PageSize, TopDown: true},
		{Size: bootParamsShare, Align: memmap.PageSize, TopDown: true},
	}
	kernel := memmap.Hole{Size: memmap.PageUp(max(p.Image.MemSize, uint64(p.Image.Size()))), Align: 2 << 20, TopDown: true}
	if z := p.Image.BzImage; z != nil {
		kernel.Align = max(uint64(z.KernelAlignment), memmap.PageSize)
		kernel.Min = memmap.PhysAddr(z.PrefAddress)
	}
	segments = append(segments, kernel)
	if size := p.InitrdSize(); size > 0 {
		segments = append(segments, memmap.Hole{Size: memmap.PageUp(size), Align: memmap.PageSize, Min: initrdMin, TopDown: true})
	}
	return segments
}

// checkHalf: an ordinary image may be half of RAM, in all and in each part
// (kernel/kexec_core.c, sanity_check_segment_list).
func (p *Plan) checkHalf(host *machine.Host) advice.Finding {
	const name = "room in memory"
	if host.MemTotal == 0 {
		return advice.NotKnown(name, "/proc/meminfo does not tell")
	}
	if need := p.Image.MemSize + p.InitrdSize(); need > host.MemTotal/2 {
		return advice.Finding{Check: name, Level: advice.Failure,
			Detail: fmt.Sprintf("kernel and initrd need %s, more than half of this machine's memory of %s", advice.MiB(need), advice.MiB(host.MemTotal)),
			Remedy: "use a smaller initrd",
			Errno:  []unix.Errno{unix.EINVAL, unix.ENOMEM}, Err: unix.EINVAL}
	}
	return advice.Passed(name, "kernel and initrd fit half of the memory")
}
