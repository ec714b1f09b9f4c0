package loader

import (
	"debug/elf"
	"errors"
	"fmt"
	"strings"

	"github.com/gokexec/gokexec/internal/kexecsys"
	"github.com/gokexec/gokexec/pkg/bootimage"
)

// The types of the two system calls.
type (
	FileFlags     = kexecsys.FileFlags
	LoadFlags     = kexecsys.LoadFlags
	KernelSegment = kexecsys.Segment
)

// Plan is all that one system call needs, made before it is called. New makes
// it without side effects.
type Plan struct {
	Kind    Kind
	Method  Method // File or Segments
	Why     string // why Auto took Segments; else ""
	Arch    Arch
	Image   *bootimage.Image
	Cmdline string // without NUL, and without the elfcorehdr= that is put before it
	Changes []CmdlineChange

	Kernel *Payload
	Initrd *Payload  // nil: none
	Flags  FileFlags // of the method File

	SegmentPlan // of the method Segments

	asked   Method         // of the Spec
	options SegmentOptions // of the Spec
	force   bool           // of the Spec

	// fallback makes the plan by segments of a plan that Auto made by file.
	fallback func() (*Plan, error)
}

// New plans the load of spec on host: it opens the images, unpacks what the
// kernel would not take, and makes the command line; for the method Segments it
// makes all that the kernel would have made. With Auto the plan is by file where
// the kernel has that call and takes the image.
func New(host *Host, spec *Spec) (*Plan, error) {
	if spec.DTB != nil && !usesDeviceTree(host.Arch.Machine) {
		return nil, &Problem{What: "a device tree is of no use on " + host.Arch.Name, Hint: "leave --dtb out"}
	}
	if spec.Method == Segments {
		return newSegments(host, spec, nil)
	}
	if spec.Method == File && spec.DTB != nil {
		return nil, &Problem{What: "kexec_file_load takes no device tree", Hint: "use --method segments, or leave --dtb out"}
	}
	p, err := newFile(host, spec)
	if err != nil || spec.Method == File {
		return p, err
	}
	return p.choose(host, spec)
}

// newFile plans the call kexec_file_load.
func newFile(host *Host, spec *Spec) (*Plan, error) {
	p := &Plan{Kind: spec.Kind, Method: File, Arch: host.Arch}
	if err := p.planInputs(host, spec); err != nil {
		return nil, err
	}
	if spec.Kind == Crash {
		p.Flags |= kexecsys.FileOnCrash
	}
	if p.Initrd == nil {
		p.Flags |= kexecsys.FileNoInitramfs
	}
	return p, nil
}

// planInputs is what both methods need.
func (p *Plan) planInputs(host *Host, spec *Spec) error {
	p.asked, p.options, p.force = spec.Method, spec.Options, spec.Force
	if err := p.planKernel(host, spec); err != nil {
		return err
	}
	if err := p.planInitrd(spec); err != nil {
		return err
	}
	return p.planCmdline(host, spec)
}

func (p *Plan) planKernel(host *Host, spec *Spec) error {
	if spec.Kernel == nil {
		return errors.New("no kernel is given")
	}
	image, err := bootimage.Open(spec.Kernel, spec.Kernel.Size)
	if err != nil {
		return &Problem{What: fmt.Sprintf("kernel %s: %v", spec.Kernel.Path, err), Hint: imageHint(err, host.Arch), Err: err}
	}
	p.Image = image
	p.Kernel = &Payload{Path: spec.Kernel.Path, Size: image.Size(), Unwrap: image.Wrapping, source: spec.Kernel}
	if !image.Unwrapped() {
		if p.Kernel.data, err = image.Bytes(); err != nil {
			return fmt.Errorf("kernel %s: %w", spec.Kernel.Path, err)
		}
	}
	return nil
}

func imageHint(err error, arch Arch) string {
	switch {
	case errors.Is(err, bootimage.ErrTruncated):
		return "the file is cut short: was its package installed completely, is the disk full?"
	case errors.Is(err, bootimage.ErrCorrupt):
		return "the file is damaged; reinstall the kernel package"
	case errors.Is(err, bootimage.ErrTooLarge):
		return fmt.Sprintf("no kernel unpacks to over %d MiB; is this the right file?", bootimage.MaxUnpacked>>20)
	case arch.Machine == elf.EM_X86_64:
		return "give the kernel image, such as /boot/vmlinuz-VERSION"
	}
	return "give the kernel image, such as /boot/vmlinuz-VERSION or an Image file"
}

func (p *Plan) planInitrd(spec *Spec) error {
	if spec.Initrd != nil {
		p.Initrd = &Payload{Path: spec.Initrd.Path, Size: spec.Initrd.Size, source: spec.Initrd}
		return nil
	}
	data, err := p.Image.Initrd()
	if err != nil {
		return fmt.Errorf("initrd in %s: %w", spec.Kernel.Path, err)
	}
	if len(data) > 0 {
		p.Initrd = &Payload{Path: spec.Kernel.Path, Size: int64(len(data)), Unwrap: []string{"uki"}, data: data}
	}
	return nil
}

// planCmdline: the base is what the user gave, or the running kernel's, or
// what is built into the UKI.
func (p *Plan) planCmdline(host *Host, spec *Spec) error {
	text, name := spec.Cmdline, "--cmdline"
	if text == "" && !spec.ReuseCmdline {
		text, name = p.Image.Cmdline, "the UKI's command line"
	}
	if spec.CmdlineExact && !spec.ReuseCmdline && spec.Append == "" {
		p.Cmdline = text // to the letter, white space, open quotes and all
		if i := strings.IndexByte(text, 0); i >= 0 {
			return fmt.Errorf("%s: %w: NUL byte at offset %d", name, ErrCmdline, i)
		}
		return nil
	}
	base, err := ParseCmdline(text)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if spec.ReuseCmdline {
		if err := host.Unread["proc/cmdline"]; err != nil {
			return fmt.Errorf("--reuse-cmdline: read /proc/cmdline: %w", err)
		}
		base, p.Changes = ReuseCmdline(host.Cmdline, spec.Kind)
	}
	more, err := ParseCmdline(spec.Append)
	if err != nil {
		return fmt.Errorf("--append: %w", err)
	}
	cmdline := base.Append(more)
	if spec.Kind == Crash && !spec.CmdlineExact {
		var added []CmdlineChange
		cmdline, added = CompleteCrashCmdline(cmdline, host.Arch.Machine)
		p.Changes = append(p.Changes, added...)
	}
	p.Cmdline = cmdline.String()
	return nil
}
