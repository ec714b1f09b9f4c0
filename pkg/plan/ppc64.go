package plan

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/gokexec/gokexec/internal/purgatory"
	"github.com/gokexec/gokexec/pkg/bootimage"
	"github.com/gokexec/gokexec/pkg/elfcore"
	"github.com/gokexec/gokexec/pkg/kexec"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/memmap"
)

// ppc64Protocol: a vmlinux that runs where it is loaded, and a device tree (arch/powerpc/kexec/elf_64.c, file_load_64.c).
func ppc64Protocol() protocol {
	return protocol{
		machine: elf.EM_PPC64,
		formats: []bootimage.Format{bootimage.FormatELF},
		prepare: func(p *Plan, host *machine.Host, in *Inputs) (func(*layout, []byte) error, error) {
			kernel, err := ppc64KernelOf(in.image)
			if err != nil {
				return nil, err
			}
			return func(l *layout, initrd []byte) error { return p.planPPC64(l, host, in, kernel, initrd) }, nil
		},
		imageHint: "give a vmlinux for ppc64le that was built with CONFIG_RELOCATABLE=y, as distributions' are",
		destinations: func(host *machine.Host) memmap.Set {
			return host.Iomem.BootRAM().Intersect(ppc64Reach(host)).Minus(memmap.NewSet(host.Crash...))
		},
		hotplugFlag: kexec.LoadHotplugSupport,
		hotplugTree: true,
		console: func(host *machine.Host) purgatory.Serial {
			if host.DeviceTree == nil || machine.HasCompatible(host.DeviceTree.Root, "ibm,powernv") {
				return purgatory.Serial{}
			}
			return purgatory.Serial{Kind: purgatory.SerialHypervisor}
		},
		reserveHint: reserveByOffset,
	}
}

const (
	ppc64Align  = 1 << 20 // of the kernel, in bytes; 64 KiB would do
	ppc64Head   = 0x100   // that the kernel copies to 0, where other CPUs wait (arch/powerpc/kexec/core_64.c, copy_to_0)
	ppc64RunAt  = 0x5c    // __run_at_load (arch/powerpc/kernel/head_64.S)
	ppc64RunAt0 = 0x72756e30
)

// ppc64Kernel is the part of a vmlinux that is loaded: its first PT_LOAD.
type ppc64Kernel struct {
	data    []byte
	memSize uint64
}

// ppc64KernelOf takes it, and tells it to run where it is loaded.
func ppc64KernelOf(image *bootimage.Image) (*ppc64Kernel, error) {
	if image.ELF == nil || len(image.ELF.Loads) == 0 {
		return nil, fmt.Errorf("gokexec does not load %s by kexec_load on ppc64le", image.Format)
	}
	file, err := image.Bytes()
	if err != nil {
		return nil, err
	}
	first := image.ELF.Loads[0]
	if image.ELF.Entry != first.VirtAddr || first.FileSize < 1<<16 || first.MemSize > bootimage.MaxUnpacked {
		return nil, fmt.Errorf("it is not entered at the beginning of its first PT_LOAD, of %d bytes at %#x, but at %#x", first.FileSize, first.VirtAddr, image.ELF.Entry)
	}
	data := slices.Clone(file[first.Offset : first.Offset+first.FileSize])
	at := data[ppc64RunAt : ppc64RunAt+4]
	if got := binary.LittleEndian.Uint32(at); got != ppc64RunAt0 {
		return nil, fmt.Errorf("it can't run where it is loaded: the word at %#x is %#x, not %#x (CONFIG_RELOCATABLE=y, little-endian)", ppc64RunAt, got, ppc64RunAt0)
	}
	binary.LittleEndian.PutUint32(at, 1)
	return &ppc64Kernel{data, first.MemSize}, nil
}

