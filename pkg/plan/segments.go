package plan

import (
	"debug/elf"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/internal/purgatory"
	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/cmdline"
	"github.com/gokexec/gokexec/pkg/elfcore"
	"github.com/gokexec/gokexec/pkg/kcore"
	"github.com/gokexec/gokexec/pkg/kexec"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/memmap"
)

// SegmentPlan is the part of a Plan that is for kexec_load.
type SegmentPlan struct {
	Entry     memmap.PhysAddr // of the purgatory
	Segments  []Segment       // ascending
	LoadFlags kexec.LoadFlags
	Hotplug   bool // the kernel keeps the elfcorehdr up to date

	KernelCmdline string          // all of it, as the new kernel sees it
	E820          []E820Entry     // the memory map that the new kernel is given
	Usable        []memmap.Range  // arm64, riscv64: the memory that a crash kernel is told to use
	Header        *elfcore.Header // what is in the elfcorehdr; nil for an ordinary kexec
	KernelEntry   memmap.PhysAddr
	Digest        [32]byte // SHA-256 of the Checked segments' data, in whole pages, in their order
	NoChecks      bool     // the purgatory does not look at it
	Serial        Serial
}

// newSegments plans the call kexec_load. What a plan by kexec_file_load has found of the
// inputs is taken over, so that nothing is unpacked twice.
func (in *Inputs) newSegments(host *machine.Host, file *Plan) (*Plan, error) {
	p := newPlan(host, in.Spec, Segments)
	if !CanPlanSegments(host.Arch) {
		hint := "use --method file"
		if host.Config.Off("KEXEC_FILE") {
			hint = NoSegmentsHint(host.Arch)
		}
		return nil, &advice.Problem{What: "loading by kexec_load is not supported on " + host.Arch.Name, Hint: hint, Err: errors.ErrUnsupported}
	}
	if file != nil && in.image != nil {
		p.Image, p.Kernel, p.Initrd, p.Cmdline, p.Changes = file.Image, file.Kernel, file.Initrd, file.Cmdline, file.Changes
	} else if err := p.planInputs(host, in); err != nil {
		return nil, err
	}
	if finding := p.checkMachine(host); finding.Level == advice.Failure {
		return nil, finding.Problem()
	}
	fill, err := protocolOf(host.Arch.Machine).prepare(p, host, in)
	if err != nil {
		return nil, p.refuseImage(protocolOf(host.Arch.Machine).imageHint, err).Problem()
	}
	if finding := p.checkCmdline(); finding.Level == advice.Failure {
		return nil, finding.Problem()
	}
	if err := p.fill(host, in, fill); err != nil {
		return nil, err
	}
	if entry := p.Spec.Options.Entry; entry != 0 {
		p.Entry = entry
	}
	return p, nil
}

// fill makes the segments, from what is the same on every architecture on.
func (p *Plan) fill(host *machine.Host, in *Inputs, fill func(l *layout, initrd []byte) error) error {
	if err := p.fits(host, p.Kind); err != nil {
		return err
	}
	initrd, err := p.Initrd.bytes(in.Initrd)
	if err != nil {
		return err
	}
	p.NoChecks, p.Serial, p.KernelCmdline = p.Spec.NoChecks, p.Spec.Serial, p.Cmdline
	if p.Kind == machine.Crash {
		p.LoadFlags |= kexec.LoadOnCrash
	}
	l, err := newLayout(host, p)
	if err != nil {
		return err
	}
	return fill(l, initrd)
}

// prepend puts words in front of the command line, as kexec_file_load does: a word behind a "--" would be init's.
func (p *Plan) prepend(words ...string) {
	p.KernelCmdline = strings.TrimRight(strings.Join(append(words, p.KernelCmdline), " "), " ")
}

// planX86 places and makes all segments. What others depend on comes first: the
// backup's address is in the elfcorehdr, that of the elfcorehdr on the command
// line, and both are missing from the memory map in boot_params.
func (p *Plan) planX86(l *layout, host *machine.Host, in *Inputs, initrd []byte) error {
	spec := p.Spec
	kernel, err := x86KernelOf(in.image)
	if err != nil {
		return fmt.Errorf("kernel %s: %w", p.Kernel.Path, err)
	}
	var backup *elfcore.Backup
	if p.Kind == machine.Crash {
		if backup, err = p.planDump(l, host, initrd); err != nil {
			return err
		}
	}
	if spec.Options.PassMemmap && p.Kind == machine.Crash {
		p.passMemmap()
	}
	x := spec.Options.firmware(host.X86)
	p.addRSDP(x)
	params := &bootParams{x86: x, image: p.Image, cmdline: p.KernelCmdline, e820: p.E820, seed: spec.Seed}
	kernelAt, initrdAt, err := p.placeX86(l, host, kernel, params, initrd)
	if err != nil {
		return err
	}
	params.initrd = initrdAt
	for i := range l.segments {
		if s := &l.segments[i]; s.Role == RoleBootParams {
			s.Data = params.bytes(s.Phys)
		}
	}
	l.fill(RoleKernel, kernel.data)
	p.KernelEntry = kernelAt.Start + memmap.PhysAddr(kernel.entry)
	p.Segments = l.sorted()
	return p.addPurgatory(host, backup)
}

