package blkid

import (
	"bytes"
	"fmt"
)

// mdMagic is MD_SB_MAGIC of include/uapi/linux/raid/md_p.h, little-endian and
// big-endian.
const mdMagic, mdMagicBE = "\xfc\x4e\x2b\xa9", "\xa9\x2b\x4e\xfc"

// mdReserved is MD_RESERVED_BYTES: where a superblock of version 0.90 lies in,
// at the end of the device.
const mdReserved = 64 << 10

func probeMD(m *medium) (Signature, bool) {
	if s, ok := probeMD090(m); ok {
		return s, true
	}
	// super_1_load of drivers/md/md.c: versions 1.0, 1.1 and 1.2.
	for _, offset := range []int64{(m.size/512 - 16) &^ 7 * 512, 0, 0x1000} {
		sb := m.at(offset, 256)
		if offset < 0 || sb == nil || string(sb[:4]) != mdMagic {
			continue
		}
		// A superblock knows where it lies in sectors of its own device: one in the last
		// partition, which ends where the disk ends, isn't the disk's. A damaged
		// one still counts.
		if at := le.Uint64(sb[144:]); at != 0 && at != uint64(offset)/512 {
			continue
		}
		return Signature{Kind: Member, Type: "linux_raid_member", UUID: FormatUUID(sb[16:32]), Label: label(sb[32:64])}, true
	}
	return Signature{}, false
}

// probeMD090 reads mdp_super_t (include/uapi/linux/raid/md_p.h), which has the
// byte order of the machine that made it. It doesn't know where it lies: one
// that a partition holds whole is that partition's.
func probeMD090(m *medium) (Signature, bool) {
	offset := m.size&^(mdReserved-1) - mdReserved
	sb := m.at(offset, 64)
	if offset < 0 || sb == nil {
		return Signature{}, false
	}
	word := le.Uint32
	switch string(sb[:4]) {
	case mdMagic:
	case mdMagicBE:
		word = be.Uint32
	default:
		return Signature{}, false
	}
	used := int64(word(sb[32:])) << 10
	if used > offset || m.table.covers(offset-used, used+4096) {
		return Signature{}, false
	}
	// As mdadm and blkid print it: four words.
	id := fmt.Sprintf("%08x%08x%08x%08x", word(sb[20:]), word(sb[52:]), word(sb[56:]), word(sb[60:]))
	return Signature{Kind: Member, Type: "linux_raid_member",
		UUID: id[:8] + "-" + id[8:12] + "-" + id[12:16] + "-" + id[16:20] + "-" + id[20:]}, true
}

// firmwareRAIDs are formats that BIOSes and controllers write, at the end of a
// disk: in sectors of 512 bytes from there (dmraid's lib/format/ataraid and libblkid have the
// same positions). md assembles the first two.
var firmwareRAIDs = []struct {
	name    string
	sectors []int64 // from the end; the signature begins there
	magic   string
	valid   func(sector []byte) bool // nil: the magic is enough
}{
	// Intel counts in sectors of the disk's own size: the last but one.
	{"isw_raid_member", []int64{2, 16}, "Intel Raid ISM Cfg Sig. ", nil},
	// SNIA DDF 1.2, 5.4: the anchor is the last block; a spare one 256 before.
	{"ddf_raid_member", []int64{1, 8, 257}, "\xde\x11\xde\x11", nil},
	{"lsi_mega_raid_member", []int64{1}, "$XIDE$", nil},
	{"nvidia_raid_member", []int64{2}, "NVIDIA  ", nil},
	{"promise_fasttrack_raid_member", []int64{63, 255, 256, 16, 399, 591, 675, 735, 911, 974, 991, 951, 3087}, "Promise Technology, Inc.", nil},
	{"hpt45x_raid_member", []int64{11}, "\xf3\x16\x78\x5a", nil},
	{"hpt45x_raid_member", []int64{11}, "\xfd\x16\x78\x5a", nil},
	{"adaptec_raid_member", []int64{1}, "\x37\xfc\x4d\x1e", func(b []byte) bool { return string(b[256:260]) == "DPTM" }},
	{"silicon_medley_raid_member", []int64{1}, "", validSilicon},
	{"via_raid_member", []int64{1}, "", validVIA},
	{"jmicron_raid_member", []int64{1}, "", validJMicron},
}

func probeFirmwareRAID(m *medium) (Signature, bool) {
	for _, f := range firmwareRAIDs {
		for _, n := range f.sectors {
			offset := m.size&^511 - 512*n
			b := m.at(offset, 512)
			if offset < 0 || !bytes.HasPrefix(b, []byte(f.magic)) || f.valid != nil && !f.valid(b) || m.table.covers(offset, 512) {
				continue
			}
			return Signature{Kind: Member, Type: f.name}, true
		}
	}
	// HighPoint's other one is at the beginning, in the tenth sector.
	for _, magic := range []string{"\xf0\x16\x78\x5a", "\xfd\x16\x78\x5a"} {
		if m.has(9*512+32, magic) && !m.table.covers(9*512, 512) {
			return Signature{Kind: Member, Type: "hpt37x_raid_member"}, true
		}
	}
	return Signature{}, false
}

// validSilicon: a magic of which three bytes are zero needs the checksum, over the
// words before it.
func validSilicon(b []byte) bool {
	const checksum = 0x13e
	if le.Uint32(b[0x60:]) != 0x2f000000 || b[0x116] >= 8 {
		return false
	}
	return sum16(b[:checksum])+le.Uint16(b[checksum:]) == 0
}

// validVIA: a magic of two bytes needs the version and the checksum.
func validVIA(b []byte) bool {
	const length = 50
	var sum byte
	for _, c := range b[:length] {
		sum += c
	}
	return le.Uint16(b) == 0xaa55 && b[2] <= 2 && sum == b[length]
}

// validJMicron: so does this one; the checksum makes the sum 0 or 1.
func validJMicron(b []byte) bool {
	return string(b[:2]) == "JM" && b[0x2e] <= 5 && sum16(b[:126]) <= 1
}

func sum16(b []byte) uint16 {
	var sum uint16
	for ; len(b) >= 2; b = b[2:] {
		sum += le.Uint16(b)
	}
	return sum
}
