package bootimage

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/gokexec/gokexec/internal/imagetest"
)

func TestCheckKexecRISCV(t *testing.T) {
	const virt = 0xffffffff80000000
	tests := []struct {
		name  string
		more  *elf.Prog64
		wrong bool
	}{
		{"as the linker makes it", nil, false},
		{"empty, where it does no harm", &elf.Prog64{Type: uint32(elf.PT_LOAD), Vaddr: virt + 0x1300000, Paddr: 0x1300000, Align: 0x1000}, false},
		{"empty, at address 0", &elf.Prog64{Type: uint32(elf.PT_LOAD), Paddr: 0x1300000, Align: 0x1000}, true},
		{"empty, before the others", &elf.Prog64{Type: uint32(elf.PT_LOAD), Vaddr: virt + 0x1300000, Align: 0x1000}, true},
		{"no load", &elf.Prog64{Type: uint32(elf.PT_NOTE)}, false},
	}
	for _, tt := range tests {
		e := imagetest.GoodELF(elf.EM_RISCV, binary.LittleEndian)
		e.Entry += virt
		if tt.more != nil {
			e.Progs = append(e.Progs, *tt.more)
		}
		img, err := openBytes(e.Bytes())
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if err := img.ELF.CheckKexecRISCV(); (err != nil) != tt.wrong || err != nil && !errors.Is(err, ErrWrongEntry) {
			t.Errorf("%s: CheckKexecRISCV = %v; want an error: %t", tt.name, err, tt.wrong)
		}
	}
}

func TestCheckKexecS390(t *testing.T) {
	load := func(paddr, filesz uint64) elf.Prog64 {
		return elf.Prog64{Type: uint32(elf.PT_LOAD), Flags: 5, Off: 0x1000, Vaddr: paddr, Paddr: paddr, Filesz: filesz, Memsz: filesz + 0x1000, Align: 0x1000}
	}
	for _, tt := range []struct {
		name        string
		entry       uint64
		progs       []elf.Prog64
		crash, boot bool // is taken
	}{
		{"vmlinux, which begins at 1 MiB", 0x100000, []elf.Prog64{load(0x100000, 0x20000)}, false, false},
		{"with the code that boots", 0x10000, []elf.Prog64{load(0, 0x20000)}, true, true},
		{"entered elsewhere", 0x100000, []elf.Prog64{load(0, 0x20000), load(0x100000, 0x1000)}, true, false},
		{"cut before the command line's end", 0x10000, []elf.Prog64{load(0, 0x11000)}, false, false},
		{"begins at 64 KiB", 0x10000, []elf.Prog64{load(0x10000, 0x20000)}, false, false},
	} {
		e := imagetest.GoodELF(elf.EM_S390, binary.BigEndian)
		e.Entry, e.Progs = tt.entry, tt.progs
		e.Data = append(e.Data, make([]byte, 0x40000)...)
		img, err := openBytes(e.Bytes())
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		for crash, taken := range map[bool]bool{true: tt.crash, false: tt.boot} {
			if err := img.ELF.CheckKexecS390(crash); (err == nil) != taken || err != nil && !errors.Is(err, ErrNoParmArea) {
				t.Errorf("%s: CheckKexecS390(%t) = %v; want it taken: %t", tt.name, crash, err, taken)
			}
		}
	}
}
