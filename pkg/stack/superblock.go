package stack

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/gokexec/gokexec/pkg/blkid"
)

// superblock is what a member of an md array says of the array and of itself. Sources: include/uapi/linux/raid/md_p.h
// and drivers/md/md.c (super_1_load, super_1_validate, super_1_sync, and those of version 0.90).
type superblock struct {
	metadata string // 1.2, 1.1, 1.0, 0.90
	uuid     string // of the array
	member   string // UUID of the member; "" in version 0.90
	level    int32  // -1 linear, 0, 1, 4, 5, 6, 10
	layout   uint32
	chunk    uint32 // sectors
	disks    int    // of a whole array
	events   uint64
	clean    bool // no write was under way, and no resync
	number   int  // of this member
	// roles are what the members are, by their numbers: the place in the array, or roleSpare and so on.
	roles []uint16
	// recovering: this member has a place, but not all of its data yet. The others' superblocks don't say so.
	recovering bool
	// replacement: this member will take the place of another one that has the same.
	replacement bool
}

// Roles that are no place: MD_DISK_ROLE_SPARE and others of md_p.h.
const (
	roleSpare   = 0xffff
	roleFaulty  = 0xfffe
	roleJournal = 0xfffd
)

// Levels of arrays that are assembled. drivers/md/md.h: LEVEL_LINEAR.
const levelLinear = -1

// set is the UUID of the array as [blkid.Signature] has it.
func (s *superblock) set() string { return s.uuid }

// device tells members of an array apart, as [Content] has it: the UUID of the member, of version 0.90 its number.
func (s *superblock) device() string {
	if s.metadata == "0.90" {
		return fmt.Sprint(s.number)
	}
	return s.member
}

// role is what a member is in this one's view.
func (s *superblock) role(number int) uint16 {
	if number < 0 || number >= len(s.roles) {
		return roleSpare
	}
	return s.roles[number]
}

// place is the place in the array of a member, if it has one.
func (s *superblock) place(number int) (int, bool) {
	r := int(s.role(number))
	return r, r < s.disks
}

// holders counts the members that have each place.
func (s *superblock) holders() []int {
	n := make([]int, s.disks)
	for _, r := range s.roles {
		if int(r) < s.disks {
			n[r]++
		}
	}
	return n
}

// errNoSuperblock: there is none that the kernel would take.
var errNoSuperblock = errors.New("no valid md superblock")

// superblockBytes is how much is read: the roles of version 1 end there at the latest, and version 0.90 has as many.
const superblockBytes = 4096

// maxRoles is the kernel's bound of max_dev.
const maxRoles = (superblockBytes - 256) / 2

// readSuperblock reads the superblock of a member with size bytes. An array that cannot be assembled in a capture
// kernel, since it is being reshaped, for example, is an error, too.
func readSuperblock(dev io.ReaderAt, size int64, metadata string) (superblock, error) {
	var at int64
	switch metadata {
	case "0.90":
		return readSuperblock090(dev, size)
	case "1.0":
		at = (size/512 - 16) &^ 7 * 512
	case "1.1":
		at = 0
	case "1.2":
		at = 8 * 512
	default:
		return superblock{}, fmt.Errorf("metadata %q: only 0.90, 1.0, 1.1 and 1.2 are assembled by the kernel alone", metadata)
	}
	if at < 0 || at > size-superblockBytes {
		return superblock{}, fmt.Errorf("%w: a member of %d bytes is too small", errNoSuperblock, size)
	}
	b := make([]byte, superblockBytes)
	if _, err := dev.ReadAt(b, at); err != nil {
		return superblock{}, fmt.Errorf("md superblock %s at byte %d: %w", metadata, at, err)
	}
	s, err := parseSuperblock1(b, at, size, metadata)
	if err == nil {
		err = s.check()
	}
	if err == nil && binary.LittleEndian.Uint32(b[8:])&featureBitmap != 0 {
		err = checkBitmap(dev, at+int64(int32(binary.LittleEndian.Uint32(b[96:])))*512)
	}
	if err != nil {
		return superblock{}, fmt.Errorf("md superblock %s at byte %d: %w", metadata, at, err)
	}
	return s, nil
}

// mdMagic is MD_SB_MAGIC.
const mdMagic = 0xa92b4efc

// maxSector is MaxSector of drivers/md/md.h: for an offset, the end.
const maxSector = 1<<64 - 1

// Features of version 1 (md_p.h: MD_FEATURE_...). Each one that is not here is a kernel's to come.
const (
	featureBitmap        = 1
	featureRecovery      = 2
	featureReshape       = 4
	featureBadBlocks     = 8
	featureReplacement   = 16
	featureBackwards     = 32
	featureNewOffset     = 64
	featureRecoverBitmap = 128
	featureClustered     = 256
	featureJournal       = 512
	featurePPL           = 1024
	featureManyPPLs      = 2048
	featureLayout0       = 4096

	featuresTaken = featureBitmap | featureRecovery | featureBadBlocks | featureReplacement | featureRecoverBitmap | featureLayout0
)

// unproven are features that make an array another kind of thing.
var unproven = [...]struct {
	feature uint32
	why     string
}{
	{featureReshape | featureBackwards | featureNewOffset, "the array is being reshaped"},
	{featureClustered, "the array is shared by a cluster"},
	{featureJournal, "the array has a write journal"},
	{featurePPL | featureManyPPLs, "the array has a partial parity log"},
}

func refuseFeatures(features uint32) error {
	for _, u := range unproven {
		if features&u.feature != 0 {
			return errors.New(u.why)
		}
	}
	if rest := features &^ featuresTaken; rest != 0 {
		return fmt.Errorf("the array has features %#x, which gokexec does not know", rest)
	}
	return nil
}

