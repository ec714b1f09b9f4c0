package machine

import (
	"io/fs"
	"strings"
)

// DiskKeys is the directory with the keys of encrypted disks that go into the crash
// memory with the next load (kernel/crash_dump_dm_crypt.c; Linux 6.16).
const DiskKeys = "sys/kernel/config/crash_dm_crypt_keys"

// ownDiskKey begins the name of a key that gokexec has configured.
const ownDiskKey = "gokexec-"

// DiskKeyName is the name in DiskKeys of a key that gokexec configures, by the key's description.
func DiskKeyName(description string) string {
	return ownDiskKey + strings.ReplaceAll(description, "/", "!")
}

// DiskKey is a key that is configured.
type DiskKey struct {
	Name        string
	Description string // "" if it has none yet: then no load succeeds
	Own         bool   // gokexec has configured it
}

// ConfiguredDiskKeys lists the keys that are configured; none where the kernel has no such directory.
func ConfiguredDiskKeys(root fs.FS) []DiskKey {
	dirs, err := fs.ReadDir(root, DiskKeys)
	if err != nil {
		return nil
	}
	var keys []DiskKey
	for _, d := range dirs {
		if d.IsDir() {
			keys = append(keys, DiskKey{Name: d.Name(), Description: ReadText(root, DiskKeys+"/"+d.Name()+"/description"),
				Own: strings.HasPrefix(d.Name(), ownDiskKey)})
		}
	}
	return keys
}

// HasDiskKeys tells whether keys are configured.
func HasDiskKeys(root fs.FS) bool { return DiskKeyCount(root) > 0 }

// DiskKeyCount is how many keys are configured, as the kernel counts them.
func DiskKeyCount(root fs.FS) int {
	n := newReader(root).number(DiskKeys + "/count")
	if n == nil {
		return 0
	}
	return int(*n)
}

// ReusesDiskKeys tells whether the next load takes them from the image that is loaded.
func ReusesDiskKeys(root fs.FS) bool {
	switch newReader(root).optional(DiskKeys + "/reuse") {
	case "1", "y", "Y":
		return true
	}
	return false
}
