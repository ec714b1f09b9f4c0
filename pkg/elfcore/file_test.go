package elfcore_test

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/gokexec/gokexec/internal/dumptest"
	"github.com/gokexec/gokexec/pkg/elfcore"
	"github.com/gokexec/gokexec/pkg/memmap"
)

// formats has each ELF class in each byte order.
var formats = []struct {
	name string
	core dumptest.Core
}{
	{"64LE", dumptest.Core{Class: elf.ELFCLASS64, Order: binary.LittleEndian, Machine: elf.EM_X86_64}},
	{"64BE", dumptest.Core{Class: elf.ELFCLASS64, Order: binary.BigEndian, Machine: elf.EM_PPC64}},
	{"32LE", dumptest.Core{Class: elf.ELFCLASS32, Order: binary.LittleEndian, Machine: elf.EM_ARM}},
	{"32BE", dumptest.Core{Class: elf.ELFCLASS32, Order: binary.BigEndian, Machine: elf.EM_PPC}},
}

func newFile(t testing.TB, b []byte) *elfcore.File {
	t.Helper()
	f, err := elfcore.New(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatalf("New() = %v", err)
	}
	return f
}

func note(name string, typ uint32, desc string) dumptest.Note {
	return dumptest.Note{Name: name, Type: typ, Desc: []byte(desc)}
}

// pattern returns n bytes that depend on their physical address.
func pattern(addr uint64, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		a := addr + uint64(i)
		b[i] = byte(a) ^ byte(a>>8)*31 | 1 // never 0
	}
	return b
}

func TestNew(t *testing.T) {
	for _, fm := range formats {
		for _, tt := range []struct {
			name     string
			phoff    uint64
			extended bool
		}{{"plain", 0, false}, {"program headers elsewhere", 192, false}, {"PN_XNUM", 0, true}} {
			t.Run(fm.name+"/"+tt.name, func(t *testing.T) {
				c := fm.core
				c.PhOff, c.Extended, c.Flags = tt.phoff, tt.extended, 4
				c.Notes = []dumptest.Note{note("CORE", 1, "status"), note("VMCOREINFO", 0, "OSRELEASE=6.12\n")}
				c.Loads = []dumptest.Load{{Phys: 0x1000, Virt: 0xc0001000, Data: pattern(0x1000, 8192), MemSize: 0x5000}}
				b := c.Bytes()
				f := newFile(t, b)
				if f.Class != c.Class || f.Order != c.Order || f.Machine != c.Machine || f.Flags != 4 || f.Damage != nil {
					t.Errorf("New() = %v %v %v %#x %v; want %v %v %v 4 nil", f.Class, f.Order, f.Machine, f.Flags, f.Damage,
						c.Class, c.Order, c.Machine)
				}
				want := elfcore.Load{Phys: 0x1000, Virt: 0xc0001000, Offset: uint64(len(b) - 8192), FileSize: 8192,
					MemSize: 0x5000, Flags: elf.PF_R | elf.PF_W | elf.PF_X}
				if len(f.Loads) != 1 || f.Loads[0] != want {
					t.Errorf("Loads = %+v; want %+v", f.Loads, want)
				}
				if len(f.Notes) != 2 || f.Notes[0].Name != "CORE" || f.Notes[0].Type != elf.NT_PRSTATUS || string(f.Notes[0].Desc) != "status" {
					t.Errorf("Notes = %+v", f.Notes)
				}
				if v, err := f.VMCoreInfo(); err != nil || v.OSRelease != "6.12" {
					t.Errorf("VMCoreInfo() = %+v, %v; want OSRelease 6.12", v, err)
				}
			})
		}
	}
}

