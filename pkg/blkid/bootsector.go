package blkid

import (
	"fmt"
	"strings"
)

// maxDirectory bounds what is read of a root directory in search of a label, in bytes.
const maxDirectory = 16 << 10

// noName is what mkfs.fat and DOS write for no label.
const noName = "NO NAME"

// probeFAT reads struct fat_boot_sector (kernel: include/uapi/linux/msdos_fs.h). The
// label is that of the root directory, as blkid has it, else the boot sector's.
func probeFAT(m *medium) (Signature, bool) {
	b := m.at(0, 512)
	if b == nil || string(b[510:]) != "\x55\xaa" || string(b[3:11]) == "-FVE-FS-" {
		return Signature{}, false
	}
	s := Signature{Kind: Filesystem, Type: "vfat", Mountable: true}
	var extended []byte
	switch {
	case string(b[0x52:0x5a]) == "FAT32   ":
		extended = b[0x42:]
	case string(b[0x36:0x3e]) == "FAT12   ", string(b[0x36:0x3e]) == "FAT16   ", string(b[0x36:0x3e]) == "FAT     ":
		extended = b[0x26:]
	default:
		return Signature{}, false
	}
	serial := le.Uint32(extended[1:])
	s.UUID = fmt.Sprintf("%04X-%04X", serial>>16, serial&0xffff)
	if s.Label = fatRootLabel(m, b); s.Label == "" {
		s.Label = label(extended[5:16])
	}
	if s.Label == noName {
		s.Label = ""
	}
	return s, true
}

// fatRootLabel looks for the label in the root directory, "" for none: in all of
// FAT12's and FAT16's, in the first cluster of FAT32's.
func fatRootLabel(m *medium, b []byte) string {
	sector, cluster := int64(le.Uint16(b[11:])), int64(b[13])
	reserved, fats, entries := int64(le.Uint16(b[14:])), int64(b[16]), int64(le.Uint16(b[17:]))
	fatSize := int64(le.Uint16(b[22:]))
	offset, length := (reserved+fats*fatSize)*sector, entries*32
	if fatSize == 0 {
		fatSize = int64(le.Uint32(b[36:]))
		first := int64(le.Uint32(b[44:]))
		offset, length = (reserved+fats*fatSize+max(first-2, 0)*cluster)*sector, cluster*sector
	}
	dir := m.at(offset, min(length, maxDirectory))
	for ; len(dir) >= 32 && dir[0] != 0; dir = dir[32:] {
		// Not deleted, no part of a long name, and a volume label.
		if attr := dir[11]; dir[0] != 0xe5 && attr&0x3f != 0x0f && attr&0x18 == 0x08 {
			return label(dir[:11])
		}
	}
	return ""
}

// probeExFAT reads the main boot sector (exFAT specification 1.00, 3.1) and looks for a
// label in the first cluster of the root directory (7.3).
func probeExFAT(m *medium) (Signature, bool) {
	b := m.at(0, 512)
	if b == nil || string(b[3:11]) != "EXFAT   " {
		return Signature{}, false
	}
	serial := le.Uint32(b[100:])
	s := Signature{Kind: Filesystem, Type: "exfat", UUID: fmt.Sprintf("%04X-%04X", serial>>16, serial&0xffff), Mountable: true}
	if b[108] < 9 || b[108] > 12 || b[109] > 25-b[108] {
		return s, true
	}
	heap, root := int64(le.Uint32(b[88:])), int64(le.Uint32(b[96:]))
	dir := m.at((heap+max(root-2, 0)<<b[109])<<b[108], min(int64(1)<<(b[108]+b[109]), maxDirectory))
	for ; len(dir) >= 32 && dir[0] != 0; dir = dir[32:] {
		if dir[0] == 0x83 {
			s.Label = utf16String(dir[2:2+2*min(int(dir[1]), 11)], le)
			break
		}
	}
	return s, true
}

// probeNTFS reads the boot sector, and the label from the fourth record of the
// master file table (kernel: fs/ntfs3/ntfs.h).
func probeNTFS(m *medium) (Signature, bool) {
	b := m.at(0, 512)
	if b == nil || string(b[3:11]) != "NTFS    " {
		return Signature{}, false
	}
	s := Signature{Kind: Filesystem, Type: "ntfs", UUID: fmt.Sprintf("%016X", le.Uint64(b[0x48:])), Mountable: true}
	cluster := int64(le.Uint16(b[11:])) * int64(b[13])
	if b[13] > 0x80 { // then a power of two
		cluster = int64(le.Uint16(b[11:])) << min(-int8(b[13]), 12)
	}
	record := int64(int8(b[0x40])) * cluster
	if size := int8(b[0x40]); size < 0 {
		record = 1 << min(-int(size), 16)
	}
	table := int64(min(le.Uint64(b[0x30:]), 1<<40))
	if record < 512 || record > 4096 || cluster == 0 {
		return s, true
	}
	s.Label = ntfsLabel(m.at(table*cluster+3*record, record))
	return s, true
}

// ntfsLabel walks the attributes of the record of $Volume.
func ntfsLabel(record []byte) string {
	const volumeName = 0x60
	if len(record) < 64 || string(record[:4]) != "FILE" {
		return ""
	}
	for at := int(le.Uint16(record[20:])); at+24 <= len(record); {
		a := record[at:]
		length := le.Uint32(a[4:])
		if le.Uint32(a) == volumeName {
			from, size := int(le.Uint16(a[20:])), int(min(le.Uint32(a[16:]), 512))
			if from+size > len(a) {
				return ""
			}
			return utf16String(a[from:from+size], le)
		}
		if length == 0 || length > 1<<16 {
			break
		}
		at += int(length)
	}
	return ""
}

// probeDOS finds an MBR: the boot signature, and four entries of which at least
// one is used and all are plausible (kernel: block/partitions/msdos.c).
func probeDOS(head []byte) (Signature, bool) {
	if len(head) < 512 || string(head[510:512]) != "\x55\xaa" {
		return Signature{}, false
	}
	used := false
	for entry := range 4 {
		e := head[446+16*entry:][:16]
		if e[0]&0x7f != 0 {
			return Signature{}, false
		}
		used = used || e[4] != 0
	}
	return Signature{Kind: PartitionTable, Type: "dos"}, used
}

// label is a name as blkid prints it: up to the first NUL, without blanks at its end.
func label(b []byte) string { return strings.TrimRight(cString(b), " \t\n\v\f\r") }
