package dumptest

import (
	"debug/elf"
	"encoding/binary"
)

// Load is a PT_LOAD segment.
type Load struct {
	Phys, Virt uint64
	Data       []byte // what is in the file
	MemSize    uint64 // bytes; 0 means len(Data)
}

// Note is an ELF note.
type Note struct {
	Name string
	Type uint32
	Desc []byte
}

// Core describes an ELF core file.
type Core struct {
	Class    elf.Class
	Order    binary.ByteOrder
	Machine  elf.Machine
	Flags    uint32 // e_flags
	Loads    []Load
	Notes    []Note
	PhOff    uint64 // where the program headers are; 0 means after the ELF header
	Extended bool   // use PN_XNUM whatever the number of program headers
}

// AppendNotes appends the notes to b as they stand in a PT_NOTE.
func AppendNotes(b []byte, o binary.ByteOrder, notes ...Note) []byte {
	ao := o.(binary.AppendByteOrder)
	for _, n := range notes {
		b = ao.AppendUint32(b, uint32(len(n.Name)+1))
		b = ao.AppendUint32(b, uint32(len(n.Desc)))
		b = ao.AppendUint32(b, n.Type)
		b = append(b, n.Name...)
		b = pad(append(b, 0), 4)
		b = pad(append(b, n.Desc...), 4)
	}
	return b
}

func pad(b []byte, align int) []byte {
	for len(b)%align != 0 {
		b = append(b, 0)
	}
	return b
}

// Bytes returns the file: ELF header, program headers, the notes, the segments' data.
func (c *Core) Bytes() []byte {
	is32 := c.Class == elf.ELFCLASS32
	ehsize, phsize, shsize := 64, 56, 64
	if is32 {
		ehsize, phsize, shsize = 52, 32, 40
	}
	phnum := len(c.Loads) + 1
	phoff := int(c.PhOff)
	if phoff == 0 {
		phoff = ehsize
	}
	extended := c.Extended || phnum >= 0xffff
	shoff, num := 0, phnum
	pos := phoff + phnum*phsize
	if extended {
		shoff, num = pos, 0xffff
		pos += shsize
	}
	notes := AppendNotes(nil, c.Order, c.Notes...)
	b := make([]byte, pos, pos+len(notes))
	o := c.Order
	copy(b, elf.ELFMAG)
	b[elf.EI_CLASS], b[elf.EI_VERSION] = byte(c.Class), 1
	b[elf.EI_DATA] = byte(elf.ELFDATA2LSB)
	if o.Uint16([]byte{1, 0}) != 1 {
		b[elf.EI_DATA] = byte(elf.ELFDATA2MSB)
	}
	o.PutUint16(b[16:], uint16(elf.ET_CORE))
	o.PutUint16(b[18:], uint16(c.Machine))
	o.PutUint32(b[20:], 1)
	tail := b[40:] // from e_ehsize on
	if is32 {
		o.PutUint32(b[28:], uint32(phoff))
		o.PutUint32(b[32:], uint32(shoff))
		o.PutUint32(b[36:], c.Flags)
	} else {
		o.PutUint64(b[32:], uint64(phoff))
		o.PutUint64(b[40:], uint64(shoff))
		o.PutUint32(b[48:], c.Flags)
		tail = b[52:]
	}
	o.PutUint16(tail, uint16(ehsize))
	o.PutUint16(tail[2:], uint16(phsize))
	o.PutUint16(tail[4:], uint16(num))
	if extended {
		o.PutUint16(tail[6:], uint16(shsize))
		o.PutUint16(tail[8:], 1)
		info := 44
		if is32 {
			info = 28
		}
		o.PutUint32(b[shoff+info:], uint32(phnum))
	}
	c.putProg(b[phoff:], elf.PT_NOTE, uint64(pos), 0, 0, uint64(len(notes)), uint64(len(notes)))
	b = append(b, notes...)
	for i, l := range c.Loads {
		mem := max(l.MemSize, uint64(len(l.Data)))
		c.putProg(b[phoff+(i+1)*phsize:], elf.PT_LOAD, uint64(len(b)), l.Virt, l.Phys, uint64(len(l.Data)), mem)
		b = append(b, l.Data...)
	}
	return b
}

func (c *Core) putProg(b []byte, typ elf.ProgType, off, virt, phys, filesz, memsz uint64) {
	o := c.Order
	flags := uint32(0)
	if typ == elf.PT_LOAD {
		flags = uint32(elf.PF_R | elf.PF_W | elf.PF_X)
	}
	o.PutUint32(b, uint32(typ))
	if c.Class == elf.ELFCLASS32 {
		for i, v := range []uint64{off, virt, phys, filesz, memsz, uint64(flags)} {
			o.PutUint32(b[4+4*i:], uint32(v))
		}
		return
	}
	o.PutUint32(b[4:], flags)
	for i, v := range []uint64{off, virt, phys, filesz, memsz} {
		o.PutUint64(b[8+8*i:], v)
	}
}
