// Package disktest writes what tells a disk's contents (superblocks, partition tables) to
// the bytes of a disk, for tests of what finds and mounts disks. It knows nothing of
// pkg/blkid, so that each can find a mistake of the other.
package disktest

import (
	"encoding/binary"
	"encoding/hex"
	"strings"
)

// UUID is that of what is on a disk, unless a test has several.
const UUID = "01234567-89ab-cdef-0123-456789abcdef"

// UUIDBytes is a UUID in the order in which it is printed.
func UUIDBytes(uuid string) [16]byte {
	b, err := hex.DecodeString(strings.ReplaceAll(uuid, "-", ""))
	if err != nil {
		panic(err)
	}
	return [16]byte(b)
}

// Ext4 is the superblock of an ext4 with a journal of its own (fs/ext4/ext4.h). The label
// has 16 bytes at most.
func Ext4(uuid, label string) func(disk []byte) {
	return func(disk []byte) {
		sb, id := disk[0x400:0x800], UUIDBytes(uuid)
		copy(sb[0x38:], "\x53\xef")
		sb[0x5c], sb[0x60] = 4, 0x40 // journal, extents
		sb[0xe0] = 8                 // the journal's inode
		copy(sb[0x68:], id[:])
		copy(sb[0x78:0x88], label)
	}
}

// Btrfs is the superblock of the device with that number in a btrfs of so many devices
// (include/uapi/linux/btrfs_tree.h).
func Btrfs(uuid string, number, devices uint64) func(disk []byte) {
	return func(disk []byte) {
		sb, id := disk[0x10000:0x11000], UUIDBytes(uuid)
		copy(sb[0x40:], "_BHRfS_M")
		copy(sb[0x20:], id[:])
		binary.LittleEndian.PutUint64(sb[0x88:], devices)
		binary.LittleEndian.PutUint64(sb[0xc9:], number)
	}
}

// ArrayMember is the superblock, of version 1.2, of a member of an md array with two disks
// (include/uapi/linux/raid/md_p.h, struct mdp_superblock_1). Both are in sync.
func ArrayMember(array string, member [16]byte) func(disk []byte) {
	return func(disk []byte) {
		le := binary.LittleEndian
		sb, id := disk[4096:4096+256+2*2], UUIDBytes(array)
		copy(sb, "\xfc\x4e\x2b\xa9\x01\x00\x00\x00")
		copy(sb[16:], id[:])
		le.PutUint32(sb[72:], 1) // level
		le.PutUint64(sb[80:], 16)
		le.PutUint32(sb[92:], 2)
		le.PutUint64(sb[128:], 16) // sectors before the data
		le.PutUint64(sb[136:], 16) // sectors of data
		le.PutUint64(sb[144:], 8)  // where it lies
		copy(sb[168:], member[:])
		le.PutUint64(sb[200:], 7)          // events
		le.PutUint64(sb[208:], ^uint64(0)) // clean
		le.PutUint32(sb[220:], 2)          // members
		le.PutUint16(sb[258:], 1)
		sum := uint64(0)
		for i := 0; i < len(sb); i += 4 {
			sum += uint64(le.Uint32(sb[i:]))
		}
		le.PutUint32(sb[216:], uint32(sum)+uint32(sum>>32))
	}
}

// GPT is a GUID partition table (block/partitions/efi.h) with one partition, number 3: its
// GUID is UUID, its name is "c" and U+00E9, it has blocks 40 to 47. A logical block has
// blockSize bytes.
func GPT(blockSize int) func(disk []byte) {
	return func(disk []byte) {
		le := binary.LittleEndian
		header, entry := disk[blockSize:], disk[2*blockSize+2*128:]
		copy(header, "EFI PART")
		le.PutUint64(header[72:], 2)   // the first entry's block
		le.PutUint32(header[80:], 128) // entries
		le.PutUint32(header[84:], 128) // bytes of an entry
		guid := UUIDBytes(UUID)        // its first three fields are little-endian
		le.PutUint32(entry[16:], binary.BigEndian.Uint32(guid[:]))
		le.PutUint16(entry[20:], binary.BigEndian.Uint16(guid[4:]))
		le.PutUint16(entry[22:], binary.BigEndian.Uint16(guid[6:]))
		copy(entry[24:], guid[8:])
		le.PutUint64(entry[32:], 40)
		le.PutUint64(entry[40:], 47)
		copy(entry[56:], "c\x00\xe9\x00")
	}
}
