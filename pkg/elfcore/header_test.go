package elfcore

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/pkg/memmap"
)

const rwx = elf.PF_R | elf.PF_W | elf.PF_X

// load returns a PT_LOAD as a header for a crash kernel has it.
func load(phys memmap.PhysAddr, virt, size uint64) Load {
	return Load{Phys: phys, Virt: virt, Offset: uint64(phys), FileSize: size, MemSize: size, Flags: rwx}
}

// ram is a segment of the direct map.
func ram(start, end memmap.PhysAddr) Load {
	return load(start, 0xffff888000000000+uint64(start), uint64(end-start))
}

func header64() *Header {
	return &Header{
		Machine: elf.EM_X86_64, Order: binary.LittleEndian, Class: elf.ELFCLASS64,
		CPUNotes:   []NoteRange{{0x1f001000, 0x1f8}},
		VMCoreInfo: NoteRange{0x100c66000, 0x1024},
		Loads: []Load{
			load(0x2200000, 0xffffffff81000000, 0x3600000),
			load(0x100000, 0xffff888000100000, 0x14f00000),
		},
	}
}

// unhex reads hexadecimal digits, blanks aside.
func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// What crash_prepare_elf64_headers makes of the same values, field by field.
func TestHeaderBytes64(t *testing.T) {
	want := unhex(t, `
		7f454c46 02010100 0000000000000000 0400 3e00 01000000
		0000000000000000 4000000000000000 0000000000000000 00000000 4000 3800 0400 0000 0000 0000
		04000000 00000000 0010001f00000000 0000000000000000 0010001f00000000 f801000000000000 f801000000000000 0000000000000000
		04000000 00000000 0060c60001000000 0000000000000000 0060c60001000000 2410000000000000 2410000000000000 0000000000000000
		01000000 07000000 0000200200000000 00000081ffffffff 0000200200000000 0000600300000000 0000600300000000 0000000000000000
		01000000 07000000 0000100000000000 000010008088ffff 0000100000000000 0000f01400000000 0000f01400000000 0000000000000000`)
	h := header64()
	got, err := h.AppendBinary([]byte("before"))
	if err != nil || !bytes.Equal(got, append([]byte("before"), want...)) {
		t.Errorf("AppendBinary = %x, %v; want %x after what was there", got, err, want)
	}
	if h.Size() != uint64(len(want)) {
		t.Errorf("Size() = %d; want %d", h.Size(), len(want))
	}
}

func TestHeaderBytes32(t *testing.T) {
	h := &Header{
		Machine: elf.EM_PPC, Order: binary.BigEndian, Class: elf.ELFCLASS32,
		VMCoreInfo: NoteRange{0x1000, 0x1024},
		Loads:      []Load{load(0xfffff000, 0xc0000000, 0x1000)},
	}
	want := unhex(t, `
		7f454c46 01020100 0000000000000000 0004 0014 00000001
		00000000 00000034 00000000 00000000 0034 0020 0002 0000 0000 0000
		00000004 00001000 00000000 00001000 00001024 00001024 00000000 00000000
		00000001 fffff000 c0000000 fffff000 00001000 00001000 00000007 00000000`)
	got, err := h.AppendBinary(nil)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("AppendBinary = %x, %v; want %x", got, err, want)
	}
}

func TestHeaderErrors(t *testing.T) {
	tests := []struct {
		name    string
		change  func(*Header)
		wantErr string
	}{
		{"class", func(h *Header) { h.Class = 0 }, "neither ELFCLASS32 nor ELFCLASS64"},
		{"order", func(h *Header) { h.Order = nil }, "no byte order"},
		{"no notes", func(h *Header) { h.VMCoreInfo = NoteRange{} }, "no VMCOREINFO note"},
		{"64 bits in 32", func(h *Header) { h.Class = elf.ELFCLASS32 }, "VMCOREINFO note: 0x1024 bytes at 0x100c66000 reach beyond 0xffffffff"},
		{"beyond 32 bits", func(h *Header) {
			h.Class, h.VMCoreInfo.Addr = elf.ELFCLASS32, 0
			h.Loads = []Load{load(0xfffff000, 0, 0x1001)}
		}, "memory range 0: 0x1001 bytes at 0xfffff000"},
		{"virtual beyond 32 bits", func(h *Header) { h.Class, h.VMCoreInfo.Addr = elf.ELFCLASS32, 0 }, "virtual address 0xffffffff81000000"},
		{"wraps", func(h *Header) { h.Loads[1] = load(math.MaxUint64, 0, 2) }, "memory range 1: 0x2 bytes at 0xffffffffffffffff"},
		{"sizes", func(h *Header) { h.Loads[1].FileSize-- }, "memory range 1"},
		{"too many", func(h *Header) { h.Loads = make([]Load, 65533) }, ErrTooManyRanges.Error()},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := header64()
			tt.change(h)
			if b, err := h.AppendBinary(nil); err == nil || !strings.Contains(err.Error(), tt.wantErr) {
				t.Errorf("AppendBinary = %d bytes, %v; want error %q", len(b), err, tt.wantErr)
			}
		})
	}
}

func TestHeaderLimit(t *testing.T) {
	h := header64()
	h.Loads = nil
	for i := range uint64(65532) {
		h.Loads = append(h.Loads, load(memmap.PhysAddr(i<<20), i<<20, 1<<12))
	}
	b, err := h.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ParseHeader(b); err != nil || !reflect.DeepEqual(got, h) {
		t.Errorf("header with 65534 program headers is not read back: %v", err)
	}
	h.CPUNotes = append(h.CPUNotes, NoteRange{0, 1})
	if _, err := h.AppendBinary(nil); !errors.Is(err, ErrTooManyRanges) {
		t.Errorf("AppendBinary of 65535 program headers = %v; want ErrTooManyRanges", err)
	}
}

