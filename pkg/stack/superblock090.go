package stack

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Words of mdp_super_t, of 32 bits (md_p.h). Those of the members are descriptors of 32 words each.
const (
	word090Magic   = 0
	word090Major   = 1
	word090Minor   = 2
	word090UUID0   = 5
	word090Level   = 7
	word090Size    = 8 // KiB
	word090Disks   = 10
	word090UUID1   = 13 // and 2, 3
	word090State   = 33
	word090Sum     = 38
	word090Events  = 39 // and 40: the low half first on little-endian machines
	word090Layout  = 64
	word090Chunk   = 65  // bytes
	word090Members = 128 // 27 of them
	word090This    = 992

	members090    = 27
	descriptor090 = 32
	// Words of a descriptor.
	word090Number = 0
	word090Place  = 3
	word090Is     = 4
)

// Bits of the state of an array and of a member: MD_SB_... and MD_DISK_... of md_p.h.
const (
	state090Clean  = 1 << 0
	state090Bitmap = 1 << 8

	disk090Faulty = 1 << 0
	disk090Sync   = 1 << 2
)

// reserved090 is MD_RESERVED_BYTES.
const reserved090 = 64 << 10

// readSuperblock090 reads version 0.90, in the byte order of the machine that wrote it.
func readSuperblock090(dev io.ReaderAt, size int64) (superblock, error) {
	at := size&^(reserved090-1) - reserved090
	if at < 0 {
		return superblock{}, fmt.Errorf("%w: a member of %d bytes is too small", errNoSuperblock, size)
	}
	b := make([]byte, superblockBytes)
	if _, err := dev.ReadAt(b, at); err != nil {
		return superblock{}, fmt.Errorf("md superblock 0.90 at byte %d: %w", at, err)
	}
	s, bitmap, err := parseSuperblock090(b, at)
	if err == nil {
		err = s.check()
	}
	if err == nil && bitmap {
		err = checkBitmap(dev, at+superblockBytes)
	}
	if err != nil {
		return superblock{}, fmt.Errorf("md superblock 0.90 at byte %d: %w", at, err)
	}
	return s, nil
}

// parseSuperblock090 reads it as super_90_load and super_90_validate do.
func parseSuperblock090(b []byte, at int64) (s superblock, bitmap bool, err error) {
	var order binary.ByteOrder = binary.LittleEndian
	if order.Uint32(b) != mdMagic {
		order = binary.BigEndian
	}
	word := func(i int) uint32 { return order.Uint32(b[4*i:]) }
	member := func(i, w int) uint32 { return word(word090Members + descriptor090*i + w) }
	number := word(word090This + word090Number)
	level := int32(word(word090Level))
	switch {
	case word(word090Magic) != mdMagic:
		return s, false, fmt.Errorf("%w: magic %#08x", errNoSuperblock, binary.LittleEndian.Uint32(b))
	case word(word090Major) != 0 || word(word090Minor) != 90 && word(word090Minor) != 91:
		return s, false, fmt.Errorf("%w: version %d.%d", errNoSuperblock, word(word090Major), word(word090Minor))
	case fold(checksum090(b, order)) != fold(word(word090Sum)):
		return s, false, fmt.Errorf("%w: checksum %#08x; want %#08x", errNoSuperblock, word(word090Sum), checksum090(b, order))
	case word(word090Minor) == 91:
		// super_90_sync writes that for as long as there is a reshape_position.
		return s, false, errors.New("the array is being reshaped")
	case word(word090Disks) > members090 || number >= members090:
		return s, false, fmt.Errorf("%w: %d disks, this one is number %d", errNoSuperblock, word(word090Disks), number)
	case level >= 1 && int64(word(word090Size))<<10 > at:
		return s, false, fmt.Errorf("%w: %d KiB of data where there is room for %d", errNoSuperblock, word(word090Size), at>>10)
	}
	high, low := word(word090Events+1), word(word090Events)
	if order == binary.BigEndian {
		high, low = low, high
	}
	// As mdadm and blkid print it: four words.
	h := fmt.Sprintf("%08x%08x%08x%08x", word(word090UUID0), word(word090UUID1), word(word090UUID1+1), word(word090UUID1+2))
	s = superblock{
		metadata: "0.90", uuid: h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:],
		level: level, layout: word(word090Layout), chunk: word(word090Chunk) >> 9,
		disks: int(word(word090Disks)), events: uint64(high)<<32 | uint64(low),
		clean: word(word090State)&state090Clean != 0, number: int(number), roles: make([]uint16, members090),
	}
	for i := range s.roles {
		place, is := member(i, word090Place), member(i, word090Is)
		switch {
		case is&disk090Faulty != 0:
			s.roles[i] = roleFaulty
		case is&disk090Sync != 0 && place < word(word090Disks):
			s.roles[i] = uint16(place)
		default: // one that is being recovered, too
			s.roles[i] = roleSpare
		}
	}
	return s, word(word090State)&state090Bitmap != 0, nil
}

// checksum090 is calc_sb_csum: the sum of all words without that of the checksum, the carry added to it.
func checksum090(b []byte, order binary.ByteOrder) uint32 {
	sum := uint64(0)
	for i := 0; i < superblockBytes; i += 4 {
		if i != 4*word090Sum {
			sum += uint64(order.Uint32(b[i:]))
		}
	}
	return uint32(sum) + uint32(sum>>32)
}

// fold is md_csum_fold: what the checksums of all architectures have in common.
func fold(sum uint32) uint32 {
	sum = sum&0xffff + sum>>16
	return sum&0xffff + sum>>16
}
