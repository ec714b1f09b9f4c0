package main

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"

	"github.com/gokexec/gokexec/internal/kexeccmd"
	"github.com/gokexec/gokexec/pkg/bootimage"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/memmap"
	"github.com/gokexec/gokexec/pkg/plan"
)

// spec makes the Spec, and looks at its files as kexec-tools does, in its order and words.
func (k *kexecRun) spec() (*plan.Spec, error) {
	inv := k.inv
	spec := &plan.Spec{Kind: k.kind(), Method: inv.Method, CmdlineExact: true, FileFlags: k.fileFlags(k.host), NoChecks: inv.NoChecks, Serial: k.serial()}
	spec.Options = plan.SegmentOptions{MemMin: memmap.PhysAddr(inv.MemMin), MemMax: memmap.PhysAddr(inv.MemMax), Entry: memmap.PhysAddr(inv.Entry),
		NoEFI: inv.NoEFI, PassMemmap: inv.PassMemmap}
	switch inv.MemMax {
	case math.MaxUint64:
		spec.Options.MemMax = 0 // no bound
	case 0:
		spec.Options.MemMax = 1 // no room
	}
	if inv.Hotplug {
		spec.Hotplug = plan.HotplugOn
	}
	spec.ReadSeed()
	var err error
	if spec.Cmdline, err = inv.Cmdline(k.host.Cmdline, k.host.CmdlineErr); err != nil {
		return nil, &kexecError{code: kexeccmd.ExitUsage, lines: []string{"Failed to read /proc/cmdline"}, err: err}
	}
	if a, open := k.host.Cmdline.Open(); open && inv.Reuse && inv.Base == nil && inv.Append != nil {
		fmt.Fprintf(k.stderr, "kexec: warning: the quote in %q of /proc/cmdline is not closed, so the appended text becomes part of the quoted value\n", a.Text)
	}
	spec.Kernel = plan.FromFile(k.image)
	kernel, err := plan.Open(spec)
	if err != nil {
		return nil, k.openFailed("", k.image, err)
	}
	defer kernel.Close()
	if err := k.checkType(kernel); err != nil {
		return nil, err
	}
	if inv.Initrd != nil {
		spec.Initrd = plan.FromFile(*inv.Initrd)
	}
	if inv.DTB != nil && spec.Method != plan.File && kexeccmd.TakesDTB(inv.Arch) {
		spec.DTB = plan.FromFile(*inv.DTB)
	}
	all, err := plan.Open(spec)
	var input *plan.InputError
	switch {
	case err == nil:
		return spec, all.Close()
	case !errors.As(err, &input) || input.Role == plan.RoleKernel:
		return nil, k.openFailed("", k.image, err)
	case input.Role == plan.RoleInitrd:
		return nil, k.initrdFailed(kernel, spec.Initrd.Path, err)
	}
	return nil, k.openFailed("", spec.DTB.Path, err)
}

// serial is the port for the purgatory. If the machine does not have it, the kernel is
// loaded nevertheless.
func (k *kexecRun) serial() plan.Serial {
	serial := k.inv.Serial
	if k.inv.Terminal != "" {
		var err error
		if serial, err = plan.ParseSerial(k.inv.Terminal); err != nil {
			k.debugf("%v", err)
		}
	}
	if !serial.UsableOn(k.host) {
		k.debugf("nothing will be reported on serial port %v: this machine does not seem to have it", serial)
		return plan.Serial{}
	}
	return serial
}

// initrdFailed: kexec-tools looks at the kernel before it opens the initrd.
func (k *kexecRun) initrdFailed(kernel *plan.Inputs, path string, err error) *kexecError {
	switch image, err := kernel.OpenImage(k.host, machine.Boot); {
	case errors.Is(err, bootimage.ErrNotKernel):
		return k.unknownType(err)
	case err == nil && image.Machine != k.arch.Machine:
		return k.unknownType(plan.ErrOtherMachine)
	}
	e := k.openFailed("Could not open initrd file "+path+":%s", path, err)
	switch {
	case errors.Is(err, plan.ErrEmpty):
		return k.cannotLoad(e.err)
	case e.code == kexeccmd.ExitFailed:
		e.lines = append(e.lines, "Cannot load "+k.image)
	}
	return e
}

// openFailed: kexec-tools exits at once if a file can't be opened. An initrd for
// kexec_file_load is an ordinary failure, with its own message.
func (k *kexecRun) openFailed(words, path string, err error) *kexecError {
	e := &kexecError{err: fileProblem("file", err)}
	var pe *fs.PathError
	errors.As(err, &pe)
	switch {
	case errors.Is(err, plan.ErrEmpty):
		return k.unknownType(err)
	case errors.Is(err, plan.ErrNotRegular):
		e.code, e.lines = kexeccmd.ExitUsage, []string{"Cannot read " + path}
	case words == "" || k.inv.Method == plan.Segments:
		e.code, e.lines = kexeccmd.ExitUsage, []string{fmt.Sprintf("Cannot open `%s': %s", path, strerror(err))}
	default:
		e.code, e.lines = kexeccmd.ExitFailed, []string{fmt.Sprintf(words, strerror(err))}
	}
	return e
}

// checkType compares the image with --type, which kexec_load uses. If it is no image, the
// plan reports that.
func (k *kexecRun) checkType(kernel *plan.Inputs) error {
	name := k.inv.Type
	if k.inv.Method != plan.Segments || name == "" {
		return nil
	}
	if !kexeccmd.KnownType(k.inv.Arch, name) {
		return &kexecError{code: kexeccmd.ExitFailed, lines: []string{"Unsupported kernel type " + name}}
	}
	image, err := kernel.OpenImage(k.host, machine.Boot)
	if err != nil || image.Machine != k.arch.Machine {
		return nil
	}
	if names := typeNames(image); !slices.Contains(names, name) {
		return &kexecError{code: kexeccmd.ExitFailed, lines: []string{fmt.Sprintf("Wrong file type %s, file matches type %s", name, names[0])}}
	}
	return nil
}

// typeNames are kexec-tools' names for a format, the usual one first.
func typeNames(image *bootimage.Image) []string {
	for _, w := range image.Wrapping {
		switch w {
		case "uki":
			return []string{"uki"}
		case "zboot":
			return []string{"vmlinuz", "vmlinuz-riscv", "pez-loongarch"}
		}
	}
	switch image.Format {
	case bootimage.FormatBzImage:
		return []string{"bzImage64", "bzImage"}
	case bootimage.FormatARM64:
		return []string{"Image"}
	case bootimage.FormatRISCV:
		return []string{"image-riscv"}
	case bootimage.FormatELF:
		return []string{"elf-x86_64", "elf-x86", "vmlinux", "elf-riscv", "elf-loongarch", "elf-ppc64"}
	case bootimage.FormatLoongArch:
		return []string{"pei-loongarch"}
	case bootimage.FormatARM:
		return []string{"zImage"}
	}
	return []string{"image"}
}
