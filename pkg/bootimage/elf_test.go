package bootimage

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/imagetest"
)

func TestELF(t *testing.T) {
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		e := imagetest.GoodELF(elf.EM_PPC64, order)
		img, err := openBytes(e.Bytes())
		if err != nil {
			t.Fatalf("%v: Open = %v; want no error", order, err)
		}
		f := img.ELF
		if f.Order != order || f.Class != elf.ELFCLASS64 || f.Type != elf.ET_EXEC || f.Entry != e.Entry {
			t.Errorf("%v: header = %+v; want that of %+v", order, f, e)
		}
		if len(f.Loads) != 2 {
			t.Fatalf("%v: %d Loads; want 2", order, len(f.Loads))
		}
		for i, p := range e.Progs[:2] {
			want := ELFLoad{Offset: p.Off, PhysAddr: p.Paddr, VirtAddr: p.Vaddr, FileSize: p.Filesz, MemSize: p.Memsz, Align: p.Align, Flags: elf.ProgFlag(p.Flags)}
			if f.Loads[i] != want {
				t.Errorf("%v: Loads[%d] = %+v; want %+v", order, i, f.Loads[i], want)
			}
		}
		if start, end := f.Span(); start != 0x1000000 || end != 0x1204000 {
			t.Errorf("%v: Span() = %#x, %#x; want 0x1000000, 0x1204000", order, start, end)
		}
	}
}

// TestELF32 reads what debug/elf's own structures write.
func TestELF32(t *testing.T) {
	h := elf.Header32{Type: uint16(elf.ET_EXEC), Machine: uint16(elf.EM_386), Version: 1, Entry: 0x1000000, Phoff: 52, Phentsize: 32, Phnum: 1}
	copy(h.Ident[:], "\x7fELF\x01\x01\x01")
	p := elf.Prog32{Type: uint32(elf.PT_LOAD), Off: 84, Vaddr: 0xc1000000, Paddr: 0x1000000, Filesz: 16, Memsz: 32, Flags: 5, Align: 4096}
	var b bytes.Buffer
	for _, v := range []any{h, p, make([]byte, 16)} {
		if err := binary.Write(&b, binary.LittleEndian, v); err != nil {
			t.Fatal(err)
		}
	}
	img, err := openBytes(b.Bytes())
	if err != nil {
		t.Fatalf("Open = %v; want no error", err)
	}
	want := ELFLoad{Offset: 84, PhysAddr: 0x1000000, VirtAddr: 0xc1000000, FileSize: 16, MemSize: 32, Align: 4096, Flags: 5}
	if f := img.ELF; len(f.Loads) != 1 || f.Loads[0] != want || f.Class != elf.ELFCLASS32 || img.Machine != elf.EM_386 {
		t.Errorf("ELF = %+v; want one load %+v", f, want)
	}
}

func TestELFBad(t *testing.T) {
	tests := []struct {
		name    string
		change  func(*imagetest.ELF)
		patch   map[int]byte
		message string
	}{
		{"file above memory", func(e *imagetest.ELF) { e.Progs[0].Memsz = 0x1fff }, nil, "program header 0: p_filesz 0x2000 is above p_memsz 0x1fff"},
		{"overlap", func(e *imagetest.ELF) { e.Progs[1].Paddr = 0x1001fff }, nil, "PT_LOADs [0x1000000..0x1002000) and [0x1001fff..0x1005fff) overlap"},
		{"physical overflow", func(e *imagetest.ELF) { e.Progs[1].Paddr = ^uint64(0) - 0xfff }, nil, "p_paddr 0xfffffffffffff000 plus p_memsz 0x4000 overflows"},
		{"virtual overflow", func(e *imagetest.ELF) { e.Progs[1].Vaddr = ^uint64(0) - 0xfff }, nil, "p_vaddr 0xfffffffffffff000 plus p_memsz 0x4000 overflows"},
		{"offset overflow", func(e *imagetest.ELF) { e.Progs[1].Off = ^uint64(0) }, nil, "truncated"},
		{"alignment", func(e *imagetest.ELF) { e.Progs[0].Align = 3 }, nil, "p_align 0x3 is not a power of two"},
		{"entry", func(e *imagetest.ELF) { e.Entry = 0x1002000 }, nil, "e_entry 0x1002000 is in no PT_LOAD"},
		{"class", nil, map[int]byte{4: 3}, "class (e_ident[EI_CLASS]) is 3"},
		{"byte order", nil, map[int]byte{5: 0}, "byte order (e_ident[EI_DATA]) is 0"},
		{"phentsize", nil, map[int]byte{54: 32}, "e_phentsize is 32, want 56"},
		{"phnum", nil, map[int]byte{57: 0xff}, "program headers are at 0x40"},
		{"phoff", nil, map[int]byte{39: 0xff}, "truncated"},
	}
	for _, tt := range tests {
		e := imagetest.GoodELF(elf.EM_X86_64, binary.LittleEndian)
		if tt.change != nil {
			tt.change(&e)
		}
		file := e.Bytes()
		for off, b := range tt.patch {
			file[off] = b
		}
		if _, err := openBytes(file); err == nil || !strings.Contains(err.Error(), tt.message) {
			t.Errorf("%s: Open = %v; want an error with %q", tt.name, err, tt.message)
		}
	}
}

// FuzzELF: what is taken has loads inside the file that do not overlap, and is
// read alike by debug/elf.
func FuzzELF(f *testing.F) {
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		f.Add(imagetest.GoodELF(elf.EM_X86_64, order).Bytes()[:0x200])
	}
	f.Fuzz(func(t *testing.T, head []byte) {
		if len(head) < 4 {
			return
		}
		copy(head, elf.ELFMAG)
		file := append(head, make([]byte, 0x4000)...)
		got, err := parseELF(source{r: bytes.NewReader(file), size: int64(len(file))})
		if err != nil {
			return
		}
		for i, p := range got.Loads {
			if p.Offset+p.FileSize > uint64(len(file)) || p.Offset+p.FileSize < p.Offset || p.FileSize > p.MemSize || p.MemSize == 0 {
				t.Fatalf("Loads[%d] = %+v is not inside a file of %d bytes", i, p, len(file))
			}
			for _, q := range got.Loads[:i] {
				if p.PhysAddr < q.PhysAddr+q.MemSize && q.PhysAddr < p.PhysAddr+p.MemSize {
					t.Fatalf("%+v and %+v overlap", p, q)
				}
			}
		}
		want, err := elf.NewFile(bytes.NewReader(file))
		if err != nil {
			return // its sections, which nothing here reads
		}
		var loads []ELFLoad
		for _, p := range want.Progs {
			if p.Type == elf.PT_LOAD && p.Memsz > 0 {
				loads = append(loads, ELFLoad{p.Off, p.Paddr, p.Vaddr, p.Filesz, p.Memsz, p.Align, p.Flags})
			}
		}
		if want.Machine != got.Machine || want.Entry != got.Entry || len(loads) != len(got.Loads) {
			t.Fatalf("parseELF = %+v; debug/elf reads %+v, %+v", got, want.FileHeader, loads)
		}
		for i := range loads {
			if loads[i] != got.Loads[i] {
				t.Fatalf("Loads[%d] = %+v; debug/elf reads %+v", i, got.Loads[i], loads[i])
			}
		}
	})
}
