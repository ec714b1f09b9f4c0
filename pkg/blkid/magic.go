package blkid

// magics are signatures of which only the type matters. Offsets in bytes from
// the beginning, or from the end if negative; the kernel's or the tool's own
// header is named where it isn't plain.
var magics = []struct {
	kind   Kind
	name   string
	offset int64
	magic  string
}{
	{Member, "bcache", 0x1018, "\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81"},
	{Member, "ceph_bluestore", 0, "bluestore block device"},
	{Member, "vdo", 0, "dmvdo001"},
	{Member, "stratis", 0x204, "!Stra0tis\x86\xff\x02^\x41rh"},
	{Member, "stratis", 0x1204, "!Stra0tis\x86\xff\x02^\x41rh"},
	{Member, "VMFS_volume_member", 1 << 20, "\x0d\xd0\x01\xc0"},
	{Member, "VMFS", 2 << 20, "\x5e\xf1\xab\x2f"},
	{Member, "DM_integrity", 0, "integrt\x00"},
	{Member, "DM_verity_hash", 0, "verity\x00\x00"},
	{Member, "DM_snapshot_cow", 0, "SnAp"},
	{Member, "BitLocker", 0, "\xeb\x52\x90-FVE-FS-"},
	{Member, "BitLocker", 0, "\xeb\x58\x90-FVE-FS-"},
	{Member, "BitLocker", 0x1a8, "\x3b\xd6\x67\x49\x29\x2e\xd8\x4a\x83\x99\xf6\xa3\x39\xe3\xd0\x01"}, // To Go
	{Member, "oracleasm", 0x20, "ORCLDISK"},
	{Member, "mpool", 0, "mpoolDev"},
	{Member, "ubi", 0, "UBI#"},
	{Member, "drbdmanage_control_volume", 0, "$DRBDmgr=q"},
	{Member, "drbdproxy_datalog", 0, "DRBDdlh*"},
	{Filesystem, "iso9660", 0x8001, "CD001"},
	{Filesystem, "udf", 0x8001, "BEA01"},
	{Filesystem, "squashfs", 0, "hsqs"},
	{Filesystem, "squashfs", 0, "sqsh"},
	{Filesystem, "cramfs", 0, "\x45\x3d\xcd\x28"},
	{Filesystem, "cramfs", 0, "\x28\xcd\x3d\x45"},
	{Filesystem, "romfs", 0, "-rom1fs-"},
	{Filesystem, "apfs", 32, "NXSB"},
	{Filesystem, "hfsplus", 0x400, "H+\x00\x04"},
	{Filesystem, "hfsplus", 0x400, "HX\x00\x05"},
	{Filesystem, "ReFS", 3, "ReFS\x00"},
	{Filesystem, "ufs", 8192 + 0x55c, "\x19\x01\x54\x19"},
	{Filesystem, "ufs", 65536 + 0x55c, "\x19\x01\x54\x19"},
	{Filesystem, "vxfs", 0x400, "\xf5\xfc\x01\xa5"},
	{Filesystem, "ubifs", 0, "\x31\x18\x10\x06"},
	{Filesystem, "zonefs", 0, "SFOZ"},
	{Filesystem, "ocfs", 0x2008, "OracleCFS"},
	{PartitionTable, "gpt", 512, "EFI PART"},
	{PartitionTable, "gpt", 4096, "EFI PART"},
	{PartitionTable, "gpt", -512, "EFI PART"},
	{PartitionTable, "gpt", -4096, "EFI PART"},
}

// membership says what a member is a part of, by its type; "" if that is not known.
func membership(typ string) string {
	switch typ {
	case "linux_raid_member":
		return "an md RAID array"
	case "isw_raid_member":
		return "an Intel firmware RAID (IMSM)"
	case "ddf_raid_member":
		return "a DDF RAID"
	case "lsi_mega_raid_member":
		return "an LSI firmware RAID"
	case "nvidia_raid_member":
		return "an NVIDIA firmware RAID"
	case "promise_fasttrack_raid_member":
		return "a Promise firmware RAID"
	case "silicon_medley_raid_member":
		return "a Silicon Image firmware RAID"
	case "via_raid_member":
		return "a VIA firmware RAID"
	case "adaptec_raid_member":
		return "an Adaptec firmware RAID"
	case "hpt37x_raid_member", "hpt45x_raid_member":
		return "a HighPoint firmware RAID"
	case "jmicron_raid_member":
		return "a JMicron firmware RAID"
	case "LVM1_member", "LVM2_member":
		return "an LVM volume group"
	case "crypto_LUKS":
		return "an encrypted volume (LUKS)"
	case "BitLocker":
		return "an encrypted volume (BitLocker)"
	case "bcache":
		return "a bcache"
	case "drbd", "drbdproxy_datalog":
		return "a DRBD mirror"
	case "drbdmanage_control_volume":
		return "a DRBD cluster"
	case "zfs_member":
		return "a ZFS pool"
	case "ceph_bluestore":
		return "a Ceph cluster"
	case "VMFS", "VMFS_volume_member":
		return "a VMware datastore"
	case "vdo":
		return "a VDO volume"
	case "stratis":
		return "a Stratis pool"
	case "mpool":
		return "an mpool"
	case "oracleasm":
		return "an Oracle ASM disk group"
	case "ubi":
		return "a UBI volume"
	case "DM_integrity":
		return "a dm-integrity volume"
	case "DM_verity_hash":
		return "a dm-verity volume"
	case "DM_snapshot_cow":
		return "a device-mapper snapshot"
	}
	return ""
}
