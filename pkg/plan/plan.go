package plan

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/bootimage"
	"github.com/gokexec/gokexec/pkg/cmdline"
	"github.com/gokexec/gokexec/pkg/kexec"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/memmap"
)

// Plan is all that one system call needs, made before it is called: data, which names the
// files that it was made of. New makes it without side effects.
type Plan struct {
	Kind    machine.Kind
	Method  Method // File or Segments
	Why     string // why Auto took Segments; else ""
	Arch    machine.Arch
	Image   *bootimage.Image // its header: it can't be read
	Cmdline string           // without NUL, and without the elfcorehdr= that is put before it
	Changes []cmdline.Change

	Kernel *Payload
	Initrd *Payload        // nil: none
	Flags  kexec.FileFlags // of the method File

	SegmentPlan // of the method Segments

	// DiskKeys are the descriptions of the keys of encrypted disks that the kernel is to hand over with the image
	// (RequireDiskKeys), each of type logon.
	DiskKeys []string

	Spec *Spec // what was asked for, with the identity of each file; its Method may be Auto

	Generation string // of the machine that it was planned for; see machine.Host.Generation
	Fallback   bool   // if the kernel has no kexec_file_load or does not take the image: see BySegments
}

// New plans the load of spec on host. It opens what spec names and closes it again; see Inputs.Plan.
func New(host *machine.Host, spec *Spec) (*Plan, error) {
	in, err := Open(spec)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	return in.Plan(host, spec.Method)
}

// Plan plans the load on host by that method, which may be another than the Spec's: it unpacks what the
// kernel would not take, and makes the command line; for the method Segments it
// makes all that the kernel would have made. With Auto the plan is by kexec_file_load where
// the kernel has that call and takes the image.
func (in *Inputs) Plan(host *machine.Host, method Method) (*Plan, error) {
	spec := in.Spec
	if spec.DTB != nil && !host.Arch.DeviceTree {
		return nil, &advice.Problem{What: "a device tree is of no use on " + host.Arch.Name, Hint: "leave --dtb out"}
	}
	if method == Segments {
		return in.newSegments(host, nil)
	}
	if method == File && spec.DTB != nil {
		return nil, &advice.Problem{What: "kexec_file_load takes no device tree", Hint: "use --method segments, or leave --dtb out"}
	}
	p, err := in.newFile(host)
	if err != nil || method == File {
		return p, err
	}
	return in.choose(host, p)
}

func newPlan(host *machine.Host, spec *Spec, method Method) *Plan {
	return &Plan{Kind: spec.Kind, Method: method, Arch: host.Arch, Spec: spec, Generation: host.Generation()}
}

// newFile plans the call kexec_file_load.
func (in *Inputs) newFile(host *machine.Host) (*Plan, error) {
	p := newPlan(host, in.Spec, File)
	p.Flags = in.Spec.FileFlags
	if err := p.planInputs(host, in); err != nil {
		return nil, err
	}
	if p.Kind == machine.Crash {
		p.Flags |= kexec.FileOnCrash
	}
	if p.Initrd == nil {
		p.Flags |= kexec.FileNoInitramfs
	}
	return p, nil
}

// planInputs is what both methods need.
func (p *Plan) planInputs(host *machine.Host, in *Inputs) error {
	if err := p.planKernel(host, in); err != nil {
		return err
	}
	if err := p.planInitrd(in); err != nil {
		return err
	}
	return p.planCmdline(host, in.Spec)
}

func (p *Plan) planKernel(host *machine.Host, in *Inputs) error {
	if in.Kernel == nil {
		return errors.New("no kernel is given")
	}
	source := in.Spec.Kernel
	image, err := in.OpenImage(host, p.Kind)
	if err != nil {
		return &advice.Problem{What: fmt.Sprintf("kernel %s: %v", source.Path, err), Hint: imageHint(err, host.Arch), Err: err}
	}
	in.image, p.Image = image, image.Header()
	p.Kernel = &Payload{Path: source.Path, ID: source.ID, Size: image.Size(), Unwrap: image.Wrapping}
	if !image.Unwrapped() {
		if p.Kernel.Data, err = image.Bytes(); err != nil {
			return fmt.Errorf("kernel %s: %w", source.Path, err)
		}
	}
	return nil
}

// OpenImage recognises the kernel image. What it unpacks to is to fit where it is loaded, see bootimage.OpenWithin.
func (in *Inputs) OpenImage(h *machine.Host, kind machine.Kind) (*bootimage.Image, error) {
	return bootimage.OpenWithin(in.Kernel, in.Kernel.Size, unpackLimit(h, kind))
}

// minUnpackLimit is what any kernel may unpack to, in bytes: also where little is known of the machine.
const minUnpackLimit = 128 << 20

