package imagetest

// peSection is an entry of a PE section table.
type peSection struct {
	name                      string
	virtualSize, size, offset uint32
}

// peHeader writes a PE header, an optional header of optional bytes and the
// section table into b.
func peHeader(b []byte, machine uint16, optional int, sections []peSection) {
	copy(b, "PE\x00\x00")
	le.PutUint16(b[4:], machine)
	le.PutUint16(b[6:], uint16(len(sections)))
	le.PutUint16(b[20:], uint16(optional))
	le.PutUint16(b[24:], 0x20b) // PE32+
	table := b[24+optional:]
	for i, s := range sections {
		e := table[i*40:]
		copy(e[:8], s.name)
		le.PutUint32(e[8:], s.virtualSize)
		le.PutUint32(e[12:], s.offset)
		le.PutUint32(e[16:], s.size)
		le.PutUint32(e[20:], s.offset)
	}
}

// Section is a section of a UKI.
type Section struct {
	Name        string
	Data        []byte
	VirtualSize uint32 // 0 means the size of Data
}

// PE returns a PE program with the given sections: a UKI when one is ".linux".
// Like ukify it pads each section in the file to 512 bytes.
func PE(machine uint16, sections ...Section) []byte {
	const optional, align = 0xf0, 512
	head := 0x40 + 24 + optional + 40*len(sections)
	b := make([]byte, (head+align-1)/align*align)
	copy(b, "MZ")
	le.PutUint32(b[0x3c:], 0x40)
	var table []peSection
	for _, s := range sections {
		e := peSection{s.Name, s.VirtualSize, uint32((len(s.Data) + align - 1) / align * align), uint32(len(b))}
		if e.virtualSize == 0 {
			e.virtualSize = uint32(len(s.Data))
		}
		table = append(table, e)
		b = append(b, s.Data...)
		for len(b)%align != 0 {
			b = append(b, 0)
		}
	}
	peHeader(b[0x40:], machine, optional, table)
	return b
}

// Zboot returns an EFI zboot program around a payload that is compressed
// already. compression is the name in its header, such as "gzip" or "zstd22";
// unpacked, the size that follows the payload, is left out when it is 0.
func Zboot(payload []byte, compression string, unpacked uint32) []byte {
	b := make([]byte, 0x200)
	copy(b, "MZ\x00\x00zimg")
	le.PutUint32(b[0x08:], uint32(len(b)))
	le.PutUint32(b[0x0c:], uint32(len(payload)))
	copy(b[0x18:0x38], compression)
	copy(b[0x38:], "\xcd\x23\x82\x81")
	le.PutUint32(b[0x3c:], 0x40)
	start := uint32(len(b))
	b = append(b, payload...)
	if unpacked != 0 {
		b = le.AppendUint32(b, unpacked)
	}
	for len(b)%512 != 0 {
		b = append(b, 0)
	}
	peHeader(b[0x40:], 0xaa64, 0xa0, []peSection{{".text", uint32(len(b)) - start, uint32(len(b)) - start, start}})
	return b
}
