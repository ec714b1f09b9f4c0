package loader

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/check"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/plan"
	"github.com/gokexec/gokexec/pkg/record"
)

// reuseName is a file in the state directory that is there while gokexec has told the
// kernel to take the keys of the image that is loaded.
const reuseName = "disk-keys-reused"

// keysOf gives the keys that a plan needs to be handed over.
type keysOf func(*plan.Plan, *machine.Host) []string

// recordedDiskKeys are the keys of a recorded load, if its initrd is the same; else that is read. changed are the paths of the
// files that are not.
func (l *Loader) recordedDiskKeys(state *record.State, in *plan.Inputs, changed []string) keysOf {
	initrd := in.Spec.Initrd
	if initrd == nil { // that of a UKI
		initrd = in.Spec.Kernel
	}
	known := initrd.Built == "" && !slices.Contains(changed, initrd.Path)
	return func(p *plan.Plan, host *machine.Host) []string {
		if known {
			return state.DiskKeys
		}
		return check.RequiredDiskKeys(in, p, host)
	}
}

// prepareDiskKeys has the kernel know the keys that a plan by kexec_file_load needs, and no others of gokexec's, and looks for
// all keys that the load will ask the keyrings for (crash_load_dm_crypt_keys: request_key of type logon). The kernel does
// that when it has freed the image that is loaded. On an error nothing has changed.
func (l *Loader) prepareDiskKeys(p *plan.Plan) error {
	if p.Kind != machine.Crash {
		return nil
	}
	var wanted []string
	if p.Method == plan.File {
		wanted = p.DiskKeys
	}
	var add []string
	var remove, stay []machine.DiskKey
	configured := machine.ConfiguredDiskKeys(l.Root)
	for _, k := range configured {
		if k.Own && !(slices.Contains(wanted, k.Description) && k.Name == machine.DiskKeyName(k.Description)) {
			remove = append(remove, k)
		} else {
			stay = append(stay, k)
		}
	}
	for _, description := range wanted {
		if !slices.ContainsFunc(stay, func(k machine.DiskKey) bool { return k.Own && k.Description == description }) {
			add = append(add, description)
		}
	}
	changes := len(add)+len(remove) > 0
	reuses := machine.ReusesDiskKeys(l.Root)
	if p.Method == plan.File && (changes || !reuses) {
		if err := l.findDiskKeys(wanted, stay); err != nil {
			return err
		}
	}
	if !changes {
		return nil
	}
	if reuses {
		// The kernel would copy as many keys as are configured now from where it has those of the last load.
		if err := l.Kernel.ReuseDiskKeys(false); err != nil {
			return &advice.Problem{What: fmt.Sprintf("the keys for encrypted disks can't be changed: the next load takes those of an image that is gone: %v", err),
				Hint: "load for the earlier targets once, then again; or reboot", Err: err}
		}
		l.forgetReuse()
	}
	return l.changeDiskKeys(add, remove)
}

// findDiskKeys looks for keys in the keyrings: those of gokexec, and those that others have configured. What can't be looked for is left
// to the kernel.
func (l *Loader) findDiskKeys(own []string, configured []machine.DiskKey) error {
	look := func(description, of string) error {
		err := l.Kernel.FindDiskKey(description)
		if !isNoKey(err) {
			return nil
		}
		return &advice.Problem{What: fmt.Sprintf("the key %q of an encrypted disk, which is to go with the crash kernel%s, is in no keyring of this process: %v", description, of, err),
			Hint: "what is loaded stays; " + check.DiskKeyHint, Err: err}
	}
	for _, description := range own {
		if err := look(description, ""); err != nil {
			return err
		}
	}
	for _, k := range configured {
		if k.Own || k.Description == "" {
			continue
		}
		if err := look(k.Description, fmt.Sprintf(" (/%s/%s)", machine.DiskKeys, k.Name)); err != nil {
			return err
		}
	}
	return nil
}

// noDescription is what the kernel shows of a key that an interrupted program has configured.
const noDescription = "(null)"

// changeDiskKeys configures keys, all or none.
func (l *Loader) changeDiskKeys(add []string, remove []machine.DiskKey) error {
	fail := func(done int, added []string, err error) error {
		for _, description := range added {
			err = errors.Join(err, l.Kernel.RemoveDiskKey(machine.DiskKeyName(description)))
		}
		for _, k := range remove[:done] {
			if k.Description != "" && k.Description != noDescription {
				err = errors.Join(err, l.Kernel.AddDiskKey(k.Name, k.Description))
			}
		}
		return &advice.Problem{What: fmt.Sprintf("the kernel can't be told which keys of encrypted disks go with the crash kernel: %v", err),
			Hint: "what is loaded stays; the kernel must be built with CONFIG_CRASH_DM_CRYPT (Linux 6.16); DiskKeys=memory works with any", Err: err}
	}
	for i, k := range remove {
		if err := l.Kernel.RemoveDiskKey(k.Name); err != nil {
			return fail(i, nil, err)
		}
	}
	for i, description := range add {
		if err := l.Kernel.AddDiskKey(machine.DiskKeyName(description), description); err != nil {
			return fail(len(remove), add[:i], err)
		}
	}
	return nil
}

// removeDiskKeys has the kernel hand over no key of gokexec's any more: it would refuse other programs' loads if one of them is
// in no keyring.
func (l *Loader) removeDiskKeys() {
	for _, k := range machine.ConfiguredDiskKeys(l.Root) {
		if k.Own {
			l.warn(l.Kernel.RemoveDiskKey(k.Name))
		}
	}
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
	count := machine.DiskKeyCount(l.Root)
	if state, err := record.Read(l.StateDir); err == nil && state.KeyCount != count {
		// The kernel would copy count keys out of the image, and there are KeyCount.
		l.report(fmt.Sprintf("the keys for encrypted disks are asked for anew: %d are configured, and %d are loaded", count, state.KeyCount))
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
	if !machine.ReusesDiskKeys(l.Root) { // other keys were loaded
		l.forgetReuse()
		return
	}
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
