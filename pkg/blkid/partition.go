package blkid

import (
	"encoding/binary"
	"fmt"
	"io"
	"unicode/utf16"
)

// maxTable bounds the entries of a GPT that are read, in bytes. The usual table
// of 128 entries has 16 KiB.
const maxTable = 1 << 20

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

// readTable reads the partition table of a disk, nil for none. Its header is one
// logical block from the beginning, which is 512 or 4096 bytes.
func readTable(disk io.ReaderAt, head []byte, size int64) (*Table, error) {
	for _, block := range []int{512, 4096} {
		if hasAt(head, block, "EFI PART") && len(head) >= block+92 {
			return readGPT(disk, head[block:], int64(block), size)
		}
	}
	if _, ok := probeDOS(head); !ok {
		return nil, nil
	}
	t := &Table{Type: "dos", diskID: binary.LittleEndian.Uint32(head[440:])}
	for i := range uint32(4) {
		e := head[446+16*i:][:16]
		if e[4] == 0 {
			continue
		}
		t.Partitions = append(t.Partitions, Partition{
			Number: i + 1, UUID: t.dosUUID(i + 1),
			Start: int64(binary.LittleEndian.Uint32(e[8:])) * 512, Size: int64(binary.LittleEndian.Uint32(e[12:])) * 512,
		})
	}
	return t, nil
}

// readGPT reads the entries that a header names (UEFI specification 2.10, 5.3.2
// and 5.3.3). Those that the disk doesn't hold are left out.
func readGPT(disk io.ReaderAt, header []byte, block, size int64) (*Table, error) {
	t := &Table{Type: "gpt"}
	first := binary.LittleEndian.Uint64(header[72:])
	count := binary.LittleEndian.Uint32(header[80:])
	entrySize := binary.LittleEndian.Uint32(header[84:])
	if entrySize < 128 || entrySize > 1<<16 || first > uint64(size/block) {
		return t, nil
	}
	length := min(int64(count)*int64(entrySize), maxTable, size-int64(first)*block)
	b := make([]byte, length-length%int64(entrySize))
	if _, err := disk.ReadAt(b, int64(first)*block); err != nil {
		return nil, fmt.Errorf("read the GPT's entries: %w", err)
	}
	for number := uint32(1); len(b) > 0; number, b = number+1, b[entrySize:] {
		start, end := binary.LittleEndian.Uint64(b[32:]), binary.LittleEndian.Uint64(b[40:])
		uuid := formatUUID(mixedEndian(b[16:32]))
		if uuid == "" {
			continue
		}
		p := Partition{Number: number, UUID: uuid, Label: utf16String(b[56:128], binary.LittleEndian)}
		if blocks := uint64(size / block); start <= end && end < blocks {
			p.Start, p.Size = int64(start)*block, int64(end-start+1)*block
		}
		t.Partitions = append(t.Partitions, p)
	}
	return t, nil
}

// mixedEndian turns a GUID as stored into the order in which it is printed:
// its first three fields are little-endian.
func mixedEndian(b []byte) []byte {
	return []byte{b[3], b[2], b[1], b[0], b[5], b[4], b[7], b[6], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]}
}

// utf16String is the text up to the first NUL of a UTF-16 field.
func utf16String(b []byte, order binary.ByteOrder) string {
	var units []uint16
	for ; len(b) >= 2; b = b[2:] {
		u := order.Uint16(b)
		if u == 0 {
			break
		}
		units = append(units, u)
	}
	return string(utf16.Decode(units))
}
