package plan

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/gokexec/gokexec/internal/purgatory"
	"github.com/gokexec/gokexec/pkg/bootimage"
	"github.com/gokexec/gokexec/pkg/kexec"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/memmap"
)

// s390Protocol: a bzImage with its parameter area (arch/s390/kernel/machine_kexec_file.c). No elfcorehdr is loaded.
func s390Protocol() protocol {
	return protocol{
		machine: elf.EM_S390,
		formats: []bootimage.Format{bootimage.FormatS390, bootimage.FormatELF},
		accepts: func(p *Plan, _ *machine.Host) (string, error) {
			if p.Image.ELF == nil {
				return "", nil
			}
			return "give the bzImage that was built with it (arch/s390/boot/bzImage, /boot/vmlinuz-VERSION); the running kernel oopses when it loads this file",
				p.Image.ELF.CheckKexecS390(p.Kind == machine.Crash)
		},
		prepare: func(p *Plan, host *machine.Host, in *Inputs) (func() error, error) {
			if in.image.S390 == nil {
				return nil, fmt.Errorf("gokexec does not load %s by kexec_load on %s", in.image.Format, p.Arch.Name)
			}
			return func() error { return p.planS390(host, in) }, nil
		},
		destinations:   destinations,
		reserveHint:    reserveByOffset,
		bootLoaderHint: "in /etc/zipl.conf, then zipl; grubby where that is",
	}
}

// Where segments lie, from the address that the new kernel will have for its 0: of a crash kernel the beginning of the crash
// memory, which it exchanges with that of the crashed kernel (arch/s390/boot/head_kdump.S). The code that does so uses
// 0 to 0x2000, 0x4000 and 0x6000.
const (
	s390Purgatory  = 0x8000
	s390Initrd     = 8 << 20 // at least: kernels before 5.1 unpack themselves below
	s390InitrdUnit = 1 << 20
)

// planS390 places and makes the segments.
func (p *Plan) planS390(host *machine.Host, in *Inputs) error {
	if err := p.fits(host, p.Spec.Kind); err != nil {
		return err
	}
	image, err := in.image.Bytes()
	if err != nil {
		return err
	}
	initrd, err := p.Initrd.bytes(in.Initrd)
	if err != nil {
		return err
	}
	p.NoChecks, p.Serial = p.Spec.NoChecks, p.Spec.Serial
	p.KernelCmdline = p.Cmdline
	l, err := newLayout(host, p)
	if err != nil {
		return err
	}
	l.topDown = false
	var zero memmap.PhysAddr
	if p.Kind == machine.Crash {
		p.LoadFlags |= kexec.LoadOnCrash
		region, _ := host.CrashRegion()
		zero = region.Start
		if uint64(zero) < region.Size() {
			return errors.New("the crash memory lies within its own size from 0: the capture kernel can't exchange it with the memory there")
		}
		size, err := purgatory.MemSize(p.Arch.Machine)
		if err != nil {
			return err
		}
		if _, err := l.place(host, RolePurgatory, s390Hole(zero+s390Purgatory, size)); err != nil {
			return err
		}
	}
	kernel := slices.Clone(image[bootimage.S390Start:])
	kernelAt, err := l.place(host, RoleKernel, s390Hole(zero+bootimage.S390Start, host.PageUp(uint64(len(kernel)))))
	if err != nil {
		return err
	}
	tell := func(offset int, value uint64) {
		binary.BigEndian.PutUint64(kernel[offset-bootimage.S390Start:], value)
	}
	for _, offset := range []int{bootimage.S390InitrdStart, bootimage.S390InitrdSize, bootimage.S390OldMemBase, bootimage.S390OldMemSize} {
		tell(offset, 0)
	}
	if len(initrd) > 0 {
		at, err := l.place(host, RoleInitrd, memmap.Hole{Size: uint64(len(initrd)), Align: s390InitrdUnit, Min: max(zero+s390Initrd, kernelAt.End)})
		if err != nil {
			return err
		}
		tell(bootimage.S390InitrdStart, uint64(at.Start-zero))
		tell(bootimage.S390InitrdSize, uint64(len(initrd)))
	}
	line := kernel[bootimage.S390Cmdline-bootimage.S390Start:][:in.image.S390.CmdlineSize]
	clear(line)
	copy(line, p.KernelCmdline)
	if p.Kind == machine.Crash {
		region, _ := host.CrashRegion()
		tell(bootimage.S390OldMemBase, uint64(region.Start))
		tell(bootimage.S390OldMemSize, region.Size())
	}
	l.fill(RoleKernel, kernel)
	l.fill(RoleInitrd, initrd)
	p.Segments = l.sorted()
	if p.Kind == machine.Boot {
		p.KernelEntry, p.Entry = kernelAt.Start, kernelAt.Start
		return nil
	}
	p.KernelEntry = zero + bootimage.S390KdumpEntry
	return p.addPurgatory(host, nil)
}

// s390Hole is one certain place.
func s390Hole(at memmap.PhysAddr, size uint64) memmap.Hole {
	return memmap.Hole{Size: size, Min: at, Max: at + memmap.PhysAddr(size)}
}
