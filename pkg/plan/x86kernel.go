package plan

import (
	"debug/elf"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/bootimage"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/memmap"
)

const (
	// entry64 is where a bzImage is entered in 64-bit mode, in bytes from its
	// load address (Documentation/arch/x86/boot.rst).
	entry64 = 0x200

	// vmlinuxAlign is what a kernel's place may differ by from the one it was
	// linked for (arch/x86/kernel/head64.c, __startup_64: load_delta).
	vmlinuxAlign = 2 << 20

	// vmlinuxBase is where the kernel image's virtual addresses begin
	// (__START_KERNEL_map).
	vmlinuxBase = 0xffffffff80000000

	vmlinuxCmdlineMax = 2048 // COMMAND_LINE_SIZE (arch/x86/include/asm/setup.h)
)

// x86Kernel is the part of an image that is loaded, and how.
type x86Kernel struct {
	data    []byte
	memSize uint64
	align   uint64
	linked  memmap.PhysAddr // where it was linked for: tried first for a vmlinux
	min     memmap.PhysAddr
	fixed   bool   // it runs where it was linked for only
	entry   uint64 // bytes from the load address
}

// x86KernelOf prepares a bzImage, or a vmlinux, for which there is no
// kexec_file_load on x86.
func x86KernelOf(image *bootimage.Image) (*x86Kernel, error) {
	if image.BzImage != nil {
		return bzImageKernel(image.BzImage)
	}
	data, err := image.Bytes()
	if err != nil {
		return nil, err
	}
	return vmlinuxKernel(image.ELF, data)
}

func bzImageKernel(z *bootimage.BzImage) (*x86Kernel, error) {
	data := make([]byte, z.KernelSize()) // the file has as many: bootimage has checked it
	if _, err := io.ReadFull(z.Kernel(), data); err != nil {
		return nil, err
	}
	k := &x86Kernel{
		data: data, memSize: max(uint64(z.InitSize), uint64(len(data))), align: max(uint64(z.KernelAlignment), memmap.PageSize),
		linked: memmap.PhysAddr(z.PrefAddress), min: memmap.PhysAddr(max(z.PrefAddress, 1<<20)), fixed: !z.Relocatable, entry: entry64,
	}
	return k, nil
}

// vmlinuxKernel lays the PT_LOADs out as they will be in memory. A 64-bit
// kernel runs at any distance of vmlinuxAlign from where it was linked for.
func vmlinuxKernel(f *bootimage.ELF, data []byte) (*x86Kernel, error) {
	start, end := f.Span()
	base := start &^ (vmlinuxAlign - 1)
	if end-base > bootimage.MaxUnpacked {
		return nil, fmt.Errorf("the PT_LOADs span %#x bytes; no kernel is larger than %#x", end-base, uint64(bootimage.MaxUnpacked))
	}
	k := &x86Kernel{memSize: end - base, align: vmlinuxAlign, linked: memmap.PhysAddr(base), min: memmap.PhysAddr(max(base, 1<<20))}
	filled := uint64(0)
	for _, l := range f.Loads {
		filled = max(filled, l.PhysAddr-base+l.FileSize)
	}
	k.data = make([]byte, filled)
	entry := false
	for _, l := range f.Loads {
		copy(k.data[l.PhysAddr-base:], data[l.Offset:l.Offset+l.FileSize])
		for _, from := range []uint64{l.PhysAddr, l.VirtAddr} {
			if f.Entry-from < l.MemSize && l.VirtAddr >= vmlinuxBase && !entry {
				k.entry, entry = l.PhysAddr-base+f.Entry-from, true
			}
		}
	}
	if !entry {
		return nil, fmt.Errorf("its entry point %#x is in no part with an address of the kernel image (%#x and above)", f.Entry, uint64(vmlinuxBase))
	}
	return k, nil
}

// place puts the kernel where it was linked for, if it must or may, or anywhere.
func (k *x86Kernel) place(l *layout, host *machine.Host, vmlinux bool) (memmap.Range, error) {
	here := memmap.Hole{Size: k.memSize, Align: k.align, Min: k.linked, Max: k.linked + memmap.PhysAddr(memmap.PageUp(k.memSize))}
	if k.fixed || vmlinux {
		r, err := l.free.Place(memmap.Hole{Size: memmap.PageUp(k.memSize), Align: memmap.PageSize, Min: here.Min, Max: here.Max})
		if err == nil {
			here.Align = memmap.PageSize
			return l.place(host, RoleKernel, here)
		}
		if k.fixed {
			return r, &advice.Problem{
				What: fmt.Sprintf("the kernel is not relocatable and runs at %v only, where there is no room: %v", k.linked, err),
				Hint: "use a kernel built with CONFIG_RELOCATABLE=y", Err: unix.ENOEXEC,
			}
		}
	}
	return l.place(host, RoleKernel, memmap.Hole{Size: k.memSize, Align: k.align, Min: k.min})
}

// checkX86Image asks what the entry in 64-bit mode needs of an image.
func (p *Plan) checkX86Image(host *machine.Host) error {
	if f := p.Image.ELF; p.Image.Format == bootimage.FormatELF && f.Class == elf.ELFCLASS64 {
		return nil
	}
	z := p.Image.BzImage
	if z == nil {
		return fmt.Errorf("gokexec does not load %s by kexec_load", p.Image.Format)
	}
	if err := z.CheckProtocol(); err != nil {
		return err
	}
	errs := []error{z.CheckLoadedHigh(), z.Check64Bit(), z.CheckAbove4G()}
	if host.LA57 {
		errs = append(errs, z.Check5Level())
	}
	return errors.Join(errs...)
}
