package blkid

import (
	"encoding/binary"
	"fmt"
	"unicode/utf16"
)

// maxEntries bounds the entries of a GPT that are read; the usual table has 128.
const maxEntries = 256

// Table is the partition table of a disk.
type Table struct {
	// Type is gpt or dos.
	Type string
	// Partitions are those in use; of a DOS table the primary ones.
	Partitions []Partition
	// diskID is the disk signature of a DOS table.
	diskID uint32
}

// Partition is one entry of a table.
type Partition struct {
	// Number counts from 1.
	Number uint32
	// UUID is the PARTUUID as the kernel prints it (block/partitions/efi.c,
	// msdos.c): a GPT entry's unique GUID, or the disk signature and the number.
	UUID string
	// Label is the name in a GPT entry.
	Label string
	// Start and Size are in bytes.
	Start, Size int64
}

// Partition returns the partition of a number. A DOS table gives logical
// partitions, from 5 on, their UUID only.
func (t *Table) Partition(number uint32) (Partition, bool) {
	for _, p := range t.Partitions {
		if p.Number == number {
			return p, true
		}
	}
	if t.Type == "dos" && number > 4 {
		return Partition{Number: number, UUID: t.dosUUID(number)}, true
	}
	return Partition{}, false
}

// covers reports whether a partition of the table holds the bytes at offset.
func (t *Table) covers(offset, length int64) bool {
	if t == nil {
		return false
	}
	for _, p := range t.Partitions {
		if offset >= p.Start && offset+length <= p.Start+p.Size {
			return true
		}
	}
	return false
}

func (t *Table) dosUUID(number uint32) string { return fmt.Sprintf("%08x-%02x", t.diskID, number) }

// readTable reads the partition table of a disk, nil for none. A GPT's header is one
// logical block from the beginning, which is 512 or 4096 bytes.
func readTable(m *medium) *Table {
	for _, block := range []int64{512, 4096} {
		if header := m.at(block, 92); header != nil && string(header[:8]) == "EFI PART" {
			return readGPT(m, header, block)
		}
	}
	head := m.at(0, 512)
	if _, ok := probeDOS(head); !ok {
		return nil
	}
	t := &Table{Type: "dos", diskID: le.Uint32(head[440:])}
	for i := range uint32(4) {
		e := head[446+16*i:][:16]
		if e[4] == 0 {
			continue
		}
		t.Partitions = append(t.Partitions, Partition{
			Number: i + 1, UUID: t.dosUUID(i + 1),
			Start: int64(le.Uint32(e[8:])) * 512, Size: int64(le.Uint32(e[12:])) * 512,
		})
	}
	return t
}

// readGPT reads the entries that a header names (UEFI specification 2.10, 5.3.2
// and 5.3.3). Those that the disk doesn't hold are left out.
func readGPT(m *medium, header []byte, block int64) *Table {
	t := &Table{Type: "gpt"}
	first, count, entrySize := le.Uint64(header[72:]), le.Uint32(header[80:]), int64(le.Uint32(header[84:]))
	if entrySize < 128 || entrySize > 4096 || first > uint64(m.size/block) {
		return t
	}
	for number := range min(count, maxEntries) {
		e := m.at(int64(first)*block+int64(number)*entrySize, 128)
		if e == nil {
			break
		}
		uuid := FormatUUID(mixedEndian(e[16:32]))
		if uuid == "" {
			continue
		}
		p := Partition{Number: number + 1, UUID: uuid, Label: utf16String(e[56:128], le)}
		if start, end := le.Uint64(e[32:]), le.Uint64(e[40:]); start <= end && end < uint64(m.size/block) {
			p.Start, p.Size = int64(start)*block, int64(end-start+1)*block
		}
		t.Partitions = append(t.Partitions, p)
	}
	return t
}

// mixedEndian turns a GUID as stored into the order in which it is printed:
// its first three fields are little-endian.
func mixedEndian(b []byte) []byte {
	return []byte{b[3], b[2], b[1], b[0], b[5], b[4], b[7], b[6], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]}
}

// utf16String is the text of a UTF-16 field, up to the first NUL and without blanks
// at its end.
func utf16String(b []byte, order binary.ByteOrder) string {
	var units []uint16
	for ; len(b) >= 2; b = b[2:] {
		u := order.Uint16(b)
		if u == 0 {
			break
		}
		units = append(units, u)
	}
	return label([]byte(string(utf16.Decode(units))))
}