func TestParseHeaderErrors(t *testing.T) {
	good, err := header64().AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	le := binary.LittleEndian
	put16 := func(at int, v uint16) func([]byte) []byte {
		return func(b []byte) []byte { le.PutUint16(b[at:], v); return b }
	}
	put64 := func(at int, v uint64) func([]byte) []byte {
		return func(b []byte) []byte { le.PutUint64(b[at:], v); return b }
	}
	tests := []struct {
		name    string
		change  func([]byte) []byte
		wantIs  error
		wantErr string
	}{
		{"nothing", func([]byte) []byte { return nil }, io.ErrUnexpectedEOF, ""},
		{"cut in the ELF header", func(b []byte) []byte { return b[:63] }, io.ErrUnexpectedEOF, ""},
		{"cut", func(b []byte) []byte { return b[:len(b)-1] }, io.ErrUnexpectedEOF, "4 program headers end at 288"},
		{"magic", func(b []byte) []byte { b[1] = 'F'; return b }, ErrNotCore, ""},
		{"class", func(b []byte) []byte { b[4] = 3; return b }, ErrNotCore, "class 3"},
		{"order", func(b []byte) []byte { b[5] = 0; return b }, ErrNotCore, "byte order 0"},
		{"type", put16(16, uint16(elf.ET_EXEC)), ErrNotCore, "ET_EXEC"},
		{"version", put16(20, 2), nil, "version is 1 and 2"},
		{"phoff", put64(32, 72), nil, "e_phoff is 0x48"},
		{"ehsize", put16(52, 65), nil, "e_ehsize is 65"},
		{"phentsize", put16(54, 32), nil, "e_phentsize is 32"},
		{"no phdrs", put16(56, 0), nil, "no program headers"},
		{"PN_XNUM", put16(56, 65535), ErrTooManyRanges, ""},
		{"note after a load", put16(64+3*56, uint16(elf.PT_NOTE)), nil, "program header 3: a PT_NOTE after"},
		{"dynamic", put16(64+3*56, uint16(elf.PT_DYNAMIC)), nil, "PT_DYNAMIC"},
		{"note elsewhere", put64(64+24, 1), nil, "program header 0: offset of the notes"},
		{"note sizes", put64(64+40, 1), nil, "program header 0: notes have 0x1f8"},
		{"empty VMCOREINFO", func(b []byte) []byte {
			return put64(64+56+32, 0)(put64(64+56+40, 0)(b))
		}, nil, "no VMCOREINFO note"},
		{"load sizes", put64(64+3*56+32, 1), nil, "memory range 1"},
		{"load wraps", put64(64+3*56+8, math.MaxUint64), nil, "memory range 1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h, err := ParseHeader(tt.change(bytes.Clone(good)))
			if err == nil || !strings.Contains(err.Error(), tt.wantErr) || tt.wantIs != nil && !errors.Is(err, tt.wantIs) {
				t.Errorf("ParseHeader = %v, %v; want %v, %q", h, err, tt.wantIs, tt.wantErr)
			}
		})
	}
	if _, err := ParseHeader(append(bytes.Clone(good), "whatever"...)); err != nil {
		t.Errorf("ParseHeader with more after it = %v; want no error", err)
	}
}

// FuzzParseHeader: what is accepted is printed and read back the same.
func FuzzParseHeader(f *testing.F) {
	for _, c := range []elf.Class{elf.ELFCLASS64, elf.ELFCLASS32} {
		for _, o := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
			h := &Header{
				Machine: elf.EM_PPC64, Class: c, Order: o,
				CPUNotes: []NoteRange{{1, 2}}, VMCoreInfo: NoteRange{3, 4}, Loads: []Load{load(5, 6, 7)},
			}
			b, err := h.AppendBinary(nil)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := ParseHeader(b)
		if err != nil {
			return
		}
		printed, err := h.AppendBinary(nil)
		if err != nil {
			t.Fatalf("AppendBinary of what was read: %v", err)
		}
		again, err := ParseHeader(printed)
		if err != nil || !reflect.DeepEqual(again, h) {
			t.Errorf("read back: %+v, %v; want %+v", again, err, h)
		}
		f, err := elf.NewFile(bytes.NewReader(printed))
		if err != nil {
			if strings.Contains(err.Error(), "invalid program header") {
				return // debug/elf takes no offset or size of 2^63 and more
			}
			t.Fatalf("debug/elf: %v", err)
		}
		if len(f.Progs) != len(h.CPUNotes)+1+len(h.Loads) || f.Type != elf.ET_CORE || f.Machine != h.Machine || f.Class != h.Class || f.ByteOrder != h.Order {
			t.Errorf("debug/elf: %+v with %d segments; want %+v", f.FileHeader, len(f.Progs), h)
		}
		for i, l := range h.Loads {
			p := f.Progs[len(h.CPUNotes)+1+i].ProgHeader
			want := elf.ProgHeader{Type: elf.PT_LOAD, Flags: l.Flags, Off: l.Offset, Vaddr: l.Virt, Paddr: uint64(l.Phys), Filesz: l.FileSize, Memsz: l.MemSize}
			if p != want {
				t.Errorf("debug/elf: segment %d is %+v; want %+v", i, p, want)
			}
		}
	})
}
