package blkid

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
)

// probeSize is how much of the beginning of a device Probe reads, in bytes. It
// covers every signature below that counts from the beginning.
const probeSize = 1 << 20

// Kind says what a signature means to somebody who wants to write.
type Kind string

// The kinds.
const (
	// Blank: every place that was looked at is zero. Only a verdict says so.
	Blank Kind = "blank"
	// Filesystem: it can be mounted.
	Filesystem Kind = "filesystem"
	// Swap: swap space.
	Swap Kind = "swap"
	// Dump: an earlier dump, written by pkg/capture to a raw device.
	Dump Kind = "dump"
	// Member: a part of something else (a RAID, a volume group, an encrypted
	// volume, a mirror over the network, a cache), which alone may write here.
	Member Kind = "member"
	// PartitionTable: the device is a disk with partitions.
	PartitionTable Kind = "partition table"
	// Unknown: something that is none of these.
	Unknown Kind = "unknown"
)

// Signature is one thing that a device's contents say it holds.
type Signature struct {
	Kind Kind
	// Type is the name that mount(8) and blkid(8) use: ext4, xfs, btrfs, vfat,
	// swap, crypto_LUKS, LVM2_member, linux_raid_member, gpt, dos and so on;
	// "dump" is an earlier dump, and "data" stands for unknown contents.
	Type string
	// UUID and Label are spelled as blkid(8) does; "" when there is none or it
	// isn't read.
	UUID, Label string
	// Mountable is true for the filesystems a dump can be saved on.
	Mountable bool
}

// String is the type, and the label if there is one.
func (s Signature) String() string {
	if s.Label != "" {
		return fmt.Sprintf("%s %q", s.Type, s.Label)
	}
	return s.Type
}

// Contents is what a device holds.
type Contents struct {
	// Size of the device in bytes.
	Size int64
	// Signatures are all that were found, in the order of the tables here.
	Signatures []Signature
	// Table is the partition table, nil for none.
	Table *Table
	// Btrfs is what a member of a btrfs says of itself, nil for anything else.
	Btrfs *BtrfsMember
	// Needs says what its filesystem has on other devices and can't be mounted
	// without, such as "an external journal"; "" for nothing.
	Needs string
}

// Verdict is what a device is to be taken for.
type Verdict struct {
	Kind Kind
	// Signature is the one that decided; none for Blank.
	Signature Signature
}

// weight orders the kinds: what a device is to be taken for is the first of
// these that it shows. A member may show a filesystem inside, and a disk with
// a filesystem may have the remains of a partition table.
var weight = []Kind{Member, Filesystem, Swap, Dump, PartitionTable, Unknown}

// Verdict weighs the signatures.
func (c *Contents) Verdict() Verdict {
	for _, kind := range weight {
		for _, s := range c.Signatures {
			if s.Kind == kind {
				return Verdict{kind, s}
			}
		}
	}
	return Verdict{Kind: Blank}
}

// Probe says what a device or image of size bytes holds: every signature found,
// or a single "data", or nothing when the device is blank (its first MiB is zero
// and nothing is known by its end).
func Probe(r io.ReaderAt, size int64) (Contents, error) {
	c := Contents{Size: size}
	head := make([]byte, min(max(size, 0), probeSize))
	n, err := r.ReadAt(head, 0)
	if n < len(head) && !errors.Is(err, io.EOF) {
		return c, fmt.Errorf("read the first %d bytes: %w", len(head), err)
	}
	head = head[:n]
	c.Btrfs, c.Needs = readBtrfs(head), needs(head)
	if c.Table, err = readTable(r, head, int64(n)); err != nil {
		return c, err
	}
	add := func(s Signature) {
		for _, f := range c.Signatures {
			if f.Type == s.Type {
				return
			}
		}
		if s.Kind == "" {
			s.Kind = kindOf(s)
		}
		c.Signatures = append(c.Signatures, s)
	}
	for _, p := range probers {
		if s, ok := p(head); ok {
			add(s)
		}
	}
	for _, m := range magics {
		if hasAt(head, m.offset, m.magic) {
			add(Signature{Type: m.name})
		}
	}
	for _, m := range tailMagics {
		offset := m.offset(size)
		if offset < 0 || offset > size-int64(len(m.magic)) {
			continue
		}
		b := make([]byte, len(m.magic))
		if n, err := r.ReadAt(b, offset); n < len(b) {
			return c, fmt.Errorf("read offset %#x: %w", offset, err)
		}
		if string(b) == m.magic {
			add(Signature{Type: m.name})
		}
	}
	if len(c.Signatures) == 0 && len(bytes.TrimLeft(head, "\x00")) > 0 {
		c.Signatures = append(c.Signatures, Signature{Kind: Unknown, Type: "data"})
	}
	return c, nil
}