// placeX86 finds room for what needs nothing more of its own but the address.
func (p *Plan) placeX86(l *layout, host *machine.Host, kernel *x86Kernel, params *bootParams, initrd []byte) (kernelAt, initrdAt memmap.Range, err error) {
	// From the bottom up the kernel goes first, so that nothing keeps it from the place it
	// would like best.
	if !l.topDown {
		if kernelAt, err = kernel.place(l, host, p.Image.ELF != nil); err != nil {
			return kernelAt, initrdAt, err
		}
	}
	if err = l.placePurgatory(host, memmap.Hole{}); err != nil {
		return kernelAt, initrdAt, err
	}
	if _, err = l.place(host, RoleBootParams, memmap.Hole{Size: uint64(len(params.bytes(0)))}); err != nil {
		return kernelAt, initrdAt, err
	}
	if l.topDown {
		if kernelAt, err = kernel.place(l, host, p.Image.ELF != nil); err != nil {
			return kernelAt, initrdAt, err
		}
	}
	initrdAt, err = l.placeInitrd(host, initrd, memmap.Hole{Min: initrdMin})
	return kernelAt, initrdAt, err
}

// planDump makes what only a crash kernel has: the backup of low memory, the
// elfcorehdr, and the memory map that spares both.
func (p *Plan) planDump(l *layout, host *machine.Host, initrd []byte) (*elfcore.Backup, error) {
	opt := elfcore.BuildOptions{}
	var taken []memmap.Range
	if low := lowRAM(host.Iomem); !low.Empty() {
		ranges := low.Ranges()
		// Whole pages, since the dump is read by pages.
		source := memmap.Range{Start: ranges[0].Start &^ (memmap.PageSize - 1), End: memmap.PhysAddr(memmap.PageUp(uint64(ranges[len(ranges)-1].End)))}
		at, err := l.place(host, RoleBackup, memmap.Hole{Size: source.Size()})
		if err != nil {
			return nil, err
		}
		opt.Backup = &elfcore.Backup{Source: source, Dest: at.Start}
		taken = append(taken, at)
	}
	at, err := p.addHeader(l, host, initrd, opt)
	if err != nil {
		return nil, err
	}
	p.prepend(fmt.Sprintf("elfcorehdr=%v", at.Start))
	p.E820 = crashE820(host, append(taken, at))
	return opt.Backup, nil
}

// addHeader makes and places the elfcorehdr, with room for the kernel to update it.
func (p *Plan) addHeader(l *layout, host *machine.Host, initrd []byte, opt elfcore.BuildOptions) (at memmap.Range, err error) {
	if host.Dump == nil {
		return at, p.noDump(host)
	}
	hotplug, err := p.wantHotplug(host, initrd)
	if err != nil {
		return at, err
	}
	header, err := host.Dump.Header(opt)
	if err != nil {
		return at, &advice.Problem{What: err.Error(), Hint: headerHint(err), Err: err}
	}
	data, err := header.AppendBinary(nil)
	if err != nil {
		return at, err
	}
	size := uint64(len(data))
	if hotplug {
		size = max(size, elfcore.HotplugSegmentSize(host.ElfcorehdrSize, host.Page()))
		p.Hotplug = true
		p.LoadFlags |= protocolOf(p.Arch.Machine).hotplugFlag
	}
	if at, err = l.placeElfcorehdr(host, size); err != nil {
		return at, err
	}
	l.fill(RoleElfcorehdr, data)
	p.Header = header
	return at, nil
}

func (p *Plan) noDump(host *machine.Host) error {
	err := host.DumpErr
	otherwise := "--method file has the kernel build it"
	if errors.Is(err, kcore.ErrNoCrashNotes) {
		otherwise = "boot a kernel with CONFIG_CRASH_DUMP"
	}
	return &advice.Problem{What: "the elfcorehdr can't be built: " + errorText(err), Hint: machine.ReadHint(err, otherwise), Err: err}
}

