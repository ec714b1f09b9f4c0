package plan

import (
	"debug/elf"
	"errors"
	"fmt"
	"strings"

	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/bootimage"
	"github.com/gokexec/gokexec/pkg/elfcore"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/memmap"
)

// loongArchProtocol: an EFI image or ELF file; all else is on the command line (arch/loongarch/kernel/machine_kexec.c,
// kexec_efi.c, kexec_elf.c). Neither of its system calls verifies a digest, and no kernel updates a header.
func loongArchProtocol() protocol {
	return protocol{
		machine: elf.EM_LOONGARCH,
		formats: []bootimage.Format{bootimage.FormatLoongArch, bootimage.FormatELF},
		prepare: func(p *Plan, host *machine.Host, in *Inputs) (func(*layout, []byte) error, error) {
			image := in.image.LoongArch
			switch {
			case image == nil:
				return nil, fmt.Errorf("gokexec does not load %s by kexec_load on %s", in.image.Format, p.Arch.Name)
			case image.ImageSize > bootimage.MaxUnpacked:
				return nil, fmt.Errorf("its image size is %#x; no kernel is larger than %#x", image.ImageSize, uint64(bootimage.MaxUnpacked))
			case image.Entry < image.LoadOffset || image.Entry-image.LoadOffset >= image.ImageSize:
				return nil, fmt.Errorf("its entry %#x is not in the %#x bytes from %#x on that it takes", image.Entry, image.ImageSize, image.LoadOffset)
			}
			return func(l *layout, initrd []byte) error { return p.planLoongArch(l, host, in, initrd) }, nil
		},
		destinations: destinations,
	}
}

const (
	loongArchAlign = 2 << 20 // of an Image, in bytes (arch/loongarch/kernel/relocate.c takes 64 KiB)
	// loongArchCmdline is the first word, by which the kernel finds the segment (machine_kexec_prepare), and
	// loongArchCmdlineSize how many bytes it copies of that: COMMAND_LINE_SIZE.
	loongArchCmdline     = "kexec "
	loongArchCmdlineSize = 4096
)

// planLoongArch places and makes the segments, from the lowest address up, the Image first.
func (p *Plan) planLoongArch(l *layout, host *machine.Host, in *Inputs, initrd []byte) error {
	image := in.image.LoongArch
	kernel, err := in.image.Bytes()
	if err != nil {
		return err
	}
	if strings.HasPrefix(string(initrd[:min(len(initrd), len(loongArchCmdline))]), loongArchCmdline[:len(loongArchCmdline)-1]) {
		return errors.New("the initrd begins with \"kexec\", and the kernel would take it for the command line")
	}
	if _, err := p.Serial.purgatory(host); err != nil {
		return err
	}
	l.topDown, p.NoChecks = false, true
	size := max(image.ImageSize, uint64(len(kernel)))
	at, err := l.place(host, RoleKernel, memmap.Hole{Size: size, Align: loongArchAlign, Min: memmap.PhysAddr(image.LoadOffset)})
	if err != nil {
		return err
	}
	l.fill(RoleKernel, kernel)
	p.KernelEntry = at.Start + memmap.PhysAddr(image.Entry-image.LoadOffset)
	p.Entry = p.KernelEntry
	words := []string{strings.TrimSpace(loongArchCmdline)}
	if p.Kind == machine.Crash {
		for _, r := range host.Crash {
			words = append(words, fmt.Sprintf("mem=%#x@%#x", r.Size(), uint64(r.Start)))
		}
		header, err := p.addHeader(l, host, initrd, elfcore.BuildOptions{})
		if err != nil {
			return err
		}
		// Without the size all memory behind it would be reserved.
		words = append(words, fmt.Sprintf("elfcorehdr=%#x@%#x", header.Size(), uint64(header.Start)))
	}
	initrdAt, err := l.placeInitrd(host, initrd, memmap.Hole{Min: at.End})
	if err != nil {
		return err
	}
	if !initrdAt.Empty() {
		words = append(words, fmt.Sprintf("initrd=%#x,%#x", uint64(initrdAt.Start), initrdAt.Size()))
	}
	p.prepend(words...)
	if f := p.checkCmdline(); f.Level == advice.Failure {
		return f.Problem()
	}
	line := make([]byte, loongArchCmdlineSize)
	copy(line, p.KernelCmdline)
	if _, err := l.place(host, RoleCmdline, memmap.Hole{Size: loongArchCmdlineSize}); err != nil {
		return err
	}
	l.fill(RoleCmdline, line)
	p.Segments = l.sorted()
	return nil
}
