package vmcore

import (
	"errors"
	"fmt"

	"github.com/gokexec/gokexec/pkg/memmap"
)

// ErrNotInDump reports an address whose memory the dump does not hold: it is no memory of the
// machine, it was left out, or it cannot be translated to a physical address.
var ErrNotInDump = errors.New("address not in the dump")

// AddressSpace translates virtual addresses of the crashed kernel for dumps that do not give
// them. The kernel image and the direct map are computed from VMCOREINFO where they are fixed; all
// else comes from the kernel's own page tables (x86_64, arm64, riscv64, s390x, loong64 with pages of 16 KiB, ppc64le with the radix MMU). It may be used
// concurrently if its PhysReader may. The memory must not change meanwhile.
type AddressSpace struct {
	mem    PhysReader
	linear []linearMap
	tables *pageTables // nil: not known
	cache  tableCache
}

// Hints are what a dump says of its addresses in addition to VMCOREINFO.
type Hints struct {
	// PhysBase is where the kernel (x86_64) or the memory (arm, ppc) begins, for kernels
	// that do not export it: phys_base in makedumpfile's kdump_sub_header.
	PhysBase *uint64
	// Segment translates by the dump's own PT_LOADs.
	Segment func(addr uint64) (phys uint64, ok bool)
}

// NewAddressSpace returns the address space of a crashed kernel, whose memory mem reads. info may
// be nil; that is enough on machines with fixed mappings.
func NewAddressSpace(p Platform, info *VMCoreInfo, mem PhysReader, hints Hints) *AddressSpace {
	if info == nil {
		info = new(VMCoreInfo)
	}
	a := &AddressSpace{mem: mem, cache: tableCache{mem: mem, order: p.Order}}
	row := mappingOf(p.Machine)
	a.linear = row.linear(p, info, hints)
	if row.tables != nil && p.Word == 8 {
		a.findTables(row.tables(info), info, hints.Segment)
	}
	return a
}

// findTables looks for the top table, a symbol of the kernel image.
func (a *AddressSpace) findTables(t *pageTables, v *VMCoreInfo, segment func(uint64) (uint64, bool)) {
	if t == nil {
		return
	}
	for _, name := range t.symbols {
		addr, ok := v.Symbol(name)
		if !ok {
			continue
		}
		phys, ok := a.linearPhys(addr)
		if !ok && segment != nil {
			phys, ok = segment(addr)
		}
		if ok {
			t.root = phys &^ (8*t.rootEntries() - 1)
			if t.order != nil {
				a.cache.order = t.order
			}
			if t.settle != nil {
				if e, err := a.cache.entry(t.root); err != nil || !t.settle(e) {
					return
				}
			}
			a.tables = t
			return
		}
	}
}

// linearPhys translates by the fixed mappings alone.
func (a *AddressSpace) linearPhys(addr uint64) (uint64, bool) {
	for _, m := range a.linear {
		if m.has(addr) {
			return addr + m.delta, true
		}
	}
	return 0, false
}

// ReadVirtAt fills b from the virtual address addr. It returns the number of bytes read; when
// that is less than len(b), the error says why: ErrNotInDump where an address can't be translated,
// or the PhysReader's.
func (a *AddressSpace) ReadVirtAt(b []byte, addr uint64) (int, error) {
	n := 0
	for n < len(b) {
		at := addr + uint64(n)
		if at < addr {
			return n, fmt.Errorf("virtual address %#x wraps: %w", addr, ErrNotInDump)
		}
		m, err := a.ReadRun(b[n:], at)
		n += m
		if err != nil {
			return n, fmt.Errorf("virtual address %#x: %w", addr+uint64(n), err)
		}
	}
	return n, nil
}

// ReadRun is ReadVirtAt as far as one mapping goes: without an error it may read less than
// len(b), but at least one byte.
func (a *AddressSpace) ReadRun(b []byte, addr uint64) (int, error) {
	phys, run, err := a.Translate(addr)
	if err != nil {
		return 0, err
	}
	if uint64(len(b)) > run {
		b = b[:run]
	}
	return a.mem.ReadPhysAt(b, phys)
}

// Translate returns the physical address of a virtual one, and for how many bytes, at least one,
// the mapping goes on. The error wraps ErrNotInDump. It does not tell whether the dump holds the memory.
func (a *AddressSpace) Translate(addr uint64) (phys memmap.PhysAddr, run uint64, err error) {
	for _, m := range a.linear {
		if m.has(addr) && (m.fixed || a.tables == nil) {
			return memmap.PhysAddr(addr + m.delta), m.run(addr), nil
		}
	}
	if a.tables == nil {
		return 0, 0, fmt.Errorf("no PT_LOAD and no mapping known from VMCOREINFO: %w", ErrNotInDump)
	}
	phys, run, err = a.tables.walk(&a.cache, addr)
	if err == nil {
		return phys, run, nil
	}
	// The tables may be missing in the dump.
	for _, m := range a.linear {
		if m.has(addr) {
			return memmap.PhysAddr(addr + m.delta), m.run(addr), nil
		}
	}
	return 0, 0, err
}
