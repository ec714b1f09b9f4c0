package capture

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// UserKey searches the session keyring, which is root's where a process has none of its own, and links the user keyring
// (Documentation/security/keys/core.rst).
func (*linuxProcess) UserKey(description string) (int, error) {
	runtime.LockOSThread() // the session keyring is installed for the thread
	defer runtime.UnlockOSThread()
	id, err := unix.KeyctlSearch(unix.KEY_SPEC_SESSION_KEYRING, "user", description, 0)
	if err != nil {
		return 0, err
	}
	// Without room for it the answer is its size.
	return unix.KeyctlInt(unix.KEYCTL_READ, id, 0, 0, 0)
}
