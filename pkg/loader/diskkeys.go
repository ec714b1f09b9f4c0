package loader

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/check"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/plan"
)

// reuseName is a file in the state directory that is there while gokexec has told the
// kernel to take the keys of the image that is loaded.
const reuseName = "disk-keys-reused"

// checkDiskKeys looks for the keys that a kexec_file_load will ask the keyrings for
// (crash_load_dm_crypt_keys: request_key of type logon). The kernel does so when it has
// freed the image that is loaded. What can't be looked for is left to the kernel.
func (l *Loader) checkDiskKeys(p *plan.Plan) error {
	if p.Kind != machine.Crash || p.Method != plan.File || !machine.HasDiskKeys(l.Root) || machine.ReusesDiskKeys(l.Root) {
		return nil
	}
	dirs, err := fs.ReadDir(l.Root, machine.DiskKeys)
	if err != nil {
		return nil
	}
	for _, d := range dirs {
		description := machine.ReadText(l.Root, machine.DiskKeys+"/"+d.Name()+"/description")
		if description == "" {
			continue
		}
		if err := l.Kernel.FindDiskKey(description); isNoKey(err) {
			return &advice.Problem{What: fmt.Sprintf("the key %q of an encrypted disk, which is to go with the crash kernel (/%s/%s), is in no keyring of this process: %v",
				description, machine.DiskKeys, d.Name(), err), Hint: "what is loaded stays; " + check.DiskKeyHint, Err: err}
		}
	}
	return nil
}

// isNoKey tells the errors that say that there is no such key, or none that is of
// use (keyctl(2), KEYCTL_SEARCH), from those by which nothing was looked for.
func isNoKey(err error) bool {
	for _, errno := range []unix.Errno{unix.ENOKEY, unix.EKEYEXPIRED, unix.EKEYREVOKED, unix.EKEYREJECTED, unix.EACCES} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

// KeepDiskKeys has the next kexec_file_load take the keys of the image that is
// loaded, if there are any: those that a user or a service has put into a keyring for the first load
// time out there, and without them the load fails when the old image is gone
// already. Reload does so itself. What it returns undoes it, so that an explicit load takes new keys.
func (l *Loader) KeepDiskKeys() (undo func()) {
	if !machine.HasDiskKeys(l.Root) {
		return func() {}
	}
	if machine.ReusesDiskKeys(l.Root) {
		if l.reuseIsOurs() {
			return l.dropReuse // of a process that was killed
		}
		return func() {}
	}
	noted := l.noteReuse()
	err := l.Kernel.ReuseDiskKeys(true)
	if err == nil {
		l.warn(noted)
		return l.dropReuse
	}
	l.forgetReuse()
	if !errors.Is(err, unix.EINVAL) { // else the image has none, and they are asked for as at a first load
		l.report(fmt.Sprintf("the keys for encrypted disks are asked for anew, since those that are loaded can't be kept: %v", err))
	}
	return func() {}
}

// dropReuse has the next load take new keys.
func (l *Loader) dropReuse() {
	if err := l.Kernel.ReuseDiskKeys(false); err != nil {
		l.report(fmt.Sprintf("the next load takes the old keys for encrypted disks: %v", err))
		return
	}
	l.forgetReuse()
}

// dropStaleReuse undoes KeepDiskKeys for a process that was killed before it could.
// The caller has the reload lock, so that process is dead.
func (l *Loader) dropStaleReuse() {
	if !l.reuseIsOurs() {
		return
	}
	if !machine.ReusesDiskKeys(l.Root) {
		l.forgetReuse()
		return
	}
	l.report("a reload was killed that kept the keys for encrypted disks; this load takes new ones")
	l.dropReuse()
}

func (l *Loader) noteReuse() error {
	if l.StateDir == "" {
		return nil
	}
	err := os.MkdirAll(l.StateDir, 0o700)
	if err == nil {
		err = os.WriteFile(filepath.Join(l.StateDir, reuseName), nil, 0o600)
	}
	return err
}

func (l *Loader) reuseIsOurs() bool {
	if l.StateDir == "" {
		return false
	}
	_, err := os.Lstat(filepath.Join(l.StateDir, reuseName))
	return err == nil
}

func (l *Loader) forgetReuse() {
	if l.StateDir == "" {
		return
	}
	if err := os.Remove(filepath.Join(l.StateDir, reuseName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		l.warn(err)
	}
}