// TestNewAgrees has debug/elf read the same file.
func TestNewAgrees(t *testing.T) {
	for _, fm := range formats {
		c := fm.core
		c.Notes = []dumptest.Note{note("CORE", 1, "status")}
		for i := range uint64(5) {
			c.Loads = append(c.Loads, dumptest.Load{Phys: i << 20, Virt: 0xc0000000 + i<<20, Data: pattern(i, int(i)*100), MemSize: 4096})
		}
		b := c.Bytes()
		f := newFile(t, b)
		e, err := elf.NewFile(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		for i, p := range e.Progs[1:] {
			l := f.Loads[i]
			if uint64(l.Phys) != p.Paddr || l.Virt != p.Vaddr || l.Offset != p.Off || l.FileSize != p.Filesz || l.MemSize != p.Memsz || l.Flags != p.Flags {
				t.Errorf("%s: Loads[%d] = %+v; debug/elf has %+v", fm.name, i, l, p.ProgHeader)
			}
		}
	}
}

func TestNewManyLoads(t *testing.T) {
	c := formats[0].core
	const n = 70000 // more than e_phnum can say
	data := pattern(0, 16)
	for i := range uint64(n) {
		c.Loads = append(c.Loads, dumptest.Load{Phys: i << 24, Virt: 0xffff888000000000 + i<<24, Data: data})
	}
	f := newFile(t, c.Bytes())
	if len(f.Loads) != n {
		t.Fatalf("%d Loads; want %d", len(f.Loads), n)
	}
	var b [16]byte
	for _, i := range []uint64{0, 1, 65534, 65535, n - 1} {
		if _, err := f.ReadPhysAt(b[:], memmap.PhysAddr(i<<24)); err != nil || !bytes.Equal(b[:], data) {
			t.Errorf("ReadPhysAt(%#x) = %x, %v; want %x", i<<24, b, err, data)
		}
		if _, err := f.ReadVirtAt(b[:], 0xffff888000000000+i<<24); err != nil || !bytes.Equal(b[:], data) {
			t.Errorf("ReadVirtAt(%#x) = %x, %v; want %x", 0xffff888000000000+i<<24, b, err, data)
		}
	}
}

func TestNewErrors(t *testing.T) {
	core := formats[0].core
	core.Loads = []dumptest.Load{{Data: pattern(0, 64)}}
	good := core.Bytes()
	edit := func(off int, bytes ...byte) []byte {
		b := append([]byte(nil), good...)
		copy(b[off:], bytes)
		return b
	}
	const load = 64 + 56 // its program header
	for _, tt := range []struct {
		name    string
		b       []byte
		wantErr string
		is      error
	}{
		{"empty", nil, "0 bytes long", elfcore.ErrNotCore},
		{"text", []byte(strings.Repeat("not a core file\n", 10)), "begins with 6e 6f 74 20", elfcore.ErrNotCore},
		{"class", edit(4, 9), "unknown ELF class 9", elfcore.ErrNotCore},
		{"encoding", edit(5, 9), "unknown data encoding 9", elfcore.ErrNotCore},
		{"executable", edit(16, 2), "ELF type is ET_EXEC", elfcore.ErrNotCore},
		{"version", edit(20, 7), "ELF version is 1/7", elfcore.ErrNotCore},
		{"header cut off", good[:60], "read ELF header", io.ErrUnexpectedEOF},
		{"program headers cut off", good[:130], "end beyond the file (130 bytes)", io.ErrUnexpectedEOF},
		{"e_phoff", edit(39, 0xff), "end beyond the file", io.ErrUnexpectedEOF},
		{"e_phentsize", edit(54, 55), "e_phentsize is 55, want 56", nil},
		{"e_phnum 0", edit(56, 0), "no program headers", nil},
		{"PN_XNUM without a section header", edit(40, 0, 0, 0, 0, 1, 0, 0, 0), "", nil},
		{"p_offset", edit(load+15, 0xff), "don't fit a file", nil},
		{"p_filesz", edit(load+39, 0xff), "don't fit a file", nil},
		{"p_memsz", edit(load+40, 1), "p_memsz 0x1 is less than p_filesz 0x40", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.name == "PN_XNUM without a section header" {
				tt.b[56], tt.b[57], tt.b[58] = 0xff, 0xff, 64
				tt.wantErr, tt.is = "section header 0 at 0x100000000 is beyond the file", io.ErrUnexpectedEOF
			}
			_, err := elfcore.New(bytes.NewReader(tt.b), int64(len(tt.b)))
			if err == nil || !strings.Contains(err.Error(), tt.wantErr) {
				t.Fatalf("New() = %v; want %q in it", err, tt.wantErr)
			}
			if tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("New() = %v; want errors.Is %v", err, tt.is)
			}
		})
	}
}

func TestIncomplete(t *testing.T) {
	for _, tt := range []struct {
		name    string
		machine elf.Machine
		flags   uint32
		cut     int
		want    bool
	}{
		{"whole", elf.EM_X86_64, 0, 0, false},
		{"flag", elf.EM_X86_64, 1, 0, true},
		{"the flag means the ABI on ppc64", elf.EM_PPC64, 1, 0, false},
		{"cut off", elf.EM_PPC64, 0, 1, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := dumptest.Core{Class: elf.ELFCLASS64, Order: binary.LittleEndian, Machine: tt.machine, Flags: tt.flags,
				Loads: []dumptest.Load{{Data: pattern(0, 64)}}}
			b := c.Bytes()
			f := newFile(t, b[:len(b)-tt.cut])
			if got := f.Incomplete(); got != tt.want {
				t.Errorf("Incomplete() = %v; want %v (%v)", got, tt.want, f.Damage)
			}
		})
	}
}