func kindOf(s Signature) Kind {
	switch s.Type {
	case "swap":
		return Swap
	case "gpt", "dos":
		return PartitionTable
	case "crypto_LUKS", "LVM2_member", "linux_raid_member", "bcache", "zfs_member", "vdo", "stratis", "dm_integrity", "dm_verity", "ceph_bluestore", "oracleasm", "BitLocker":
		return Member
	case "hibernation", "jbd":
		return Unknown
	}
	return Filesystem
}

func hasAt(b []byte, offset int, magic string) bool {
	return offset+len(magic) <= len(b) && string(b[offset:offset+len(magic)]) == magic
}

// magics are signatures of which only the type matters: whatever has one is
// not to be overwritten. Offsets in bytes from the beginning; the kernel's or
// the tool's own header is named where it isn't plain.
var magics = []struct {
	name   string
	offset int
	magic  string
}{
	{"crypto_LUKS", 0, "LUKS\xba\xbe"},
	{"crypto_LUKS", 0x4000, "SKUL\xba\xbe"}, // LUKS2's second header, by its smallest metadata size
	{"LVM2_member", 0x18, "LVM2 001"},       // label in sector 0 to 3
	{"LVM2_member", 0x218, "LVM2 001"},
	{"LVM2_member", 0x418, "LVM2 001"},
	{"LVM2_member", 0x618, "LVM2 001"},
	{"linux_raid_member", 0, "\xfc\x4e\x2b\xa9"},      // md 1.1 (include/uapi/linux/raid/md_p.h)
	{"linux_raid_member", 0x1000, "\xfc\x4e\x2b\xa9"}, // md 1.2
	{"gpt", 512, "EFI PART"},
	{"gpt", 4096, "EFI PART"},
	{"exfat", 3, "EXFAT   "},
	{"ntfs", 3, "NTFS    "},
	{"BitLocker", 3, "-FVE-FS-"},
	{"f2fs", 0x400, "\x10\x20\xf5\xf2"},
	{"erofs", 0x400, "\xe2\xe1\xf5\xe0"},
	{"nilfs2", 0x406, "\x34\x34"},
	{"squashfs", 0, "hsqs"},
	{"jfs", 0x8000, "JFS1"},
	{"iso9660", 0x8001, "CD001"},
	{"udf", 0x8001, "BEA01"},
	{"reiserfs", 0x10034, "ReIsEr"},
	{"gfs2", 0x10000, "\x01\x16\x19\x70"},
	{"bcache", 0x1018, "\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81"},
	{"bcachefs", 0x1018, "\xc6\x85\x73\xf6\x66\xce\x90\xa9\xd9\x6a\x60\xcf\x80\x3d\xf7\xef"},
	{"zfs_member", 0x20000, "\x0c\xb1\xba\x00\x00\x00\x00\x00"}, // first uberblock of label 0
	{"zfs_member", 0x20000, "\x00\x00\x00\x00\x00\xba\xb1\x0c"},
	{"vdo", 0, "dmvdo001"},
	{"stratis", 0x204, "!Stra0tis"},
	{"dm_integrity", 0, "integrt\x00"},
	{"dm_verity", 0, "verity\x00\x00"},
	{"ceph_bluestore", 0, "bluestore block device"},
	{"oracleasm", 0x20, "ORCLDISK"},
	{"minix", 0x410, "\x7f\x13"},
	{"minix", 0x410, "\x8f\x13"},
	{"hibernation", 0x1000 - 10, "S1SUSPEND"},
	{"hibernation", 0x2000 - 10, "S1SUSPEND"},
	{"hibernation", 0x4000 - 10, "S1SUSPEND"},
	{"hibernation", 0x10000 - 10, "S1SUSPEND"},
}

// tailMagics are signatures that count from the device's end.
var tailMagics = []struct {
	name   string
	offset func(size int64) int64
	magic  string
}{
	{"gpt", func(size int64) int64 { return size - 512 }, "EFI PART"},
	{"gpt", func(size int64) int64 { return size - 4096 }, "EFI PART"},
	// md 0.90: MD_NEW_SIZE_SECTORS of include/uapi/linux/raid/md_p.h, in either byte order.
	{"linux_raid_member", func(size int64) int64 { return size&^0xffff - 0x10000 }, "\xfc\x4e\x2b\xa9"},
	{"linux_raid_member", func(size int64) int64 { return size&^0xffff - 0x10000 }, "\xa9\x2b\x4e\xfc"},
	// md 1.0: super_1_load of drivers/md/md.c.
	{"linux_raid_member", func(size int64) int64 { return (size/512 - 16) &^ 7 * 512 }, "\xfc\x4e\x2b\xa9"},
}

