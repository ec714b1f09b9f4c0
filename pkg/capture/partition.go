package capture

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// errNoPartition means that a partition table doesn't hold the asked number.
var errNoPartition = errors.New("no such partition")

// partitionUUID returns the PARTUUID of a disk's partition, counted from 1, as
// the kernel prints it (block/partitions/efi.c, msdos.c): a GPT entry's unique
// GUID, or the MBR's disk signature and the number. blockSize is the disk's
// logical block size in bytes.
func partitionUUID(disk io.ReaderAt, blockSize int64, number uint32) (string, error) {
	if blockSize < 512 || blockSize > 1<<16 || number == 0 {
		return "", fmt.Errorf("%w: number %d, block size %d", errNoPartition, number, blockSize)
	}
	var header [512]byte
	if _, err := disk.ReadAt(header[:], blockSize); err != nil {
		return "", fmt.Errorf("read the GPT header: %w", err)
	}
	if hasAt(header[:], 0, "EFI PART") {
		// UEFI specification 2.10, 5.3.2 and 5.3.3.
		first := binary.LittleEndian.Uint64(header[72:])
		count := binary.LittleEndian.Uint32(header[80:])
		entrySize := binary.LittleEndian.Uint32(header[84:])
		if number > count || entrySize < 128 || entrySize > 1<<16 || first > 1<<40 {
			return "", fmt.Errorf("%w: number %d of %d, entries of %d bytes at block %d", errNoPartition, number, count, entrySize, first)
		}
		var entry [32]byte
		offset := int64(first)*blockSize + int64(number-1)*int64(entrySize)
		if _, err := disk.ReadAt(entry[:], offset); err != nil {
			return "", fmt.Errorf("read GPT entry %d: %w", number, err)
		}
		return formatUUID(mixedEndian(entry[16:32])), nil
	}
	if _, err := disk.ReadAt(header[:], 0); err != nil {
		return "", fmt.Errorf("read the MBR: %w", err)
	}
	if _, ok := probeDOS(header[:]); !ok {
		return "", fmt.Errorf("%w: neither GPT nor MBR", errNoPartition)
	}
	return fmt.Sprintf("%08x-%02x", binary.LittleEndian.Uint32(header[440:]), number), nil
}

// mixedEndian turns a GUID as stored into the order in which it is printed:
// its first three fields are little-endian.
func mixedEndian(b []byte) []byte {
	return []byte{b[3], b[2], b[1], b[0], b[5], b[4], b[7], b[6], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]}
}
