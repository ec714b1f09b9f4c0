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
