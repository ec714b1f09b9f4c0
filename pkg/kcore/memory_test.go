package kcore

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"io"
	"testing"

	"github.com/gokexec/gokexec/pkg/memmap"
	"github.com/gokexec/gokexec/pkg/vmcore"
)

func memoryX86(t *testing.T, info string) (*Memory, error) {
	t.Helper()
	fake := kcoreX86()
	fake.notes = vmcoreinfoNote(info)
	fake.put(0x123000, []byte("at a physical address"))
	iomem := mustIomem(t, iomemX86)
	k, err := NewKcore(fake.build(), iomem)
	if err != nil {
		t.Fatal(err)
	}
	return newMemory(k, iomem.SystemRAM().Minus((&Machine{Iomem: iomem}).Excluded()))
}

// The memory is what a dump of a crash would have: without the crash kernel's, in whole pages.
func TestMemory(t *testing.T) {
	m, err := memoryX86(t, "OSRELEASE=6.12.0\nPAGESIZE=4096\n")
	if err != nil {
		t.Fatal(err)
	}
	want := []memmap.Range{{Start: 0x1000, End: 0x9f000}, {Start: 0x100000, End: 0x15000000}, {Start: 0x1d000000, End: 0x1ffe0000}, {Start: 0x100000000, End: 0x140000000}}
	at := memmap.PhysAddr(0)
	for _, w := range want {
		r, err := m.NextMemory(at)
		if held, herr := m.NextHeld(at); r != w || err != nil || held != r || herr != nil {
			t.Fatalf("NextMemory(%v) = %v, %v; NextHeld %v, %v; want %v", at, r, err, held, herr, w)
		}
		at = r.End
	}
	if r, err := m.NextMemory(at); err != io.EOF {
		t.Errorf("NextMemory at the end = %v, %v; want io.EOF", r, err)
	}
	if r, err := m.NextMemory(0x110000); err != nil || r.Start != 0x110000 || r.End != 0x15000000 {
		t.Errorf("NextMemory(0x110000) = %v, %v; want the rest of that stretch", r, err)
	}
	if p := m.Platform(); p.Machine != elf.EM_X86_64 || p.Word != 8 || p.Order != binary.ByteOrder(binary.LittleEndian) {
		t.Errorf("Platform() = %+v", p)
	}
	if m.Incomplete() || m.Damage() != nil || len(m.Notes()) != 1 || m.NoteData(&m.Notes()[0]).Size() != m.Notes()[0].Size() {
		t.Errorf("Incomplete %v, Damage %v, %d notes", m.Incomplete(), m.Damage(), len(m.Notes()))
	}

	got := make([]byte, 21)
	if n, err := m.ReadPhysAt(got, 0x123000); n != len(got) || err != nil || !bytes.Equal(got, []byte("at a physical address")) {
		t.Errorf("ReadPhysAt = %q, %v", got[:n], err)
	}
	clear(got)
	if n, err := m.ReadVirtAt(got, 0xffff9a4540123000); n != len(got) || err != nil || !bytes.Equal(got, []byte("at a physical address")) {
		t.Errorf("ReadVirtAt of the direct map = %q, %v", got[:n], err)
	}
	if n, err := m.ReadVirtAt(got, 0xfffff1a440000000+0x800000-5); n != 5 || !errors.Is(err, vmcore.ErrNotInDump) {
		t.Errorf("ReadVirtAt over the end of the vmemmap = %d, %v; want 5 bytes and vmcore.ErrNotInDump", n, err)
	}
	if n, err := m.ReadPhysAt(got, 0xa0000); n != 0 || !errors.Is(err, vmcore.ErrNotInDump) || !errors.Is(err, ErrNotMapped) {
		t.Errorf("ReadPhysAt of no RAM = %d, %v; want both errors", n, err)
	}
}

func TestMemoryErrors(t *testing.T) {
	if _, err := memoryX86(t, "OSRELEASE=6.12.0\nPAGESIZE=1000\n"); err == nil {
		t.Error("newMemory with PAGESIZE=1000 = no error")
	}
	k, err := NewKcore(kcoreX86(), mustIomem(t, iomemX86))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := newMemory(k, memmap.Set{}); !errors.Is(err, vmcore.ErrNoVMCoreInfo) {
		t.Errorf("newMemory without VMCOREINFO = %v; want vmcore.ErrNoVMCoreInfo", err)
	}
}