// unpackLimit is how many bytes a kernel may unpack to: what it is loaded into, or half of the memory.
func unpackLimit(h *machine.Host, kind machine.Kind) int64 {
	room := h.MemTotal / 2
	if kind == machine.Crash && len(h.Crash) > 0 {
		room = memmap.NewSet(h.Crash...).Size()
	}
	if room == 0 {
		return bootimage.MaxUnpacked
	}
	return int64(min(max(room, minUnpackLimit), bootimage.MaxUnpacked))
}

// fits refuses files that are larger than the crash memory that they are to be loaded into, before they are
// read. An ELF kernel may have debugging information, which is not loaded.
func (p *Plan) fits(host *machine.Host, kind machine.Kind) error {
	if kind != machine.Crash {
		return nil
	}
	limit := unpackLimit(host, kind)
	for _, f := range []*Payload{p.Kernel, p.Initrd} {
		if f == nil || f.Size <= limit || f == p.Kernel && p.Image.Format == bootimage.FormatELF {
			continue
		}
		return &advice.Problem{What: fmt.Sprintf("%s: %v: it has %s, and there is room for %s", f.Path, bootimage.ErrTooLarge, advice.MiB(uint64(f.Size)), advice.MiB(uint64(limit))),
			Hint: "is this the right file? more crash memory is reserved by crashkernel=", Err: bootimage.ErrTooLarge}
	}
	return nil
}

func imageHint(err error, arch machine.Arch) string {
	switch {
	case errors.Is(err, bootimage.ErrTruncated):
		return "the file is cut short: was its package installed completely, is the disk full?"
	case errors.Is(err, bootimage.ErrCorrupt):
		return "the file is damaged; reinstall the kernel package"
	case errors.Is(err, bootimage.ErrTooLarge):
		return "no kernel of that size fits this machine's crash memory, or half of its memory; is this the right file?"
	case slices.Contains(protocolOf(arch.Machine).formats, bootimage.FormatBzImage):
		return "give the kernel image, such as /boot/vmlinuz-VERSION"
	}
	return "give the kernel image, such as /boot/vmlinuz-VERSION or an Image file"
}

func (p *Plan) planInitrd(in *Inputs) error {
	if source := in.Spec.Initrd; source != nil {
		p.Initrd = &Payload{Path: source.Path, ID: source.ID, Size: in.Initrd.Size}
		return nil
	}
	source := in.Spec.Kernel
	data, err := in.image.Initrd()
	if err != nil {
		return fmt.Errorf("initrd in %s: %w", source.Path, err)
	}
	if len(data) > 0 {
		p.Initrd = &Payload{Path: source.Path, ID: source.ID, Size: int64(len(data)), Unwrap: []string{"uki"}, Data: data}
	}
	return nil
}

// planCmdline: the base is what the user gave, or the running kernel's, or
// what is built into the UKI.
func (p *Plan) planCmdline(host *machine.Host, spec *Spec) error {
	text, name := spec.Cmdline, "--cmdline"
	if text == "" && !spec.ReuseCmdline {
		text, name = p.Image.Cmdline, "the UKI's command line"
	}
	if spec.CmdlineExact && !spec.ReuseCmdline && spec.Append == "" {
		p.Cmdline = text // to the letter, white space, open quotes and all
		if i := strings.IndexByte(text, 0); i >= 0 {
			return fmt.Errorf("%s: %w: NUL byte at offset %d", name, cmdline.ErrBad, i)
		}
		return nil
	}
	base, err := cmdline.ParseClosed(text)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if base.Args != nil && spec.Cmdline == "" && !spec.ReuseCmdline && spec.Kind == machine.Crash && !spec.CmdlineExact {
		base, p.Changes = cmdline.DropEnding(base, host.Arch.Machine)
	}
	if spec.ReuseCmdline {
		if err := host.CmdlineErr; err != nil {
			return fmt.Errorf("--reuse-cmdline: read /proc/cmdline: %w", err)
		}
		base, p.Changes = cmdline.Reuse(host.Cmdline, spec.Kind == machine.Boot, host.Arch.Machine)
	}
	more, err := cmdline.ParseClosed(spec.Append)
	if err != nil {
		return fmt.Errorf("--append: %w", err)
	}
	line := base.Append(more)
	if spec.Kind == machine.Crash && !spec.CmdlineExact {
		var added []cmdline.Change
		traits := host.CmdlineTraits()
		traits.CPUs = spec.CPUs
		if err := checkCPUs(line, traits); err != nil {
			return err
		}
		line, added = cmdline.Complete(line, traits)
		p.Changes = append(p.Changes, added...)
	}
	p.Cmdline = line.String()
	return nil
}
