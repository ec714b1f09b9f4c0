package kcore

import (
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"github.com/gokexec/gokexec/pkg/elfcore"
	"github.com/gokexec/gokexec/pkg/memmap"
	"github.com/gokexec/gokexec/pkg/vmcore"
)

// Memory is the running machine's memory, as far as a dump of a crash would have it: RAM without what a crash
// kernel keeps for itself. It is a kdumpfile.Dump of a machine that goes on running: what is read may
// have changed by the next read.
type Memory struct {
	*Kcore
	info  *vmcore.VMCoreInfo
	notes []vmcore.Note
	ram   memmap.Set
}

// OpenMemory opens the memory of the machine that root shows. The error is one of OpenKcore's, or wraps
// vmcore.ErrNoVMCoreInfo for a kernel before 4.19.
func OpenMemory(root fs.FS) (*Memory, error) {
	var machine Machine
	var err error
	if machine.Iomem, err = memmap.RereadIomem(root, nil); err != nil {
		return nil, err
	}
	if machine.CMA, err = readCMA(root); err != nil {
		return nil, err
	}
	if machine.Firmware, err = readFirmware(root); err != nil {
		return nil, err
	}
	k, err := OpenKcore(root, machine.Iomem)
	if err != nil {
		return nil, err
	}
	m, err := newMemory(k, machine.Iomem.SystemRAM().Minus(machine.Excluded()))
	if err != nil {
		return nil, errors.Join(err, k.Close())
	}
	return m, nil
}

// newMemory is the memory of k that is in ram.
func newMemory(k *Kcore, ram memmap.Set) (*Memory, error) {
	m := &Memory{Kcore: k}
	m.notes, _ = vmcore.ReadNotes(k.r, k.Map.Order, k.notes)
	var err error
	if m.info, err = vmcore.FindVMCoreInfo(m.notes, k.r); err != nil {
		return nil, fmt.Errorf("/%s: %w", kcorePath, err)
	}
	page := memmap.PhysAddr(m.info.PageSize)
	if page < memmap.PageSize || page&(page-1) != 0 {
		return nil, fmt.Errorf("/%s: VMCOREINFO has PAGESIZE=%d", kcorePath, m.info.PageSize)
	}
	var ranges []memmap.Range
	for _, r := range ram.Intersect(k.Mapped()).Ranges() {
		// A page that is RAM only in part has no struct page.
		r.Start, r.End = (r.Start+page-1)&^(page-1), r.End&^(page-1)
		if r.Start < r.End {
			ranges = append(ranges, r)
		}
	}
	m.ram = memmap.NewSet(ranges...)
	return m, nil
}

// Platform tells machine, word size and byte order.
func (m *Memory) Platform() vmcore.Platform {
	p := vmcore.Platform{Machine: m.Map.Machine, Order: m.Map.Order, Word: 8}
	if m.Map.Class == elf.ELFCLASS32 {
		p.Word = 4
	}
	return p
}

// VMCoreInfo returns what the kernel says about itself.
func (m *Memory) VMCoreInfo() (*vmcore.VMCoreInfo, error) { return m.info, nil }

// Notes returns the ELF notes of /proc/kcore, NoteData a reader of one.
func (m *Memory) Notes() []vmcore.Note { return m.notes }

// NoteData returns a reader of the whole descriptor of one of Notes.
func (m *Memory) NoteData(n *vmcore.Note) *io.SectionReader { return n.Data(m.r) }

// ReadPhysAt is Kcore.ReadPhysAt; what is not mapped is vmcore.ErrNotInDump, too.
func (m *Memory) ReadPhysAt(b []byte, addr memmap.PhysAddr) (int, error) {
	n, err := m.Kcore.ReadPhysAt(b, addr)
	if errors.Is(err, ErrNotMapped) {
		err = fmt.Errorf("%w: %w", err, vmcore.ErrNotInDump)
	}
	return n, err
}

// ReadVirtAt fills b with memory at a virtual address of the running kernel. The error wraps vmcore.ErrNotInDump
// where /proc/kcore has no segment.
func (m *Memory) ReadVirtAt(b []byte, addr uint64) (int, error) {
	for n := 0; n < len(b); {
		at := addr + uint64(n)
		i := slices.IndexFunc(m.Loads, func(l elfcore.Load) bool { return readable(&l) && at >= l.Virt && at-l.Virt < l.FileSize })
		if i < 0 || at < addr {
			return n, fmt.Errorf("/%s: virtual address %#x: %w", kcorePath, at, vmcore.ErrNotInDump)
		}
		skip := at - m.Loads[i].Virt
		size := int(min(uint64(len(b)-n), m.Loads[i].FileSize-skip))
		got, err := m.r.ReadAt(b[n:n+size], int64(m.Loads[i].Offset+skip))
		if n += got; got < size {
			return n, fmt.Errorf("/%s: virtual address %#x: %w", kcorePath, addr+uint64(n), err)
		}
	}
	return len(b), nil
}

// NextMemory returns the first stretch of the memory at or after addr; io.EOF after the last.
func (m *Memory) NextMemory(addr memmap.PhysAddr) (memmap.Range, error) {
	r, ok := m.ram.Next(addr)
	if !ok {
		return r, io.EOF
	}
	return r, nil
}

// NextHeld is NextMemory: all memory is there.
func (m *Memory) NextHeld(addr memmap.PhysAddr) (memmap.Range, error) { return m.NextMemory(addr) }

// Incomplete reports nothing: the memory is there.
func (m *Memory) Incomplete() bool { return false }

// Damage lists nothing.
func (m *Memory) Damage() []error { return nil }
