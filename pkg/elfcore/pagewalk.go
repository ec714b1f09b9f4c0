package elfcore

import (
	"errors"
	"fmt"

	"github.com/gokexec/gokexec/pkg/memmap"
)

// pageWalk walks the dead kernel's own page tables on x86_64 (Intel SDM volume 3, 4.5: 4-level
// and 5-level paging). It is what reads memory by virtual address in a dump that has no
// p_vaddr, as QEMU makes them, since with KASLR nothing exported says where the direct map is.
type pageWalk struct {
	root   uint64 // physical address of the top table; 0 when unknown
	levels int    // 4, or 5 with LA57
	sme    uint64 // the memory encryption bit, set in entries of AMD SME
}

const (
	pteAddrMask = 0x000ffffffffff000
	ptePresent  = 1 << 0
	ptePageSize = 1 << 7 // this entry maps a large page
	maxWalkPage = 3      // 1 GiB is the largest page: level 3
)

// newPageWalk finds the top table: init_top_pgt, known by other names on older kernels.
func newPageWalk(a *AddressSpace, v *VMCoreInfo) pageWalk {
	for _, name := range []string{"init_top_pgt", "init_level4_pgt", "swapper_pg_dir"} {
		addr, ok := v.Symbol(name)
		if !ok {
			continue
		}
		phys, err := a.imagePhys(addr)
		if err != nil {
			continue
		}
		w := pageWalk{root: phys &^ 0xfff, levels: 4, sme: numberOr(v, "sme_mask", 0)}
		if n, ok := v.Number("pgtable_l5_enabled"); ok && n == 1 {
			w.levels = 5
		}
		return w
	}
	return pageWalk{}
}

// imagePhys returns the physical address of a symbol of the kernel image, without page tables.
func (a *AddressSpace) imagePhys(addr uint64) (uint64, error) {
	for _, m := range a.linear {
		if addr >= m.first && addr <= m.last {
			return addr + m.delta, nil
		}
	}
	if a.segment != nil {
		if phys, ok := a.segment(addr); ok {
			return phys, nil
		}
	}
	return 0, ErrNotInDump
}

// translate returns the physical address and how many bytes its page still has.
func (w *pageWalk) translate(a *AddressSpace, addr uint64) (phys, run uint64, err error) {
	if shift := 64 - (9*w.levels + 12); int64(addr<<shift)>>shift != int64(addr) {
		return 0, 0, fmt.Errorf("not a canonical address: %w", ErrNotInDump)
	}
	table := w.root
	for level := w.levels; level >= 1; level-- {
		shift := 12 + 9*(level-1)
		index := addr >> shift & 0x1ff
		var b [8]byte
		if _, err := a.mem.ReadPhysAt(b[:], memmap.PhysAddr(table+8*index)); err != nil {
			return 0, 0, fmt.Errorf("page table of level %d at %#x: %w", level, table, errors.Join(ErrNotInDump, err))
		}
		e := a.order.Uint64(b[:]) &^ w.sme
		if e&ptePresent == 0 {
			return 0, 0, fmt.Errorf("not mapped by the page table of level %d at %#x: %w", level, table, ErrNotInDump)
		}
		if level == 1 || e&ptePageSize != 0 && level <= maxWalkPage {
			mask := uint64(1)<<shift - 1
			// Bit 12 of a large page's entry is PAT, below the address.
			return e&pteAddrMask&^mask | addr&mask, mask + 1 - addr&mask, nil
		}
		table = e & pteAddrMask
	}
	return 0, 0, ErrNotInDump // not reached: level 1 returns
}
