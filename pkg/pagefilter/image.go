package pagefilter

import (
	"github.com/gokexec/gokexec/pkg/memmap"
	"github.com/gokexec/gokexec/pkg/vmcore"
)

// segmenter is a Memory that has PT_LOADs: an ELF dump.
type segmenter interface {
	// SegmentAt returns the physical addresses of the PT_LOAD that gives a virtual address.
	SegmentAt(addr uint64) (memmap.Range, bool)
}

// maxImage bounds a kernel image, in bytes: what is larger is a direct map.
const maxImage = 1 << 30

// kernelImage returns the memory of the kernel image: the PT_LOAD of _stext, and in dumps that
// don't tell it what the page tables map around _stext with the offset that _stext has.
func kernelImage(mem Memory, v *vmcore.VMCoreInfo, space *vmcore.AddressSpace) []memmap.Range {
	stext, ok := v.Symbol("_stext")
	if !ok {
		return nil
	}
	a := archOf(mem.Platform().Machine)
	if a == nil || a.image == nil { // the PT_LOAD of _stext is that of the direct map
		return symbolSpan(v, space, stext)
	}
	if s, ok := mem.(segmenter); ok {
		if r, ok := s.SegmentAt(stext); ok && r.Size() <= maxImage {
			return []memmap.Range{r}
		}
	}
	if image := mappedImage(a, v, space, stext); image != nil {
		return image
	}
	return symbolSpan(v, space, stext)
}

// mappedImage is kernelImage by the page tables. On x86 it goes on behind _end, up to where the
// last large page ends.
func mappedImage(a *arch, v *vmcore.VMCoreInfo, space *vmcore.AddressSpace, stext uint64) (image []memmap.Range) {
	phys, _, err := space.Translate(stext)
	if err != nil {
		return nil
	}
	first, last, ok := a.image(v, stext)
	if !ok {
		return nil
	}
	for m := range space.Mappings(first, last) {
		if uint64(m.Phys)-m.Virt != uint64(phys)-stext {
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

// imageSymbols are in the data of every kernel image that has them.
var imageSymbols = []string{"swapper_pg_dir", "init_top_pgt", "init_level4_pgt", "init_uts_ns", "node_online_map", "prb", "clear_seq",
	"log_buf", "log_buf_len", "kallsyms_names", "kallsyms_offsets", "vmap_area_list", "node_data", "contig_page_data"}

// symbolSpan is what certainly belongs to the image: from _stext to the last symbol of its data.
func symbolSpan(v *vmcore.VMCoreInfo, space *vmcore.AddressSpace, stext uint64) []memmap.Range {
	phys, _, err := space.Translate(stext)
	if err != nil {
		return nil
	}
	last := stext
	for _, name := range imageSymbols {
		if addr, ok := v.Symbol(name); ok && addr > last && addr-stext < maxImage {
			last = addr
		}
	}
	r, ok := memmap.RangeOf(phys, last-stext+v.PageSize)
	if !ok {
		return nil
	}
	return []memmap.Range{r}
}
