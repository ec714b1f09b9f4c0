package blkid

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"unicode/utf16"

	"github.com/gokexec/gokexec/internal/disktest"
)

// testUUID is disktest.UUID as it is stored.
var testUUID = disktest.UUIDBytes(disktest.UUID)

// plants put the superblock of each type that has a UUID and a label.
var plants = []struct {
	name   string
	kind   Kind
	labels int // bytes at most
	plant  func(b []byte, uuid [16]byte, label string) (wantUUID string)
}{
	{"ext2", Filesystem, 16, plantExt(0, 0, 0)},
	{"ext3", Filesystem, 16, plantExt(4, 2, 1)},
	{"ext4", Filesystem, 16, plantExt(4, 0x42, 1)},
	{"ext4", Filesystem, 16, plantExt(0, 2, 0x400)},
	{"xfs", Filesystem, 12, fields("XFSB", 0, 32, 108, 12)},
	{"btrfs", Filesystem, 255, fields("_BHRfS_M", 0x10040, 0x10020, 0x1012b, 256)},
	{"bcachefs", Filesystem, 32, fields("\xc6\x85\x73\xf6\x66\xce\x90\xa9\xd9\x6a\x60\xcf\x80\x3d\xf7\xef", 0x1018, 0x1038, 0x1048, 32)},
	{"nilfs2", Filesystem, 80, func(b []byte, uuid [16]byte, label string) string {
		clear(b[0x400:0x440])
		b[0x400] = 2
		return fields("\x34\x34", 0x406, 0x400+152, 0x400+168, 80)(b, uuid, label)
	}},
	{"jfs", Filesystem, 16, fields("JFS1", 0x8000, 0x8000+136, 0x8000+152, 16)},
	{"reiserfs", Filesystem, 16, fields("ReIsEr2Fs", 0x10034, 0x10054, 0x10064, 16)},
	{"ocfs2", Filesystem, 64, fields("OCFSV2", 0x1000, 0x1000+336, 0x1000+272, 64)},
	{"gfs2", Filesystem, 64, func(b []byte, uuid [16]byte, label string) string {
		be.PutUint32(b[0x10018:], 1801)
		return fields("\x01\x16\x19\x70", 0x10000, 0x10100, 0x100a0, 64)(b, uuid, label)
	}},
	{"erofs", Filesystem, 16, fields("\xe2\xe1\xf5\xe0", 0x400, 0x430, 0x440, 16)},
	{"f2fs", Filesystem, 100, func(b []byte, uuid [16]byte, label string) string {
		id := fields("\x10\x20\xf5\xf2", 0x400, 0x46c, 0x47c, 1024)(b, uuid, "")
		for i, u := range utf16.Encode([]rune(label)) {
			le.PutUint16(b[0x47c+2*i:], u)
		}
		return id
	}},
	{"swap", Swap, 16, fields("SWAPSPACE2", 0xff6, 0x40c, 0x41c, 16)},
	{"vfat", Filesystem, 11, plantFAT(0x43, 0x52, "FAT32   ")},
	{"vfat", Filesystem, 11, plantFAT(0x27, 0x36, "FAT16   ")},
}

// unmountable are the filesystems of plants that no dump is saved on.
var unmountable = []string{"swap", "ocfs2", "gfs2", "erofs"}

func fields(magic string, at, uuidAt, labelAt, labels int) func([]byte, [16]byte, string) string {
	return func(b []byte, uuid [16]byte, label string) string {
		copy(b[at:], magic)
		copy(b[uuidAt:], uuid[:])
		copyLabel(b[labelAt:labelAt+labels], label)
		return FormatUUID(uuid[:])
	}
}

func plantExt(compat, incompat, roCompat uint32) func([]byte, [16]byte, string) string {
	return func(b []byte, uuid [16]byte, label string) string {
		sb := b[1024:]
		copy(sb[0x38:], "\x53\xef")
		le.PutUint32(sb[0x5c:], compat)
		le.PutUint32(sb[0x60:], incompat)
		le.PutUint32(sb[0x64:], roCompat)
		copy(sb[0x68:], uuid[:])
		copyLabel(sb[0x78:0x88], label)
		return FormatUUID(uuid[:])
	}
}

func plantFAT(extended, at int, name string) func([]byte, [16]byte, string) string {
	return func(b []byte, uuid [16]byte, label string) string {
		clear(b[:512])
		copy(b[510:], "\x55\xaa")
		copy(b[extended:], uuid[:4])
		copy(b[extended+4:], fmt.Sprintf("%-11s", label))
		copy(b[at:], name)
		return fmt.Sprintf("%02X%02X-%02X%02X", uuid[3], uuid[2], uuid[1], uuid[0])
	}
}

func copyLabel(b []byte, label string) {
	clear(b)
	copy(b, label)
}

