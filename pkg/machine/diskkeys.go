package machine

import "io/fs"

// DiskKeys is the directory with the keys of encrypted disks that go into the crash
// memory with the next load (kernel/crash_dump_dm_crypt.c; Linux 6.16).
const DiskKeys = "sys/kernel/config/crash_dm_crypt_keys"

// HasDiskKeys tells whether keys are configured.
func HasDiskKeys(root fs.FS) bool {
	r := newReader(root)
	n := r.number(DiskKeys + "/count")
	return n != nil && *n > 0
}

// ReusesDiskKeys tells whether the next load takes them from the image that is loaded.
func ReusesDiskKeys(root fs.FS) bool {
	switch newReader(root).optional(DiskKeys + "/reuse") {
	case "1", "y", "Y":
		return true
	}
	return false
}
