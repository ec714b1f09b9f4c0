package blkid

import (
	"bytes"
	"strings"
)

// probeDRBD finds internal metadata (drbd_meta.c: struct md_on_disk_08,
// meta_data_on_disk_9), of version 8, of 8.4 in use, and of 9: in the last
// whole block of 4 KiB.
func probeDRBD(m *medium) (Signature, bool) {
	for _, offset := range []int64{m.size&^4095 - 4096, m.size - 4096} {
		b := m.at(offset, 512)
		if offset < 0 || b == nil {
			continue
		}
		switch be.Uint32(b[60:]) {
		case 0x8374026b, 0x8374026c, 0x8374026d:
			if !m.table.covers(offset, 4096) {
				return Signature{Kind: Member, Type: "drbd"}, true
			}
		}
	}
	return Signature{}, false
}

// probeLVM finds the label of a physical volume (lvm2: lib/label/label.h) in one
// of the first four sectors, and that of LVM 1.
func probeLVM(m *medium) (Signature, bool) {
	for sector := range int64(4) {
		if b := m.at(512*sector, 64); b != nil && string(b[24:32]) == "LVM2 001" {
			return Signature{Kind: Member, Type: "LVM2_member", UUID: lvmUUID(b[32:64])}, true
		}
	}
	if m.has(0, "HM\x01\x00") || m.has(0, "HM\x02\x00") {
		return Signature{Kind: Member, Type: "LVM1_member"}, true
	}
	return Signature{}, false
}

// lvmUUID groups the 32 characters as LVM prints them: 6-4-4-4-4-4-6.
func lvmUUID(b []byte) string {
	var groups []string
	for _, n := range []int{6, 4, 4, 4, 4, 4, 6} {
		groups, b = append(groups, cString(b[:n])), b[n:]
	}
	return strings.Trim(strings.Join(groups, "-"), "-")
}

// probeLUKS reads the first header (cryptsetup: docs/on-disk-format*.pdf), whose
// UUID is text at the same place in both versions.
func probeLUKS(m *medium) (Signature, bool) {
	b := m.at(0, 512)
	if b == nil || string(b[:6]) != "LUKS\xba\xbe" {
		return Signature{}, false
	}
	s := Signature{Kind: Member, Type: "crypto_LUKS", UUID: cString(b[168:208])}
	if be.Uint16(b[6:]) == 2 {
		s.Label = label(b[24:72])
	}
	return s, true
}

// probeLUKSCopy finds LUKS2's second header if the first one is lost. A filesystem that
// was created later may leave it there, so it counts only if nothing else is found.
func probeLUKSCopy(m *medium) (Signature, bool) {
	for offset := int64(0x4000); offset <= 0x400000; offset *= 2 {
		if m.has(offset, "SKUL\xba\xbe") {
			return Signature{Kind: Member, Type: "crypto_LUKS"}, true
		}
	}
	return Signature{}, false
}

// probeZFS looks at the four labels of a vdev (openzfs: include/sys/vdev_impl.h):
// 256 KiB each, two at the beginning, two at the end. Each has a list of names
// and values, XDR-encoded, at 16 KiB, and a ring of uberblocks at 128 KiB.
func probeZFS(m *medium) (Signature, bool) {
	const labelSize, ring = 256 << 10, 128 << 10
	end := m.size &^ (labelSize - 1)
	for _, offset := range []int64{0, labelSize, end - 2*labelSize, end - labelSize} {
		if offset < 0 || m.table.covers(offset, labelSize) {
			continue
		}
		list := m.at(offset+16<<10, 4096)
		found := list != nil && list[0] == 1 && list[1] <= 1 && bytes.Contains(list, []byte("pool_guid"))
		for _, magic := range []string{"\x0c\xb1\xba\x00\x00\x00\x00\x00", "\x00\x00\x00\x00\x00\xba\xb1\x0c"} {
			found = found || m.has(offset+ring, magic)
		}
		if found {
			return Signature{Kind: Member, Type: "zfs_member"}, true
		}
	}
	return Signature{}, false
}
