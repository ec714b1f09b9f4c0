package blkid

import (
	"context"
	"encoding/binary"
	"fmt"
	"io/fs"
)

// BtrfsMember is what the superblock of a btrfs says of the device that it is on
// (struct btrfs_super_block, kernel: include/uapi/linux/btrfs_tree.h).
type BtrfsMember struct {
	FSID    string // the filesystem's UUID
	ID      uint64 // of the device in the filesystem
	Devices uint64 // how many devices the filesystem has
	Seed    bool   // a read-only filesystem, to be a part of others
}

// btrfsOffset is where the first superblock is, in bytes.
const btrfsOffset = 0x10000

func readBtrfs(head []byte) *BtrfsMember {
	if len(head) < btrfsOffset+0x1000 || !hasAt(head, btrfsOffset+0x40, "_BHRfS_M") {
		return nil
	}
	sb := head[btrfsOffset:]
	return &BtrfsMember{
		FSID: FormatUUID(sb[0x20:0x30]), Devices: binary.LittleEndian.Uint64(sb[0x88:]), ID: binary.LittleEndian.Uint64(sb[0xc9:]),
		Seed: binary.LittleEndian.Uint64(sb[0x38:])&(1<<32) != 0, // BTRFS_SUPER_FLAG_SEEDING
	}
}

// needs says what a filesystem has on other devices, which the kernel finds by
// their names or numbers, or is told by a mount option; "" for nothing. btrfs is
// not among them: it knows its devices by what they hold.
func needs(head []byte) string {
	be := binary.BigEndian
	switch {
	case len(head) >= 0x800 && hasAt(head, 0x438, "\x53\xef"):
		if externalJournal(head) {
			return "an external journal"
		}
	case len(head) >= 0x200 && hasAt(head, 0, "XFSB"):
		// sb_logstart, sb_rblocks (fs/xfs/libxfs/xfs_format.h).
		if be.Uint64(head[48:]) == 0 {
			return "an external log"
		}
		if be.Uint64(head[16:]) != 0 {
			return "a realtime device"
		}
	case len(head) >= 0x1000 && hasAt(head, 0x400, "\x10\x20\xf5\xf2"):
		// devs[1].path (struct f2fs_super_block, include/linux/f2fs_fs.h).
		if head[0x400+2201+68] != 0 {
			return "several devices"
		}
	case hasAt(head, 0x1018, "\xc6\x85\x73\xf6\x66\xce\x90\xa9\xd9\x6a\x60\xcf\x80\x3d\xf7\xef"):
		// nr_devices (struct bch_sb, fs/bcachefs/bcachefs_format.h).
		if n := head[0x1000+123]; n > 1 {
			return fmt.Sprintf("%d devices", n)
		}
	}
	return ""
}

// externalJournal tells an ext3 or ext4 whose journal is on another device: s_feature_compat has has_journal,
// and s_journal_inum is 0 (fs/ext4/ext4.h). head begins with the superblock.
func externalJournal(head []byte) bool {
	le := binary.LittleEndian
	return len(head) >= 0x800 && hasAt(head, 0x438, "\x53\xef") && le.Uint32(head[0x45c:])&0x4 != 0 && le.Uint32(head[0x4e0:]) == 0
}

// journalOf is the UUID of that journal: s_journal_uuid.
func journalOf(head []byte) string {
	if !externalJournal(head) {
		return ""
	}
	return FormatUUID(head[0x4d0:0x4e0])
}

// Btrfs looks once at every block device and returns those that are members of a
// btrfs, of whichever one. Devices that can't be read are passed over.
func (f *Finder) Btrfs(ctx context.Context) ([]*Device, error) {
	entries, err := fs.ReadDir(f.Root, "sys/class/block")
	if err != nil {
		return nil, fmt.Errorf("list /sys/class/block: %w", err)
	}
	look := f.look()
	var members []*Device
	for _, e := range entries {
		if look.empty(e.Name()) {
			continue
		}
		d := &Device{Node: node(e.Name())}
		if d.Contents, err = f.Probe(ctx, d.Node); err == nil && d.Contents.Btrfs != nil {
			members = append(members, d)
		}
	}
	return members, nil
}