// parseSuperblock1 reads struct mdp_superblock_1, little-endian, as super_1_load does.
func parseSuperblock1(b []byte, at, size int64, metadata string) (superblock, error) {
	u32, u64 := binary.LittleEndian.Uint32, binary.LittleEndian.Uint64
	count := int64(u32(b[220:]))
	switch {
	case u32(b) != mdMagic:
		return superblock{}, fmt.Errorf("%w: magic %#08x", errNoSuperblock, u32(b))
	case u32(b[4:]) != 1:
		return superblock{}, fmt.Errorf("%w: version %d", errNoSuperblock, u32(b[4:]))
	case count > maxRoles:
		return superblock{}, fmt.Errorf("%w: %d members; want at most %d", errNoSuperblock, count, maxRoles)
	case checksum1(b[:256+2*count]) != u32(b[216:]):
		return superblock{}, fmt.Errorf("%w: checksum %#08x; want %#08x", errNoSuperblock, u32(b[216:]), checksum1(b[:256+2*count]))
	case u64(b[144:]) != uint64(at)/512:
		return superblock{}, fmt.Errorf("%w: it is that of sector %d", errNoSuperblock, u64(b[144:]))
	}
	features := u32(b[8:])
	if err := refuseFeatures(features); err != nil {
		return superblock{}, err
	}
	// Since Linux 6.19 the first word of pad3 is logical_block_size, in bytes.
	block := u32(b[224:])
	for _, pad := range [...][]byte{b[12:16], b[228:256]} {
		for _, c := range pad {
			if c != 0 {
				return superblock{}, fmt.Errorf("%w: something in its padding", errNoSuperblock)
			}
		}
	}
	first, sectors := u64(b[128:]), u64(b[136:])
	room := uint64(at) / 512
	if metadata != "1.0" {
		if first < uint64(at+256+2*count+511)/512 || first > uint64(size)/512 {
			return superblock{}, fmt.Errorf("%w: data from sector %d", errNoSuperblock, first)
		}
		room = uint64(size)/512 - first
	}
	switch {
	case block != 0 && (block < 512 || block > 64<<10 || block&(block-1) != 0):
		return superblock{}, fmt.Errorf("%w: a logical block size of %d", errNoSuperblock, block)
	case sectors < 10 || sectors > room:
		return superblock{}, fmt.Errorf("%w: %d sectors of data where there is room for %d", errNoSuperblock, sectors, room)
	case features&featureLayout0 != 0 && u32(b[72:]) != 0:
		return superblock{}, fmt.Errorf("%w: the layout of a raid0 for level %d", errNoSuperblock, int32(u32(b[72:])))
	case u32(b[92:]) > maxRoles || u32(b[160:]) > maxRoles:
		return superblock{}, fmt.Errorf("%w: %d disks, this one is number %d", errNoSuperblock, u32(b[92:]), u32(b[160:]))
	}
	s := superblock{
		metadata: metadata, uuid: blkid.FormatUUID(b[16:32]), member: blkid.FormatUUID(b[168:184]),
		level: int32(u32(b[72:])), layout: u32(b[76:]), chunk: u32(b[88:]), disks: int(u32(b[92:])),
		events: u64(b[200:]), clean: u64(b[208:]) == maxSector,
		number: int(u32(b[160:])), roles: make([]uint16, count),
		recovering: features&featureRecovery != 0, replacement: features&featureReplacement != 0,
	}
	for i := range s.roles {
		s.roles[i] = binary.LittleEndian.Uint16(b[256+2*i:])
		if s.roles[i] == roleJournal {
			return superblock{}, errors.New("the array has a write journal")
		}
	}
	return s, nil
}

// checksum1 is calc_sb_1_csum: the sum of the words, without that of the checksum, the carry added to it.
func checksum1(b []byte) uint32 {
	sum := uint64(0)
	for i := 0; i < len(b); i += 4 {
		switch {
		case i == 216:
		case len(b)-i == 2:
			sum += uint64(binary.LittleEndian.Uint16(b[i:]))
		default:
			sum += uint64(binary.LittleEndian.Uint32(b[i:]))
		}
	}
	return uint32(sum) + uint32(sum>>32)
}

// check refuses what no version may say.
func (s *superblock) check() error {
	switch {
	case s.uuid == "":
		return fmt.Errorf("%w: it has no UUID", errNoSuperblock)
	case s.disks < 1:
		return fmt.Errorf("%w: %d disks", errNoSuperblock, s.disks)
	}
	switch s.level {
	case levelLinear, 0, 1, 4, 5, 6, 10:
		return nil
	}
	return fmt.Errorf("level %d; want linear, 0, 1, 4, 5, 6 or 10", s.level)
}

// checkBitmap refuses write-intent bitmaps of kinds that no capture kernel was seen with: bitmap_super_t of
// drivers/md/md-bitmap.h, always little-endian. A damaged one is the kernel's to refuse.
func checkBitmap(dev io.ReaderAt, at int64) error {
	const magic, clustered, lockless = 0x6d746962, 5, 6
	b := make([]byte, 72)
	if _, err := dev.ReadAt(b, at); err != nil {
		return fmt.Errorf("write-intent bitmap at byte %d: %w", at, err)
	}
	if binary.LittleEndian.Uint32(b) != magic {
		return nil
	}
	version, nodes := binary.LittleEndian.Uint32(b[4:]), binary.LittleEndian.Uint32(b[68:])
	switch {
	case version == clustered || nodes != 0:
		return errors.New("the array is shared by a cluster")
	case version >= lockless:
		return fmt.Errorf("the write-intent bitmap is of version %d; want 3 or 4", version)
	}
	return nil
}