func headerHint(err error) string {
	if errors.Is(err, kcore.ErrKcoreUnreadable) {
		return machine.ReadHint(err, "the addresses are in /proc/kcore (CONFIG_PROC_KCORE), which lockdown=confidentiality hides; --method file does without")
	}
	return "use --method file"
}

// wantHotplug decides whether the kernel is to update the elfcorehdr. It finds
// its segment by the ELF magic at the beginning, so no other may have one
// (kernel/crash_core.c, crash_handle_hotplug_event).
func (p *Plan) wantHotplug(host *machine.Host, initrd []byte) (bool, error) {
	refuse := ""
	switch {
	case p.Spec.Hotplug == HotplugOff:
		return false, nil
	case host.ElfcorehdrSize == 0:
		refuse = "this kernel can't update an elfcorehdr (no /sys/kernel/crash_elfcorehdr_size: Linux 6.6 with CONFIG_CRASH_HOTPLUG can)"
	case strings.HasPrefix(string(initrd[:min(len(initrd), 4)]), elf.ELFMAG):
		refuse = "the initrd begins like an ELF file, and the kernel would take it for the elfcorehdr"
	}
	if refuse != "" && p.Spec.Hotplug == HotplugOn {
		return false, &advice.Problem{What: refuse, Hint: "without --hotplug on, load again when CPUs or memory have changed", Err: unix.EINVAL}
	}
	return refuse == "", nil
}

// addRSDP tells a kernel that may be too old for the field acpi_rsdp_addr
// (boot protocol 2.15 has it for certain) where ACPI's root is, unless it finds
// it where a BIOS puts it.
func (p *Plan) addRSDP(x *machine.X86) {
	z := p.Image.BzImage
	if z == nil || z.Version >= 0x20f || x.RSDP < 1<<20 {
		return
	}
	if c, err := cmdline.Parse(p.KernelCmdline); err != nil || c.Has("acpi_rsdp") {
		return
	}
	p.KernelCmdline = fmt.Sprintf("acpi_rsdp=%v %s", x.RSDP, p.KernelCmdline)
}

// addPurgatory fills in the purgatory's segment, once all others are there.
func (p *Plan) addPurgatory(host *machine.Host, backup *elfcore.Backup) error {
	params := purgatory.Params{Entry: uint64(p.KernelEntry), SkipChecks: p.NoChecks, SME: host.SME}
	var err error
	if params.Serial, err = p.Serial.purgatory(host); err != nil {
		return err
	}
	if backup != nil {
		params.Backup = purgatory.Backup{Src: uint64(backup.Source.Start), Size: backup.Source.Size(), Dst: uint64(backup.Dest)}
	}
	var checked []purgatory.Segment
	for i := range p.Segments {
		s := &p.Segments[i]
		if s.Role == RoleBootParams || s.Role == RoleDTB {
			params.Arg = uint64(s.Phys)
		}
		// What lies behind the data is room to work in, which the kernel clears itself
		// where it must: of init_size, mostly, and many times the data.
		size := host.PageUp(uint64(len(s.Data)))
		updated := p.Hotplug && (s.Role == RoleElfcorehdr || s.Role == RoleDTB && protocolOf(p.Arch.Machine).hotplugTree)
		s.Checked = size > 0 && s.Role != RolePurgatory && !updated
		if s.Checked {
			checked = append(checked, purgatory.Segment{Data: s.Data, MemSize: size})
			params.Regions = append(params.Regions, purgatory.Region{Start: uint64(s.Phys), Len: size})
		}
	}
	if params.Digest, err = purgatory.Digest(checked); err != nil {
		return err
	}
	blob, err := purgatory.Blob(p.Arch.Machine)
	if err != nil {
		return err
	}
	if err := params.Patch(p.Arch.Machine, blob); err != nil {
		return err
	}
	for i := range p.Segments {
		if s := &p.Segments[i]; s.Role == RolePurgatory {
			s.Data, p.Entry = blob, s.Phys+purgatory.Entry
		}
	}
	p.Digest = params.Digest
	return nil
}

// Segment gives the segment of that role.
func (p *SegmentPlan) Segment(role Role) (Segment, bool) {
	for _, s := range p.Segments {
		if s.Role == role {
			return s, true
		}
	}
	return Segment{}, false
}

// KernelSegments are the segments as the system call takes them.
func (p *SegmentPlan) KernelSegments() []kexec.Segment {
	segments := make([]kexec.Segment, 0, len(p.Segments))
	for _, s := range p.Segments {
		segments = append(segments, kexec.Segment{Data: s.Data, Phys: uint64(s.Phys), MemSize: s.MemSize})
	}
	return segments
}
