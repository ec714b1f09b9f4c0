package plan

import (
	"debug/elf"

	"github.com/gokexec/gokexec/internal/purgatory"
	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/bootimage"
	"github.com/gokexec/gokexec/pkg/kexec"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/memmap"
)

// protocol is how kernels of an architecture are loaded: a row of the table of boot
// protocols. Each row stands in a file of its own. What is zero is not done, or not
// different, on that architecture.
type protocol struct {
	machine elf.Machine

	// Of kexec_file_load.

	formats []bootimage.Format // that the kernel's loaders take
	// accepts asks what those loaders ask of an image apart from its format. An error comes
	// with the remedy.
	accepts func(p *Plan, host *machine.Host) (remedy string, err error)
	// cmdlineOwn is what the kernel puts before a crash kernel's command line, in bytes.
	cmdlineOwn uint64
	// fileSegments are the kernel's buffers in the order it places them.
	fileSegments func(p *Plan, host *machine.Host) []memmap.Hole
	// refusedFile says why kexec_file_load would not do, "" if it would.
	refusedFile func(p *Plan, host *machine.Host) string

	// Of kexec_load, by kexec_load.

	// prepare looks at the image, and gives what places and fills the segments: see Plan.fill. Nil:
	// gokexec plans no kexec_load for this architecture.
	prepare func(p *Plan, host *machine.Host, in *Inputs) (fill func(l *layout, initrd []byte) error, err error)
	// imageHint is what to do about an image that prepare refuses.
	imageHint string
	// destinations is the memory that the segments of an ordinary kexec may go to.
	destinations func(host *machine.Host) memmap.Set
	hotplugFlag  kexec.LoadFlags // asks the kernel to update the elfcorehdr
	hotplugTree  bool            // and with it the device tree
	kernelFirst  bool            // a crash kernel can't use memory below itself, so it goes to the lowest
	// console is where the purgatory reports if it is told no port, and port the port
	// that it is told; why says why there is none.
	console func(host *machine.Host) purgatory.Serial
	port    func(s Serial, host *machine.Host) (port purgatory.Serial, why string)

	// Of both.

	// controlPages bounds what the kernel takes of the crash memory for itself, in bytes.
	controlPages func(host *machine.Host) uint64
	// checks are more checks of a plan.
	checks         func(p *Plan, host *machine.Host) []advice.Finding
	reserveHint    string // how a reservation of crash memory may succeed that has failed
	bootLoaderHint string // where the boot loader has the command line
}

// protocols is the table.
func protocols() []protocol {
	return []protocol{x86Protocol(), arm64Protocol(), riscvProtocol(), ppc64Protocol(), s390Protocol(), loongArchProtocol()}
}

// protocolOf gives the row of an architecture; for one that is not in the table, a row
// with the defaults.
func protocolOf(m elf.Machine) protocol {
	row := protocol{machine: m}
	for _, p := range protocols() {
		if p.machine == m {
			row = p
		}
	}
	return row.withDefaults()
}

// withDefaults fills in what is the same on most architectures.
func (r protocol) withDefaults() protocol {
	if r.fileSegments == nil {
		r.fileSegments = func(p *Plan, host *machine.Host) []memmap.Hole { return p.plainFileSegments(host, 0) }
	}
	if r.controlPages == nil {
		r.controlPages = func(host *machine.Host) uint64 { return (otherControlPages + host.MemTotal>>30) * memmap.PageSize }
	}
	if r.imageHint == "" {
		r.imageHint = "give the kernel image that the distribution has installed, or use --method file"
	}
	if r.reserveHint == "" {
		r.reserveHint = "ask for less, give it an offset or \",high\""
	}
	if r.bootLoaderHint == "" {
		r.bootLoaderHint = "with GRUB: GRUB_CMDLINE_LINUX_DEFAULT in /etc/default/grub, then update-grub; grubby where that is"
	}
	return r
}

// How a reservation of crash memory may succeed: ",high" is not known everywhere
// (Documentation/admin-guide/kernel-parameters.txt, crashkernel=), and KASLR is in the
// way where it chooses physical addresses.
const (
	reserveByOffset = "ask for less, or give it an offset (crashkernel=SIZE@OFFSET)"
	reserveByKASLR  = "ask for less, give it an offset or \",high\", or boot with nokaslr (with KASLR a large reservation fails on some boots)"
)

// CanPlanSegments tells for which machines gokexec plans kexec_load.
func CanPlanSegments(a machine.Arch) bool { return protocolOf(a.Machine).prepare != nil }