// ppc64Reach is the memory that segments may lie in: what is accessible without translation, behind the running kernel, less
// what is the firmware's (arch/powerpc/kexec/core_64.c, machine_kexec_prepare; ranges.c).
func ppc64Reach(host *machine.Host) memmap.Set {
	if host.DeviceTree == nil {
		return memmap.Set{}
	}
	root := host.DeviceTree.Root
	var begin uint64
	if chosen := root.Child("chosen"); chosen != nil {
		begin, _ = chosen.Uint("linux,kernel-end")
	}
	reach := memmap.Range{Start: memmap.PhysAddr(host.PageUp(begin)), End: ppc64Top(root)}
	var taken []memmap.Range
	for _, r := range ppc64Firmware(root).Ranges() {
		taken = append(taken, wholePages(r, host.Page()))
	}
	return memmap.NewSet(reach).Minus(memmap.NewSet(taken...))
}

// planPPC64 places and makes the segments, from the lowest address up.
func (p *Plan) planPPC64(l *layout, host *machine.Host, in *Inputs, kernel *ppc64Kernel, initrd []byte) error {
	tree, err := deviceTree(host, in.DTB)
	if err != nil {
		return err
	}
	if host.DeviceTree == nil {
		return errors.New("the machine's device tree is not known, and with it where segments may lie")
	}
	l.topDown, l.free = false, l.free.Intersect(ppc64Reach(host))
	kernelAt, err := l.place(host, RoleKernel, memmap.Hole{Size: kernel.memSize, Align: ppc64Align})
	if err != nil {
		return err
	}
	l.fill(RoleKernel, kernel.data)
	told := &ppc64Told{firmware: ppc64Firmware(tree.Root)}
	var backup *elfcore.Backup
	if p.Kind == machine.Crash {
		if backup, err = p.ppc64Dump(l, host, initrd, told); err != nil {
			return err
		}
	}
	if err := l.placePurgatory(host, memmap.Hole{}); err != nil {
		return err
	}
	if told.initrd, err = l.placeInitrd(host, initrd, memmap.Hole{}); err != nil {
		return err
	}
	if !told.initrd.Empty() {
		told.reserve(wholePages(told.initrd, host.Page()))
	}
	told.cmdline = p.KernelCmdline
	dtb, err := told.blob(tree, p.ppc64Slack(host, tree.Root))
	if err != nil {
		return fmt.Errorf("device tree: %w", err)
	}
	if _, err := l.place(host, RoleDTB, memmap.Hole{Size: uint64(len(dtb))}); err != nil {
		return err
	}
	l.fill(RoleDTB, dtb)
	p.KernelEntry = kernelAt.Start
	p.Segments = l.sorted()
	if err := p.addPurgatory(host, backup); err != nil {
		return err
	}
	// The kernel copies the beginning of what it enters to address 0, and sends the other CPUs into it.
	s, _ := p.Segment(RolePurgatory)
	copy(s.Data[4:ppc64Head], kernel.data[4:])
	return nil
}

// ppc64Dump makes what only a crash kernel has: the backup of the memory from 0 on, which it uses, and the elfcorehdr. The
// kernel finds the backup by its physical address 0 (arch/powerpc/kexec/crash.c, sync_backup_region_phdr).
func (p *Plan) ppc64Dump(l *layout, host *machine.Host, initrd []byte, told *ppc64Told) (*elfcore.Backup, error) {
	low := memmap.Range{End: memmap.PhysAddr(p.Arch.BackedUp)}
	at, err := l.place(host, RoleBackup, memmap.Hole{Size: low.Size()})
	if err != nil {
		return nil, err
	}
	backup := &elfcore.Backup{Source: low, Dest: at.Start}
	header, err := p.addHeader(l, host, initrd, elfcore.BuildOptions{Backup: backup})
	if err != nil {
		return nil, err
	}
	region, _ := host.CrashRegion()
	told.reserve(memmap.Range{Start: low.End, End: region.Start}, at, header)
	told.usable = memmap.NewSet(memmap.Range{End: region.End}).Union(told.firmware).Union(memmap.NewSet(host.Dump.CMA...))
	p.prepend(fmt.Sprintf("elfcorehdr=%v", header.Start))
	return backup, nil
}
