package blkid

import "fmt"

// probeExt reads struct ext4_super_block (kernel: fs/ext4/ext4.h).
func probeExt(m *medium) (Signature, bool) {
	sb := m.at(0x400, 0x100)
	if sb == nil || string(sb[0x38:0x3a]) != "\x53\xef" {
		return Signature{}, false
	}
	compat, incompat, roCompat := le.Uint32(sb[0x5c:]), le.Uint32(sb[0x60:]), le.Uint32(sb[0x64:])
	s := Signature{Kind: Filesystem, UUID: FormatUUID(sb[0x68:0x78]), Label: label(sb[0x78:0x88]), Mountable: true}
	// What ext3 may have: compression, filetype, recover, meta_bg;
	// sparse_super, large_file, btree_dir.
	const ext3Incompat, ext3RoCompat = 0x1 | 0x2 | 0x4 | 0x10, 0x7
	switch {
	case incompat&0x8 != 0: // an external journal
		return Signature{Kind: Unknown, Type: "jbd", UUID: s.UUID, Label: s.Label}, true
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
func probeXFS(m *medium) (Signature, bool) {
	sb := m.at(0, 0x200)
	if sb == nil || string(sb[:4]) != "XFSB" {
		return Signature{}, false
	}
	return Signature{Kind: Filesystem, Type: "xfs", UUID: FormatUUID(sb[32:48]), Label: label(sb[108:120]), Mountable: true}, true
}

// probeBtrfs reads struct btrfs_super_block (kernel: include/uapi/linux/btrfs_tree.h).
func probeBtrfs(m *medium) (Signature, bool) {
	sb := m.at(0x10000, 0x1000)
	if sb == nil || string(sb[0x40:0x48]) != "_BHRfS_M" {
		return Signature{}, false
	}
	return Signature{Kind: Filesystem, Type: "btrfs", UUID: FormatUUID(sb[0x20:0x30]), Label: label(sb[0x12b:0x22b]), Mountable: true}, true
}

// probeBcachefs reads struct bch_sb (kernel: fs/bcachefs/bcachefs_format.h).
func probeBcachefs(m *medium) (Signature, bool) {
	const magic = "\xc6\x85\x73\xf6\x66\xce\x90\xa9\xd9\x6a\x60\xcf\x80\x3d\xf7\xef"
	sb := m.at(0x1000, 0x100)
	if sb == nil || string(sb[24:40]) != magic {
		return Signature{}, false
	}
	return Signature{Kind: Filesystem, Type: "bcachefs", UUID: FormatUUID(sb[56:72]), Label: label(sb[72:104]), Mountable: true}, true
}

// probeF2FS reads struct f2fs_super_block (kernel: include/linux/f2fs_fs.h), or
// the second one.
func probeF2FS(m *medium) (Signature, bool) {
	for _, offset := range []int64{0x400, 0x1400} {
		if sb := m.at(offset, 0x480); sb != nil && string(sb[:4]) == "\x10\x20\xf5\xf2" {
			return Signature{Kind: Filesystem, Type: "f2fs", UUID: FormatUUID(sb[0x6c:0x7c]), Label: utf16String(sb[0x7c:0x47c], le), Mountable: true}, true
		}
	}
	return Signature{}, false
}

// probeNILFS2 reads struct nilfs_super_block (kernel: include/uapi/linux/nilfs2_ondisk.h).
func probeNILFS2(m *medium) (Signature, bool) {
	sb := m.at(0x400, 0x200)
	// The magic is short; the first field is the revision, 2, since ever.
	if sb == nil || string(sb[6:8]) != "\x34\x34" || le.Uint32(sb) == 0 || le.Uint32(sb) > 64 || isExt(m) {
		return Signature{}, false
	}
	return Signature{Kind: Filesystem, Type: "nilfs2", UUID: FormatUUID(sb[152:168]), Label: label(sb[168:248]), Mountable: true}, true
}

// probeJFS reads struct jfs_superblock (kernel: fs/jfs/jfs_superblock.h).
func probeJFS(m *medium) (Signature, bool) {
	sb := m.at(0x8000, 0x100)
	if sb == nil || string(sb[:4]) != "JFS1" {
		return Signature{}, false
	}
	return Signature{Kind: Filesystem, Type: "jfs", UUID: FormatUUID(sb[136:152]), Label: label(sb[152:168]), Mountable: true}, true
}

// probeReiser reads struct reiserfs_super_block (kernel before 6.13:
// fs/reiserfs/reiserfs.h). Version 3.5 has neither UUID nor label.
func probeReiser(m *medium) (Signature, bool) {
	for _, offset := range []int64{0x10000, 0x2000} {
		sb := m.at(offset, 0x100)
		if sb == nil {
			continue
		}
		s := Signature{Kind: Filesystem, Type: "reiserfs", Mountable: true}
		switch {
		case string(sb[:7]) == "ReIsEr4":
			return Signature{Kind: Filesystem, Type: "reiser4", UUID: FormatUUID(sb[20:36]), Label: label(sb[36:52])}, true
		case string(sb[0x34:0x3d]) == "ReIsEr2Fs", string(sb[0x34:0x3d]) == "ReIsEr3Fs":
			s.UUID, s.Label = FormatUUID(sb[0x54:0x64]), label(sb[0x64:0x74])
			return s, true
		case string(sb[0x34:0x3c]) == "ReIsErFs":
			return s, true
		}
	}
	return Signature{}, false
}

// probeOCFS2 reads struct ocfs2_super_block (kernel: fs/ocfs2/ocfs2_fs.h), in the
// third block of 512 to 4096 bytes. Other machines may have it mounted.
func probeOCFS2(m *medium) (Signature, bool) {
	for block := int64(512); block <= 4096; block *= 2 {
		if sb := m.at(2*block, 0x180); sb != nil && string(sb[:6]) == "OCFSV2" {
			return Signature{Kind: Filesystem, Type: "ocfs2", UUID: FormatUUID(sb[336:352]), Label: label(sb[272:336])}, true
		}
	}
	return Signature{}, false
}

// probeGFS2 reads struct gfs2_sb (kernel: include/uapi/linux/gfs2_ondisk.h). Other
// machines may have it mounted.
func probeGFS2(m *medium) (Signature, bool) {
	sb := m.at(0x10000, 0x120)
	if sb == nil || string(sb[:4]) != "\x01\x16\x19\x70" {
		return Signature{}, false
	}
	s := Signature{Kind: Filesystem, Type: "gfs2", UUID: FormatUUID(sb[256:272]), Label: label(sb[160:224])}
	if be.Uint32(sb[24:]) < 1800 {
		s.Type = "gfs"
	}
	return s, true
}

// probeEROFS reads struct erofs_super_block (kernel: fs/erofs/erofs_fs.h).
func probeEROFS(m *medium) (Signature, bool) {
	sb := m.at(0x400, 0x80)
	if sb == nil || string(sb[:4]) != "\xe2\xe1\xf5\xe0" {
		return Signature{}, false
	}
	return Signature{Kind: Filesystem, Type: "erofs", UUID: FormatUUID(sb[48:64]), Label: label(sb[64:80])}, true
}

// probeMinix reads struct minix_super_block and minix3_super_block (kernel:
// include/uapi/linux/minix_fs.h). Its magic is short: two letters in some versions;
// s_log_zone_size is 0 in all that were ever made.
func probeMinix(m *medium) (Signature, bool) {
	sb := m.at(0x400, 0x20)
	if sb == nil || isExt(m) || m.has(0x400, "\xe2\xe1\xf5\xe0") {
		return Signature{}, false
	}
	found := false
	switch string(sb[0x10:0x12]) {
	case "\x7f\x13", "\x8f\x13", "\x68\x24", "\x78\x24", "\x13\x7f", "\x13\x8f", "\x24\x68", "\x24\x78":
		found = le.Uint16(sb[0x0a:]) == 0
	}
	if version3 := string(sb[0x18:0x1a]); version3 == "\x5a\x4d" || version3 == "\x4d\x5a" {
		found = found || le.Uint16(sb[0x0c:]) == 0
	}
	return Signature{Kind: Filesystem, Type: "minix"}, found
}

func isExt(m *medium) bool { return m.has(0x438, "\x53\xef") }

// probeISO9660 reads the first primary volume descriptor (ECMA-119, 8.4), for which blkid
// makes a UUID of the date of the last change, or of the making.
func probeISO9660(m *medium) (Signature, bool) {
	for sector := int64(16); sector < 32; sector++ {
		d := m.at(2048*sector, 2048)
		if d == nil || string(d[1:6]) != "CD001" || d[0] == 255 {
			break
		}
		if d[0] != 1 {
			continue
		}
		s := Signature{Kind: Filesystem, Type: "iso9660", Label: label(d[40:72])}
		for _, at := range []int{830, 813} {
			if t := d[at : at+16]; s.UUID == "" && isDigits(t) && string(t) != "0000000000000000" {
				s.UUID = fmt.Sprintf("%s-%s-%s-%s-%s-%s-%s", t[:4], t[4:6], t[6:8], t[8:10], t[10:12], t[12:14], t[14:16])
			}
		}
		return s, true
	}
	return Signature{}, false
}

func isDigits(b []byte) bool {
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// probeSwap reads union swap_header (kernel: include/linux/swap.h); its place
// depends on the page size of the machine that made it. A hibernated system
// puts its own magic in the place of swap's.
func probeSwap(m *medium) (Signature, bool) {
	for page := int64(4096); page <= 65536; page *= 2 {
		magic := string(m.at(page-10, 10))
		switch {
		case magic == "SWAPSPACE2":
			h := m.at(0x400, 0x40)
			return Signature{Kind: Swap, Type: "swap", UUID: FormatUUID(h[0xc:0x1c]), Label: label(h[0x1c:0x2c])}, true
		case magic == "SWAP-SPACE":
			return Signature{Kind: Swap, Type: "swap"}, true
		case len(magic) == 10 && (magic[:9] == "S1SUSPEND" || magic[:9] == "S2SUSPEND" || magic[:9] == "ULSUSPEND" || magic == "LINHIB0001"):
			return Signature{Kind: Unknown, Type: "swsuspend"}, true
		}
	}
	return Signature{}, false
}
