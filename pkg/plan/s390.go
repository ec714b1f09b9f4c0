package plan

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/gokexec/gokexec/pkg/bootimage"
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
		prepare: func(p *Plan, host *machine.Host, in *Inputs) (func(*layout, []byte) error, error) {
			if in.image.S390 == nil {
				return nil, fmt.Errorf("gokexec does not load %s by kexec_load on %s", in.image.Format, p.Arch.Name)
			}
			return func(l *layout, initrd []byte) error { return p.planS390(l, host, in, initrd) }, nil
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
func (p *Plan) planS390(l *layout, host *machine.Host, in *Inputs, initrd []byte) error {
	image, err := in.image.Bytes()
	if err != nil {
		return err
	}
	l.topDown = false
	var crash memmap.Range // empty for an ordinary kexec, whose 0 is that of the machine
	if p.Kind == machine.Crash {
		crash, _ = host.CrashRegion()
		if uint64(crash.Start) < crash.Size() {
			return errors.New("the crash memory lies within its own size from 0: the capture kernel can't exchange it with the memory there")
		}
		if err := l.placePurgatory(host, memmap.Hole{Min: crash.Start + s390Purgatory, Max: crash.Start + bootimage.S390Start}); err != nil {
			return err
		}
	}
	kernel := slices.Clone(image[bootimage.S390Start:])
	size := host.PageUp(uint64(len(kernel)))
	start := crash.Start + bootimage.S390Start
	kernelAt, err := l.place(host, RoleKernel, memmap.Hole{Size: size, Min: start, Max: start + memmap.PhysAddr(size)})
	if err != nil {
		return err
	}
	initrdAt, err := l.placeInitrd(host, initrd, memmap.Hole{Align: s390InitrdUnit, Min: max(crash.Start+s390Initrd, kernelAt.End)})
	if err != nil {
		return err
	}
	if !initrdAt.Empty() {
		initrdAt = memmap.Range{Start: initrdAt.Start - crash.Start, End: initrdAt.End - crash.Start}
	}
	tell := func(offset int, value uint64) {
		binary.BigEndian.PutUint64(kernel[offset-bootimage.S390Start:], value)
	}
	tell(bootimage.S390InitrdStart, uint64(initrdAt.Start))
	tell(bootimage.S390InitrdSize, initrdAt.Size())
	tell(bootimage.S390OldMemBase, uint64(crash.Start))
	tell(bootimage.S390OldMemSize, crash.Size())
	line := kernel[bootimage.S390Cmdline-bootimage.S390Start:][:in.image.S390.CmdlineSize]
	clear(line)
	copy(line, p.KernelCmdline)
	l.fill(RoleKernel, kernel)
	p.Segments = l.sorted()
	if p.Kind == machine.Boot {
		p.KernelEntry, p.Entry = kernelAt.Start, kernelAt.Start
		return nil
	}
	p.KernelEntry = crash.Start + bootimage.S390KdumpEntry
	return p.addPurgatory(host, nil)
}