// memberPlants put what makes a device a member of something, as the tools do,
// with checksums, and leave everything else.
var memberPlants = []struct {
	name  string
	what  string
	plant func(b []byte)
}{
	{"linux_raid_member", "0.90", func(b []byte) { plantMD090(b, binary.LittleEndian) }},
	{"linux_raid_member", "0.90 big-endian", func(b []byte) { plantMD090(b, binary.BigEndian) }},
	{"linux_raid_member", "1.0", func(b []byte) { plantMD1(b, (len(b)/512-16)&^7) }},
	{"linux_raid_member", "1.1", func(b []byte) { plantMD1(b, 0) }},
	{"linux_raid_member", "1.2", func(b []byte) { plantMD1(b, 8) }},
	{"isw_raid_member", "", func(b []byte) { copy(fromEnd(b, 2), "Intel Raid ISM Cfg Sig. 1.1.00") }},
	{"ddf_raid_member", "", func(b []byte) {
		h := fromEnd(b, 1)
		copy(h, "\xde\x11\xde\x11\xff\xff\xff\xffLinux-MD")
		be.PutUint32(h[4:], crc32.ChecksumIEEE(h[:512]))
	}},
	{"lsi_mega_raid_member", "", func(b []byte) { copy(fromEnd(b, 1), "$XIDE$") }},
	{"nvidia_raid_member", "", func(b []byte) {
		h := fromEnd(b, 2)
		copy(h, "NVIDIA  ")
		h[8] = 30
		var sum uint32
		for i := range 30 {
			sum -= le.Uint32(h[4*i:])
		}
		le.PutUint32(h[12:], sum)
	}},
	{"promise_fasttrack_raid_member", "", func(b []byte) { copy(fromEnd(b, 63), "Promise Technology, Inc.") }},
	{"promise_fasttrack_raid_member", "far", func(b []byte) { copy(fromEnd(b, 3087), "Promise Technology, Inc.") }},
	{"hpt45x_raid_member", "", func(b []byte) { copy(fromEnd(b, 11), "\xf3\x16\x78\x5a") }},
	{"hpt37x_raid_member", "", func(b []byte) { copy(b[4640:], "\xf0\x16\x78\x5a") }},
	{"adaptec_raid_member", "", func(b []byte) {
		copy(fromEnd(b, 1), "\x37\xfc\x4d\x1e")
		copy(fromEnd(b, 1)[256:], "DPTM")
	}},
	{"silicon_medley_raid_member", "", func(b []byte) {
		h := fromEnd(b, 1)
		le.PutUint32(h[0x60:], 0x2f000000)
		le.PutUint16(h[0x13e:], -sum16(h[:0x13e]))
	}},
	{"via_raid_member", "", func(b []byte) { copy(fromEnd(b, 1), "\x55\xaa\x01") }},
	{"jmicron_raid_member", "", func(b []byte) {
		h := fromEnd(b, 1)
		copy(h, "JM\x01\x00")
		le.PutUint16(h[4:], -sum16(h[:126]))
	}},
	{"drbd", "08", func(b []byte) { plantDRBD(b, 0x6b) }},
	{"drbd", "08 in use", func(b []byte) { plantDRBD(b, 0x6c) }},
	{"drbd", "09", func(b []byte) { plantDRBD(b, 0x6d) }},
	{"LVM2_member", "sector 0", func(b []byte) { plantLVM(b, 0) }},
	{"LVM2_member", "sector 1", func(b []byte) { plantLVM(b, 1) }},
	{"LVM2_member", "sector 3", func(b []byte) { plantLVM(b, 3) }},
	{"LVM1_member", "", func(b []byte) { copy(b, "HM\x02\x00") }},
	{"crypto_LUKS", "1", func(b []byte) { copy(b, "LUKS\xba\xbe\x00\x01"); copy(b[168:], disktest.UUID) }},
	{"crypto_LUKS", "2", func(b []byte) { copy(b, "LUKS\xba\xbe\x00\x02"); copy(b[168:], disktest.UUID) }},
	{"zfs_member", "label 0", func(b []byte) { plantZFS(b, 0) }},
	{"zfs_member", "label 3", func(b []byte) { plantZFS(b, len(b)&^0x3ffff-0x40000) }},
	{"zfs_member", "uberblock", func(b []byte) { copy(b[0x20000:], "\x0c\xb1\xba\x00\x00\x00\x00\x00") }},
}

// fromEnd is the n-th last sector of 512 bytes.
func fromEnd(b []byte, n int) []byte {
	at := len(b)&^511 - 512*n
	return b[at : at+512]
}

func plantMD090(b []byte, order binary.ByteOrder) {
	sb := b[len(b)&^0xffff-0x10000:]
	order.PutUint32(sb, 0xa92b4efc)
	order.PutUint32(sb[8:], 90)
	for i, at := range []int{20, 52, 56, 60} {
		order.PutUint32(sb[at:], be.Uint32(testUUID[4*i:]))
	}
	order.PutUint32(sb[32:], uint32(len(b)&^0xffff-0x10000)>>10)
}

func plantMD1(b []byte, sector int) {
	sb := b[512*sector:][:256+2*4]
	le.PutUint32(sb, 0xa92b4efc)
	le.PutUint32(sb[4:], 1)
	copy(sb[16:], testUUID[:])
	copy(sb[32:], "host:0")
	le.PutUint64(sb[144:], uint64(sector))
	le.PutUint32(sb[220:], 4) // max_dev
	var sum uint64
	for ; len(sb) >= 4; sb = sb[4:] {
		sum += uint64(le.Uint32(sb))
	}
	le.PutUint32(b[512*sector+216:], uint32(sum>>32)+uint32(sum))
}

func plantDRBD(b []byte, version byte) {
	md := b[len(b)&^4095-4096:]
	clear(md[:4096])
	copy(md[60:], "\x83\x74\x02")
	md[63] = version
	be.PutUint32(md[80:], 4096)
}

func plantLVM(b []byte, sector int) {
	l := b[512*sector:][:512]
	clear(l)
	copy(l, "LABELONE")
	le.PutUint64(l[8:], uint64(sector))
	le.PutUint32(l[20:], 32)
	copy(l[24:], "LVM2 001")
	copy(l[32:], "abcdefGHIJklmnOPQRstuvWXYZ012345")
	le.PutUint32(l[16:], ^crc32.Update(^uint32(0xf597a6cf), crc32.IEEETable, l[20:]))
}

func plantZFS(b []byte, label int) {
	list := b[label+16<<10:]
	copy(list, "\x01\x01\x00\x00")
	copy(list[64:], "pool_guid")
}
