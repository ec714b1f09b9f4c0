package capture

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
)

// What Linux 6.16 has in a capture kernel (kernel/crash_dump_dm_crypt.c), and where configfs is mounted.
const (
	configfsPath    = "/sys/kernel/config"
	restoreKeysPath = configfsPath + "/crash_dm_crypt_keys/restore"
)

// RestoreKey has the kernel take over the keys that lie in crash memory: it makes keys of type user of them, in root's user
// keyring. It does so once, however often it is told.
func (s *stackSystem) RestoreKey(description string, size int) error {
	if _, err := s.Stat(restoreKeysPath); errors.Is(err, fs.ErrNotExist) {
		if err := s.Mount("configfs", configfsPath, "configfs", ""); err != nil && !errors.Is(err, syscall.EBUSY) {
			return fmt.Errorf("%w: is this kernel built with CONFIG_CRASH_DM_CRYPT?", err)
		}
	}
	if err := s.Write(restoreKeysPath, "1"); err != nil {
		return fmt.Errorf("restore the keys in crash memory: %w", err)
	}
	got, err := s.UserKey(description)
	if err != nil {
		return fmt.Errorf("it is not among the keys that the crashed kernel left in crash memory: %w", err)
	}
	if got != size {
		return fmt.Errorf("the key that the crashed kernel left in crash memory has %d bytes", got)
	}
	return nil
}