// probers know more than the type.
var probers = []func(head []byte) (Signature, bool){probeDump, probeExt, probeXFS, probeBtrfs, probeFAT, probeSwap, probeDOS}

// probeExt reads struct ext4_super_block (kernel: fs/ext4/ext4.h).
func probeExt(head []byte) (Signature, bool) {
	if len(head) < 0x800 || !hasAt(head, 0x438, "\x53\xef") {
		return Signature{}, false
	}
	sb := head[0x400:]
	compat := binary.LittleEndian.Uint32(sb[0x5c:])
	incompat := binary.LittleEndian.Uint32(sb[0x60:])
	roCompat := binary.LittleEndian.Uint32(sb[0x64:])
	s := Signature{UUID: formatUUID(sb[0x68:0x78]), Label: cString(sb[0x78:0x88]), Mountable: true}
	// What ext3 may have: compression, filetype, recover, meta_bg;
	// sparse_super, large_file, btree_dir.
	const ext3Incompat, ext3RoCompat = 0x1 | 0x2 | 0x4 | 0x10, 0x7
	switch {
	case incompat&0x8 != 0:
		return Signature{Type: "jbd"}, true // an external journal
	case incompat&^ext3Incompat != 0 || roCompat&^ext3RoCompat != 0:
		s.Type = "ext4"
	case compat&0x4 != 0:
		s.Type = "ext3"
	default:
		s.Type = "ext2"
	}
	return s, true
}

// probeXFS reads struct xfs_dsb (kernel: fs/xfs/libxfs/xfs_format.h).
func probeXFS(head []byte) (Signature, bool) {
	if len(head) < 0x200 || !hasAt(head, 0, "XFSB") {
		return Signature{}, false
	}
	return Signature{Type: "xfs", UUID: formatUUID(head[32:48]), Label: cString(head[108:120]), Mountable: true}, true
}

// probeBtrfs reads struct btrfs_super_block (kernel: include/uapi/linux/btrfs_tree.h).
func probeBtrfs(head []byte) (Signature, bool) {
	const base = 0x10000
	if len(head) < base+0x1000 || !hasAt(head, base+0x40, "_BHRfS_M") {
		return Signature{}, false
	}
	sb := head[base:]
	return Signature{Type: "btrfs", UUID: formatUUID(sb[0x20:0x30]), Label: cString(sb[0x12b:0x22b]), Mountable: true}, true
}

// probeFAT reads struct fat_boot_sector (kernel: include/uapi/linux/msdos_fs.h).
// The label is the boot sector's, which mkfs.fat writes along with the root
// directory's.
func probeFAT(head []byte) (Signature, bool) {
	if len(head) < 512 || !hasAt(head, 510, "\x55\xaa") {
		return Signature{}, false
	}
	extended := 0
	switch {
	case hasAt(head, 0x52, "FAT32   "):
		extended = 0x43
	case hasAt(head, 0x36, "FAT12   "), hasAt(head, 0x36, "FAT16   "), hasAt(head, 0x36, "FAT     "):
		extended = 0x27
	default:
		return Signature{}, false
	}
	serial := binary.LittleEndian.Uint32(head[extended:])
	s := Signature{Type: "vfat", UUID: fmt.Sprintf("%04X-%04X", serial>>16, serial&0xffff), Mountable: true}
	if label := strings.TrimRight(cString(head[extended+4:extended+15]), " "); label != "NO NAME" {
		s.Label = label
	}
	return s, true
}

// probeSwap reads union swap_header (kernel: include/linux/swap.h); its place
// depends on the page size of the machine that made it.
func probeSwap(head []byte) (Signature, bool) {
	for page := 4096; page <= 65536; page *= 2 {
		if hasAt(head, page-10, "SWAPSPACE2") {
			return Signature{Type: "swap", UUID: formatUUID(head[0x40c:0x41c]), Label: cString(head[0x41c:0x42c])}, true
		}
		if hasAt(head, page-10, "SWAP-SPACE") {
			return Signature{Type: "swap"}, true
		}
	}
	return Signature{}, false
}

// probeDOS finds an MBR: the boot signature, and four entries of which at least
// one is used and all are plausible (kernel: block/partitions/msdos.c).
func probeDOS(head []byte) (Signature, bool) {
	if len(head) < 512 || !hasAt(head, 510, "\x55\xaa") {
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
	return Signature{Type: "dos"}, used
}

// formatUUID prints 16 bytes as a UUID; all zeros is none.
func formatUUID(b []byte) string {
	if len(bytes.TrimLeft(b[:16], "\x00")) == 0 {
		return ""
	}
	h := hex.EncodeToString(b[:16])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// cString is the text up to the first NUL, with what is not UTF-8 replaced.
func cString(b []byte) string {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	return strings.ToValidUTF8(string(b), "\ufffd")
}
