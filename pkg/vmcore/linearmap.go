package vmcore

import (
	"math/bits"
)

// linearMap is a stretch of virtual addresses that is mapped with one offset:
// physical = virtual + delta, modulo 1<<64. last is inclusive.
type linearMap struct {
	first, last, delta uint64

	// fixed says that nothing else can be mapped there. Otherwise the page tables, where
	// they are known, have the say.
	fixed bool
}

func (m *linearMap) has(addr uint64) bool { return addr >= m.first && addr <= m.last }

// run is how many bytes the mapping has from addr on.
func (m *linearMap) run(addr uint64) uint64 {
	if n := m.last - addr; n != ^uint64(0) {
		return n + 1
	}
	return ^uint64(0)
}

// mapAt maps size bytes at virt to phys. A size that goes beyond the address space is cut.
func mapAt(virt, phys, size uint64) linearMap {
	last, carry := bits.Add64(virt, size-1, 0)
	if carry != 0 {
		last = ^uint64(0)
	}
	return linearMap{first: virt, last: last, delta: phys - virt}
}

// numberOr returns the NUMBER name, or def.
func numberOr(v *VMCoreInfo, name string, def uint64) uint64 {
	if n, ok := v.Number(name); ok {
		return uint64(n)
	}
	return def
}

// StartKernelMap is where x86_64 maps the kernel image: __START_KERNEL_map
// (arch/x86/include/asm/page_64_types.h).
const StartKernelMap = 0xffffffff80000000

// linearX86 knows the kernel image (arch/x86/include/asm/page_64.h, __phys_addr_nodebug).
// phys_base already contains the KASLR move of the physical address, and symbols that of the
// virtual one, so KERNELOFFSET isn't needed. Where the direct map begins is not exported, but some
// makers of dumps add NUMBER(PAGE_OFFSET).
func linearX86(v *VMCoreInfo, physBase *uint64) []linearMap {
	var maps []linearMap
	base, ok := v.Number("phys_base")
	if !ok && physBase != nil {
		base, ok = int64(*physBase), true
	}
	if ok {
		size := numberOr(v, "KERNEL_IMAGE_SIZE", 1<<30)
		if size == 0 || size > 1<<31 {
			size = 1 << 30
		}
		image := mapAt(StartKernelMap, uint64(base), size)
		image.fixed = true
		maps = append(maps, image)
	}
	return append(maps, linearGeneric(v)...)
}

// linearGeneric is the direct map of architectures that export NUMBER(PAGE_OFFSET).
func linearGeneric(v *VMCoreInfo) []linearMap {
	offset, ok := v.Number("PAGE_OFFSET")
	if !ok {
		return nil
	}
	physBits := numberOr(v, "MAX_PHYSMEM_BITS", 46)
	if physBits < 32 || physBits > 57 {
		physBits = 46
	}
	phys := numberOr(v, "PHYS_OFFSET", numberOr(v, "phys_ram_base", 0))
	return []linearMap{mapAt(uint64(offset), phys, 1<<physBits)}
}

// arm64ImageSpan is more than an arm64 kernel image takes, in bytes.
const arm64ImageSpan = 256 << 20

// arm64Bits is vabits_actual: a kernel built for 52 bits may run with fewer.
func arm64Bits(v *VMCoreInfo, built int64) int64 {
	if t1sz, ok := v.Number("TCR_EL1_T1SZ"); ok && t1sz > 8 && t1sz <= 32 {
		return 64 - t1sz
	}
	return built
}

