// Package keyring finds keys in the keyrings that root's processes have (keyrings(7)).
package keyring

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// WithUser makes a call with the user's keyring among those that the kernel looks for a key in, and of whose keys a thread
// can read each by its number: a service has a session keyring of its own, with no link to it (systemd.exec(5),
// KeyringMode=). The link is of the thread's keyring, which ends with the thread. If it can't be made the call finds what it
// finds.
func WithUser(call func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	_, _ = unix.KeyctlInt(unix.KEYCTL_LINK, unix.KEY_SPEC_USER_KEYRING, unix.KEY_SPEC_THREAD_KEYRING, 0, 0)
	return call()
}

// Find returns the number of the key that the kernel's request_key finds in a call by WithUser: that of the user's keyring, else
// that of the session's (security/keys/process_keys.c, search_cred_keyrings_rcu). The error is that of the user's keyring
// (keyctl(2), KEYCTL_SEARCH): ENOKEY if neither has one.
func Find(kind, description string) (id int, err error) {
	id, err = unix.KeyctlSearch(unix.KEY_SPEC_USER_KEYRING, kind, description, 0)
	if err == nil {
		return id, nil
	}
	id, other := unix.KeyctlSearch(unix.KEY_SPEC_SESSION_KEYRING, kind, description, 0)
	if other == nil {
		return id, nil
	}
	return 0, err
}
