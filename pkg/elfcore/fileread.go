package elfcore

import (
	"fmt"
	"io"

	"github.com/gokexec/gokexec/pkg/memmap"
	"github.com/gokexec/gokexec/pkg/vmcore"
)

// ReadPhysAt fills b with the crashed machine's memory at the physical address addr, across
// segment borders. Memory that a filter left out (beyond p_filesz, within p_memsz) reads as
// zeroes, which is what makedumpfile -E means by it. It returns the number of bytes read; when
// that is less than len(b), the error says why: vmcore.ErrNotInDump where no segment covers the
// address, io.ErrUnexpectedEOF where the file ends before the data, or the reader's own error.
func (f *File) ReadPhysAt(b []byte, addr memmap.PhysAddr) (int, error) {
	n := 0
	for n < len(b) {
		a := uint64(addr) + uint64(n)
		s, ok := findSpan(f.phys, a)
		if !ok || a < uint64(addr) {
			return n, fmt.Errorf("elfcore: physical address %#x: %w", a, vmcore.ErrNotInDump)
		}
		m, err := f.readSpan(b[n:], s, a)
		n += m
		if err != nil {
			return n, fmt.Errorf("elfcore: physical address %#x: %w", uint64(addr)+uint64(n), err)
		}
	}
	return n, nil
}

// Place returns where in the file the memory at a physical address is, and how many bytes from there on are next to
// each other in both; ok is false for memory that the file doesn't have.
func (f *File) Place(addr memmap.PhysAddr) (off int64, n uint64, ok bool) {
	s, ok := findSpan(f.phys, uint64(addr))
	if !ok {
		return 0, 0, false
	}
	return f.place(s, uint64(addr))
}

// place is where in the file an address is that lies in s.
func (f *File) place(s span, addr uint64) (off int64, n uint64, ok bool) {
	if s.off < 0 {
		return 0, 0, false
	}
	skip := addr - s.first
	if off = s.off + int64(skip); off >= f.size {
		return 0, 0, false
	}
	return off, min(s.last-s.first-skip, uint64(f.size-off)-1) + 1, true
}

// mapped is a file that has its contents in memory; see kdumpfile.Mapped.
type mapped interface {
	InPlace(offset int64, n int, use func(b []byte) error) (ok bool, err error)
}

// ViewVirt calls use with the n bytes at a virtual address where the file is mapped. They are valid until use
// returns, and may change meanwhile. False means that they are in no mapping, in none that has them one after the
// other, or can't be read, so that what use has done is worth nothing: ReadVirtAt tells then what is there.
func (f *File) ViewVirt(addr uint64, n int, use func(b []byte)) bool {
	m, ok := f.r.(mapped)
	if !ok || n <= 0 {
		return false
	}
	off, most, ok := f.placeVirt(addr)
	if !ok || most < uint64(n) {
		return false
	}
	ok, _ = m.InPlace(off, n, func(b []byte) error {
		use(b)
		return nil
	})
	return ok
}

// placeVirt is Place for a virtual address.
func (f *File) placeVirt(addr uint64) (off int64, n uint64, ok bool) {
	if s, ok := findSpan(f.virt, addr); ok {
		return f.place(s, addr)
	}
	if f.space == nil {
		return 0, 0, false
	}
	phys, run, err := f.space.Translate(addr)
	if err != nil {
		return 0, 0, false
	}
	off, n, ok = f.Place(phys)
	return off, min(n, run), ok
}

// SegmentAt returns the physical addresses of the first PT_LOAD that gives a virtual address
// by its p_vaddr. That of _stext is the kernel image on machines that don't run it in the direct map
// (kernel/crash_core.c, crash_prepare_elf64_headers).
func (f *File) SegmentAt(addr uint64) (memmap.Range, bool) {
	for i := range f.Loads {
		if l := &f.Loads[i]; l.Virt != 0 && addr >= l.Virt && addr-l.Virt < l.MemSize {
			return l.PhysRange(), true
		}
	}
	return memmap.Range{}, false
}

// ReadVirtAt is ReadPhysAt for a virtual address of the crashed kernel. It is looked up in the
// PT_LOADs' p_vaddr first; where no segment has it, the kernel image and the direct map are
// computed from VMCOREINFO, and the kernel's page tables are walked (vmcore.AddressSpace).
func (f *File) ReadVirtAt(b []byte, addr uint64) (int, error) {
	n := 0
	for n < len(b) {
		a := addr + uint64(n)
		if a < addr {
			return n, fmt.Errorf("elfcore: virtual address %#x wraps: %w", addr, vmcore.ErrNotInDump)
		}
		var m int
		var err error
		if s, ok := findSpan(f.virt, a); ok {
			m, err = f.readSpan(b[n:], s, a)
		} else {
			m, err = f.readTranslated(b[n:], a)
		}
		n += m
		if err != nil {
			return n, fmt.Errorf("elfcore: virtual address %#x: %w", addr+uint64(n), err)
		}
	}
	return n, nil
}

func (f *File) readTranslated(b []byte, addr uint64) (int, error) {
	if f.space == nil {
		return 0, fmt.Errorf("no PT_LOAD, and no VMCOREINFO to tell a mapping: %w", vmcore.ErrNotInDump)
	}
	return f.space.ReadRun(b, addr)
}

// segmentPhys translates a virtual address by the PT_LOADs.
func (f *File) segmentPhys(addr uint64) (uint64, bool) {
	for i := range f.Loads {
		l := &f.Loads[i]
		if l.Virt != 0 && addr >= l.Virt && addr-l.Virt < l.MemSize {
			return uint64(l.Phys) + (addr - l.Virt), true
		}
	}
	return 0, false
}

// readSpan reads from the one span s at addr, which lies in it, at most to the span's end.
func (f *File) readSpan(b []byte, s span, addr uint64) (int, error) {
	if left := s.last - addr; uint64(len(b)-1) > left {
		b = b[:left+1]
	}
	if s.off < 0 {
		clear(b)
		return len(b), nil
	}
	off := s.off + int64(addr-s.first)
	want := len(b)
	if off >= f.size {
		return 0, io.ErrUnexpectedEOF
	}
	if int64(len(b)) > f.size-off {
		b = b[:f.size-off]
	}
	n, err := f.r.ReadAt(b, off)
	if n < len(b) {
		return n, noEOF(err)
	}
	if n < want {
		return n, io.ErrUnexpectedEOF
	}
	return n, nil
}