// linearARM64 follows arch/arm64/include/asm/memory.h, __virt_to_phys_nodebug. Since 5.4 the
// direct map is the lower half of the kernel's addresses and the image lies in the upper one; before
// it was the other way round. Where a symbol of the image lies tells which.
func linearARM64(v *VMCoreInfo) []linearMap {
	vaBits, ok := v.Number("VA_BITS")
	if !ok || vaBits < 32 || vaBits > 56 {
		return nil
	}
	phys, hasPhys := v.Number("PHYS_OFFSET")
	voffset, hasImage := v.Number("kimage_voffset")

	actual := arm64Bits(v, vaBits)
	pageOffset := -(uint64(1) << vaBits)
	half := -(uint64(1) << (actual - 1))
	flipped := true
	var symbol uint64
	for _, name := range []string{"_stext", "swapper_pg_dir", "prb", "log_buf"} {
		if addr, ok := v.Symbol(name); ok {
			flipped, symbol = addr >= half, addr
			break
		}
	}
	direct := linearMap{pageOffset, half - 1, uint64(phys) - pageOffset, true}
	image := linearMap{half, ^uint64(0), -uint64(voffset), false}
	if !flipped {
		direct = linearMap{half, ^uint64(0), uint64(phys) - half, true}
		image = linearMap{pageOffset, half - 1, -uint64(voffset), false}
	}
	var maps []linearMap
	if hasImage {
		// With a symbol the image can be told from the vmalloc area around it.
		if symbol > pageOffset+arm64ImageSpan && symbol < ^uint64(arm64ImageSpan) {
			image.first, image.last = max(image.first, symbol-arm64ImageSpan), min(image.last, symbol+arm64ImageSpan)
		}
		maps = append(maps, image)
	}
	if hasPhys {
		maps = append(maps, direct)
	}
	return maps
}

// linearRISCV follows arch/riscv/include/asm/page.h: the image lies in the last 2 GiB, from
// KERNEL_LINK_ADDR on, the direct map begins at PAGE_OFFSET with phys_ram_base.
func linearRISCV(v *VMCoreInfo) []linearMap {
	var maps []linearMap
	link, hasLink := v.Number("KERNEL_LINK_ADDR")
	delta, hasDelta := v.Number("va_kernel_pa_offset")
	if hasLink && hasDelta {
		maps = append(maps, linearMap{first: uint64(link), last: ^uint64(0), delta: -uint64(delta)})
	}
	return append(maps, linearGeneric(v)...)
}

// linearS390 follows arch/s390/include/asm/page.h: __kernel_pa and __identity_pa. Before 6.10
// the kernel was mapped at its physical address.
func linearS390(v *VMCoreInfo) []linearMap {
	identity, ok := v.hex("IDENTITYBASE")
	if !ok {
		return []linearMap{mapAt(0, 0, 1<<53)}
	}
	var maps []linearMap
	kaslr, hasKASLR := v.hex("KERNELOFFSET")
	phys, hasPhys := v.hex("KERNELOFFPHYS")
	if hasKASLR && hasPhys && kaslr != 0 {
		maps = append(maps, mapAt(kaslr, phys, 1<<31))
	}
	return append(maps, mapAt(identity, 0, 1<<53))
}

// linear32 is the direct map of 32-bit machines, where it holds the kernel as well. Few export
// PAGE_OFFSET; it is 3 GiB unless a symbol of the kernel says that the address space was split elsewhere.
func linear32(v *VMCoreInfo, physBase *uint64) []linearMap {
	if maps := linearGeneric(v); maps != nil {
		return maps
	}
	offset := uint64(0xc0000000)
	for _, name := range []string{"_stext", "swapper_pg_dir"} {
		if addr, ok := v.Symbol(name); ok && addr >= 1<<30 && addr < 1<<32 {
			offset = addr &^ (1<<28 - 1)
			break
		}
	}
	phys := uint64(0)
	if physBase != nil {
		phys = *physBase
	}
	return []linearMap{mapAt(offset, phys, 1<<32-offset)}
}

// linearMIPS has the windows that need no page tables (arch/mips/include/asm/addrspace.h): KSEG0 and
// KSEG1, and on 64-bit machines XKPHYS, once for each cache attribute.
func linearMIPS(word int) []linearMap {
	if word == 4 {
		return []linearMap{mapAt(0x80000000, 0, 1<<29), mapAt(0xa0000000, 0, 1<<29)}
	}
	maps := []linearMap{mapAt(0xffffffff80000000, 0, 1<<29), mapAt(0xffffffffa0000000, 0, 1<<29)}
	for attr := range uint64(8) {
		maps = append(maps, mapAt(2<<62+attr<<59, 0, 1<<59))
	}
	return maps
}
