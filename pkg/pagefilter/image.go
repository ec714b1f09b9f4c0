package pagefilter

import (
	"debug/elf"

	"github.com/gokexec/gokexec/pkg/memmap"
	"github.com/gokexec/gokexec/pkg/vmcore"
)

// kernelImage returns the memory that the kernel image has: what the page tables map around
// _stext with the offset that _stext has. Where that can't be read, it is what lies between
// _stext and the last symbol of the image.
func kernelImage(m elf.Machine, v *vmcore.VMCoreInfo, space *vmcore.AddressSpace) []memmap.Range {
	stext, ok := v.Symbol("_stext")
	if !ok {
		return nil
	}
	phys, _, err := space.Translate(stext)
	if err != nil {
		return nil
	}
	delta := uint64(phys) - stext
	a, ok := arches[m]
	if !ok {
		return nil
	}
	first, last, ok := a.image(v, stext)
	if !ok {
		return nil
	}
	var image []memmap.Range
	for m := range space.Mappings(first, last) {
		if uint64(m.Phys)-m.Virt != delta {
			continue
		}
		r := memmap.Range{Start: m.Phys, End: m.Phys + memmap.PhysAddr(m.Size)}
		if n := len(image); n > 0 && image[n-1].End == r.Start {
			image[n-1].End = r.End
			continue
		}
		image = append(image, r)
	}
	return image
}
