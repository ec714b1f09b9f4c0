package imagetest

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"strings"
)

// Module returns a relocatable ELF64 file with a .modinfo section.
func Module(machine elf.Machine, entries ...string) []byte {
	info := []byte(strings.Join(entries, "\x00") + "\x00")
	names := "\x00.modinfo\x00.shstrtab\x00"
	shoff := (64 + len(info) + len(names) + 7) &^ 7
	h := elf.Header64{
		Type: uint16(elf.ET_REL), Machine: uint16(machine), Version: 1, Shoff: uint64(shoff),
		Ehsize: 64, Shentsize: 64, Shnum: 3, Shstrndx: 2,
	}
	copy(h.Ident[:], "\x7fELF\x02\x01\x01")
	sections := []elf.Section64{{},
		{Name: 1, Type: uint32(elf.SHT_PROGBITS), Off: 64, Size: uint64(len(info))},
		{Name: 10, Type: uint32(elf.SHT_STRTAB), Off: uint64(64 + len(info)), Size: uint64(len(names))}}
	var b bytes.Buffer
	err := binary.Write(&b, binary.LittleEndian, h)
	b.Write(info)
	b.WriteString(names)
	b.Write(make([]byte, shoff-b.Len()))
	if err := errors.Join(err, binary.Write(&b, binary.LittleEndian, sections)); err != nil {
		panic(err)
	}
	return b.Bytes()
}
