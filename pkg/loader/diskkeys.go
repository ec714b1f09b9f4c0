package loader

import (
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"
)

// diskKeys is the folder with the keys of encrypted disks that go into the crash
// memory with the next load (kernel/crash_dump_dm_crypt.c; Linux 6.16).
const diskKeys = "sys/kernel/config/crash_dm_crypt_keys"

// hasDiskKeys tells whether keys are configured.
func hasDiskKeys(root fs.FS) bool {
	r := newReader(root)
	n := r.number(diskKeys + "/count")
	return n != nil && *n > 0
}

// KeepDiskKeys has the next kexec_file_load take the keys of the image that is
// loaded, if there are any: those that a user or a service has put into a keyring for the first load
// time out there, and without them the load fails when the old image is gone
// already. Reload does so itself. What it returns undoes it, so that an explicit load takes new keys.
func (l *Loader) KeepDiskKeys() (undo func()) {
	r := newReader(l.Root)
	if !hasDiskKeys(l.Root) || r.optional(diskKeys+"/reuse") == "1" {
		return func() {}
	}
	err := l.Kernel.ReuseDiskKeys(true)
	switch {
	case errors.Is(err, unix.EINVAL):
		// The image has none. Then they are asked for as at a first load.
		return func() {}
	case err != nil:
		l.report(fmt.Sprintf("the keys for encrypted disks are asked for anew, since those that are loaded can't be kept: %v", err))
		return func() {}
	}
	return func() {
		if err := l.Kernel.ReuseDiskKeys(false); err != nil {
			l.report(fmt.Sprintf("the next load takes the old keys for encrypted disks: %v", err))
		}
	}
}
