package plan

import (
	"fmt"
	"math"
	"strings"

	"github.com/gokexec/gokexec/pkg/elfcore"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/memmap"
)

// prepareDT reads the image once: some of these machines have little memory.
func prepareDT(p *Plan, host *machine.Host, in *Inputs) (fill func(*layout, []byte) error, err error) {
	kernel, err := p.readDTKernel(in.image)
	if err != nil {
		return nil, err
	}
	return func(l *layout, initrd []byte) error { return p.planDT(l, host, in, kernel, initrd) }, nil
}

// planDT places and makes the segments for arm64 and riscv64. From the lowest
// address up: on arm64 the elfcorehdr at the beginning of the crash region, then
// what is small, the Image and the initrd. On riscv64 the Image comes first, since
// kernels before 6.4 can't use memory below themselves (arch/riscv/kernel/
// elf_kexec.c does so too).
func (p *Plan) planDT(l *layout, host *machine.Host, in *Inputs, kernel *dtKernel, initrd []byte) error {
	tree, err := deviceTree(host, in.DTB)
	if err != nil {
		return err
	}
	l.topDown = false
	tell := &chosen{cmdline: p.Cmdline, seed: p.Spec.Seed}
	kernelAt, err := p.placeDT(l, host, kernel, initrd, tell)
	if err != nil {
		return err
	}
	if err := tell.apply(tree); err != nil {
		return fmt.Errorf("device tree: %w", err)
	}
	dtb, err := tree.AppendBinary(nil)
	if err != nil {
		return fmt.Errorf("device tree: %w", err)
	}
	if len(dtb) > maxDeviceTree {
		return fmt.Errorf("the device tree has %d bytes; a kernel takes %d at most", len(dtb), maxDeviceTree)
	}
	if _, err := l.place(host, RoleDTB, kernel.window(kernelAt, uint64(len(dtb)))); err != nil {
		return err
	}
	l.fill(RoleDTB, dtb)
	l.fill(RoleKernel, kernel.data)
	p.KernelEntry = kernelAt.Start
	p.Segments = l.sorted()
	return p.addPurgatory(host, nil)
}

// placeDT finds room for all but the device tree, which tells of the others.
func (p *Plan) placeDT(l *layout, host *machine.Host, kernel *dtKernel, initrd []byte, tell *chosen) (kernelAt memmap.Range, err error) {
	kernelFirst := p.Kind == machine.Boot || protocolOf(p.Arch.Machine).kernelFirst
	if kernelFirst {
		if kernelAt, err = kernel.place(l, host); err != nil {
			return kernelAt, err
		}
		l.free = l.free.Intersect(memmap.NewSet(memmap.Range{Start: kernelAt.Start, End: math.MaxUint64}))
	}
	if p.Kind == machine.Crash {
		if tell.elfcorehdr, err = p.addHeader(l, host, initrd, elfcore.BuildOptions{}); err != nil {
			return kernelAt, err
		}
		p.Usable = usableMemory(host)
		tell.usable = p.Usable
	}
	if err = l.placePurgatory(host, memmap.Hole{}); err != nil {
		return kernelAt, err
	}
	if !kernelFirst {
		if kernelAt, err = kernel.place(l, host); err != nil {
			return kernelAt, err
		}
	}
	hole := kernel.window(kernelAt, uint64(len(initrd)))
	hole.Align = max(kernel.page, host.Page())
	tell.initrd, err = l.placeInitrd(host, initrd, hole)
	return kernelAt, err
}

// window is where data may lie that goes with a kernel.
func (k *dtKernel) window(kernelAt memmap.Range, size uint64) memmap.Hole {
	start := kernelAt.Start &^ (initrdWindowAlign - 1)
	h := memmap.Hole{Size: size, Min: start, Max: start + initrdWindow}
	if k.above {
		h.Min = kernelAt.Start
	}
	return h
}

// dtControlPages: control code and a copy of VMCOREINFO; no page tables for a crash.
func dtControlPages(host *machine.Host) uint64 { return 8 * host.Page() }

// usableMemory is that of a crash kernel: the region that it lies in, first, a low
// one for devices that reach no higher, and what crashkernel=,cma lends it
// (drivers/of/kexec.c).
func usableMemory(host *machine.Host) []memmap.Range {
	region, _ := host.CrashRegion()
	usable := []memmap.Range{region}
	for _, r := range host.Crash {
		if r != region {
			usable = append(usable, r)
		}
	}
	if host.Dump != nil {
		usable = append(usable, host.Dump.CMA...)
	}
	return usable
}

// destinations is the memory that segments of an ordinary kexec may go to: RAM in
// which neither the running kernel nor the device tree has anything reserved.
// The running kernel itself is no hindrance: it is gone by then.
func destinations(host *machine.Host) memmap.Set {
	var taken []memmap.Range
	for _, r := range host.Iomem.Walk() {
		if r.Name != "System RAM" {
			continue
		}
		for _, c := range r.Children {
			if !strings.HasPrefix(c.Name, "Kernel ") {
				taken = append(taken, wholePages(c.Range(), host.Page()))
			}
		}
	}
	// Reserved memory may also be listed beside the RAM that it is in (riscv).
	for _, r := range host.Iomem.Walk() {
		if strings.EqualFold(r.Name, "reserved") {
			taken = append(taken, wholePages(r.Range(), host.Page()))
		}
	}
	taken = append(taken, host.Crash...)
	if host.Dump != nil {
		taken = append(taken, host.Dump.Firmware...)
	}
	return host.Iomem.BootRAM().Minus(memmap.NewSet(taken...)).Minus(reservedByTree(host.DeviceTree))
}

// wholePages is the pages that a range has a part of.
func wholePages(r memmap.Range, page uint64) memmap.Range {
	mask := memmap.PhysAddr(page - 1)
	end := (r.End + mask) &^ mask
	if end < r.End {
		end = r.End
	}
	return memmap.Range{Start: r.Start &^ mask, End: end}
}
