package kcore

import (
	"cmp"
	"debug/elf"
	"fmt"
	"math"
	"slices"

	"github.com/gokexec/gokexec/pkg/elfcore"
	"github.com/gokexec/gokexec/pkg/memmap"
)

// addrMask returns the bits of a virtual address of the class.
func addrMask(c elf.Class) uint64 {
	if c == elf.ELFCLASS32 {
		return math.MaxUint32
	}
	return math.MaxUint64
}

// noPhys is the p_paddr of what /proc/kcore knows no physical address of.
const noPhys = memmap.PhysAddr(math.MaxUint64)

// resolve finds the direct map and the kernel text among the segments.
func (k *Kcore) resolve(iomem *memmap.Iomem) error {
	ram := iomem.SystemRAM()
	if k.unaddressed() {
		if err := k.addressOld(iomem, ram); err != nil {
			return err
		}
	}
	mask := addrMask(k.Map.Class)
	// Nothing but RAM and the kernel text have a physical address, and the
	// text is the smaller part; so the direct map is the offset of the most.
	bytes := make(map[uint64]uint64)
	for i := range k.Loads {
		l := &k.Loads[i]
		if l.Phys == noPhys || !readable(l) || !ram.Overlaps(l.PhysRange()) {
			continue
		}
		bytes[(l.Virt-uint64(l.Phys))&mask] += l.FileSize
	}
	if len(bytes) == 0 {
		return fmt.Errorf("%w: %d segments", ErrNoDirectMap, len(k.Loads))
	}
	for delta, n := range bytes {
		if best := bytes[k.Map.Direct]; n > best || n == best && delta < k.Map.Direct {
			k.Map.Direct = delta
		}
	}
	for i := range k.Loads {
		l := &k.Loads[i]
		if l.Phys != noPhys && readable(l) && (l.Virt-uint64(l.Phys))&mask == k.Map.Direct && ram.Overlaps(l.PhysRange()) {
			k.ram = append(k.ram, *l)
		}
	}
	slices.SortFunc(k.ram, func(a, b elfcore.Load) int { return cmp.Compare(a.Phys, b.Phys) })
	if k.Map.Class == elf.ELFCLASS32 {
		k.Map.LowEnd = k.ram[len(k.ram)-1].PhysRange().End
	}
	k.findText(iomem)
	return nil
}

// unaddressed reports whether no segment has a physical address, as before
// "update physical address for kcore ram and text" (4.11), when all were 0. Since
// then what has none has noPhys; on ppc64 all of RAM may be one segment, at 0.
func (k *Kcore) unaddressed() bool {
	return !slices.ContainsFunc(k.Loads, func(l elfcore.Load) bool { return l.Phys != 0 })
}

const (
	// x86_64 maps the kernel image from __START_KERNEL_map on, within
	// KERNEL_IMAGE_SIZE; modules follow.
	kernelImageSize = 512 << 20

	// pageOffsetAlign is what the start of the direct map is aligned to, with
	// and without KASLR.
	pageOffsetAlign = 1 << 30
)

// addressOld fills in the physical addresses of an old x86 kernel's segments.
// The direct map is the lowest of them, and its start is aligned far enough
// to be known from the lowest segment of RAM.
func (k *Kcore) addressOld(iomem *memmap.Iomem, ram memmap.Set) error {
	a := archOf(k.Map.Machine)
	if !a.unaddressed || len(k.Loads) == 0 {
		return fmt.Errorf("%w: none of %d segments has a physical address", ErrNoDirectMap, len(k.Loads))
	}
	lowest := slices.MinFunc(k.Loads, func(a, b elfcore.Load) int { return cmp.Compare(a.Virt, b.Virt) })
	base := lowest.Virt &^ (pageOffsetAlign - 1)
	text := -1
	for i := range k.Loads {
		l := &k.Loads[i]
		l.Phys = noPhys
		if a.image != 0 && l.Virt >= a.image && l.Virt-a.image < kernelImageSize &&
			(text < 0 || l.Virt < k.Loads[text].Virt) {
			text = i
			continue
		}
		r, ok := memmap.RangeOf(memmap.PhysAddr(l.Virt-base), l.MemSize)
		if ok && ram.Contains(r) {
			l.Phys = r.Start
		}
	}
	if code := iomem.Named(nameKernelCode); text >= 0 && len(code) == 1 {
		k.Loads[text].Phys = code[0].Start
	}
	return nil
}

// nameKernelCode is the resource from _text (_stext on arm64) to _etext.
const nameKernelCode = "Kernel code"

// findText takes as kernel text the smallest segment that holds the "Kernel
// code" of the memory map but isn't the direct map. Architectures that run the
// kernel from the direct map have none; kernels without
// CONFIG_ARCH_PROC_KCORE_TEXT, such as older ones of riscv, don't tell.
func (k *Kcore) findText(iomem *memmap.Iomem) {
	code := iomem.Named(nameKernelCode)
	if len(code) != 1 {
		return
	}
	for i := range k.Loads {
		l := &k.Loads[i]
		if l.Phys == noPhys || (l.Virt-uint64(l.Phys))&addrMask(k.Map.Class) == k.Map.Direct || !l.PhysRange().Contains(code[0].Range()) {
			continue
		}
		if k.Map.Text.MemSize == 0 || l.MemSize < k.Map.Text.MemSize {
			k.Map.Text = elfcore.TextLoad(l.PhysRange(), l.Virt)
		}
	}
	if k.Map.Text.MemSize == 0 {
		k.textFromVMCoreInfo(iomem)
	}
}

// textFromVMCoreInfo finds the kernel text by what VMCOREINFO
// says of the image's offset, and from where to where /proc/iomem has it.
func (k *Kcore) textFromVMCoreInfo(iomem *memmap.Iomem) {
	offset := archOf(k.Map.Machine).textOffset
	if offset == "" {
		return
	}
	v, err := k.VMCoreInfo()
	if err != nil {
		return // before 4.19
	}
	image := iomem.KernelImage()
	if delta, ok := v.Number(offset); ok && !image.Empty() {
		k.Map.Text = elfcore.TextLoad(image, uint64(image.Start)+uint64(delta))
	}
}
