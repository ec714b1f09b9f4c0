package elfcore

import (
	"debug/elf"
	"encoding/binary"
	"fmt"

	"github.com/gokexec/gokexec/pkg/memmap"
)

// AddressSpace translates the dead kernel's virtual addresses for dumps that don't
// give them: the kernel image and the direct map are computed from VMCOREINFO, and on x86_64 the
// kernel's page tables are walked. It may be used concurrently if its PhysReader may.
type AddressSpace struct {
	order  binary.ByteOrder
	mem    PhysReader
	linear []linearMap
	walk   pageWalk
	// segment translates by the dump's own PT_LOADs; nil if there are none.
	segment func(addr uint64) (phys uint64, ok bool)
}

// NewAddressSpace returns the address space of a dead kernel, whose memory mem reads. info may be
// nil; that is enough on machines with fixed mappings. physBase, which may be nil, is where the
// dump says that the kernel (x86_64) or the memory (arm, ppc) begins, for kernels that don't
// export it: phys_base in makedumpfile's kdump_sub_header.
func NewAddressSpace(p Platform, info *VMCoreInfo, mem PhysReader, physBase *uint64) *AddressSpace {
	return newAddressSpace(p, info, mem, physBase, nil)
}

func newAddressSpace(p Platform, v *VMCoreInfo, mem PhysReader, physBase *uint64, segment func(uint64) (uint64, bool)) *AddressSpace {
	if v == nil {
		v = new(VMCoreInfo)
	}
	a := &AddressSpace{order: p.Order, mem: mem, segment: segment}
	switch p.Machine {
	case elf.EM_X86_64:
		a.linear = linearX86(v, physBase)
	case elf.EM_AARCH64:
		a.linear = linearARM64(v)
	case elf.EM_RISCV:
		a.linear = linearRISCV(v)
	case elf.EM_S390:
		a.linear = linearS390(v)
	case elf.EM_PPC64:
		// Kernel and direct map begin at PAGE_OFFSET (arch/powerpc/include/asm/page.h).
		a.linear = []linearMap{mapAt(0xc000000000000000, 0, 1<<60)}
	case elf.EM_LOONGARCH:
		// DMW windows: cached, where the kernel runs, and uncached
		// (arch/loongarch/include/asm/addrspace.h).
		a.linear = []linearMap{mapAt(0x9000000000000000, 0, 1<<48), mapAt(0x8000000000000000, 0, 1<<48)}
	case elf.EM_MIPS:
		a.linear = linearMIPS(p.Word)
	case elf.EM_386, elf.EM_ARM, elf.EM_PPC:
		a.linear = linear32(p.Machine, v, physBase)
	default:
		a.linear = linearGeneric(v)
	}
	if p.Machine == elf.EM_X86_64 && p.Word == 8 {
		a.walk = newPageWalk(a, v)
	}
	return a
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
		m, err := a.readRun(b[n:], at)
		n += m
		if err != nil {
			return n, fmt.Errorf("virtual address %#x: %w", addr+uint64(n), err)
		}
	}
	return n, nil
}

// readRun reads as far as one mapping goes.
func (a *AddressSpace) readRun(b []byte, addr uint64) (int, error) {
	phys, run, err := a.translate(addr)
	if err != nil {
		return 0, err
	}
	if uint64(len(b)) > run {
		b = b[:run]
	}
	return a.mem.ReadPhysAt(b, memmap.PhysAddr(phys))
}

// translate returns the physical address of a virtual one that no PT_LOAD gives, and for how many
// bytes, at least one, the mapping goes on.
func (a *AddressSpace) translate(addr uint64) (phys, run uint64, err error) {
	if a.walk.root != 0 && addr < startKernelMap {
		// Page tables are the truth; the direct map of x86_64 moves with KASLR.
		if phys, run, err = a.walk.translate(a, addr); err == nil {
			return phys, run, nil
		}
	}
	for _, m := range a.linear {
		if addr >= m.first && addr <= m.last {
			run := m.last - addr
			if run != ^uint64(0) {
				run++
			}
			return addr + m.delta, run, nil
		}
	}
	if a.walk.root != 0 && addr >= startKernelMap {
		return a.walk.translate(a, addr)
	}
	if err != nil {
		return 0, 0, err
	}
	return 0, 0, fmt.Errorf("no PT_LOAD and no mapping known from VMCOREINFO: %w", ErrNotInDump)
}
