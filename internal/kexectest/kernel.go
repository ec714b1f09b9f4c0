package kexectest

import (
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/gokexec/gokexec/pkg/kexec"
)

// Image is what a Kernel holds loaded.
type Image struct {
	Kernel, Initrd []byte
	Cmdline        string
	Flags          kexec.FileFlags

	// Of kexec_load.
	Entry     uint64
	Segments  []kexec.Segment
	LoadFlags kexec.LoadFlags
}

// Kernel is the fake. It keeps the loaded files and the limits of its Machine
// up to date.
type Kernel struct {
	*Machine
	Crash, Boot *Image
	Calls       int // system calls so far

	// Busy is how many calls answer EBUSY before one gets through.
	Busy int
	// FailLate are errnos for coming loads, given after the old image is freed;
	// 0 means success.
	FailLate []unix.Errno
	// FailEarly are errnos for coming calls, given before anything happens.
	FailEarly []unix.Errno
	// NoFileLoad makes kexec_file_load ENOSYS.
	NoFileLoad bool
	// HotplugFlag makes it know KEXEC_UPDATE_ELFCOREHDR, as Linux 6.6 does.
	HotplugFlag bool
	Rebooted    bool

	// Loading says that a load is running, so that updates of the header are dropped.
	Loading bool
	// DuringLoad, if set, is called by each crash load when the header is made.
	DuringLoad func()

	// KeysExpired makes a load fail that has to ask a keyring for disk keys.
	KeysExpired bool

	// DiskKeys are the descriptions of the logon keys in this process's keyrings.
	DiskKeys map[string]bool

	// NoDiskKeys makes it a kernel without CONFIG_CRASH_DM_CRYPT.
	NoDiskKeys bool

	keysLoaded int // with the image

	headerAt uint64 // the header that may be updated; 0: none
	loads    int
}

// NewKernel is a kernel on m.
func NewKernel(m *Machine) *Kernel { return &Kernel{Machine: m} }

// ReuseDiskKeys behaves as kernel/crash_dump_dm_crypt.c, config_keys_reuse_store.
func (k *Kernel) ReuseDiskKeys(reuse bool) error {
	if k.Crash == nil || k.keysLoaded == 0 {
		return unix.EINVAL
	}
	if reuse && k.keysLoaded != k.number("sys/kernel/config/crash_dm_crypt_keys/count") {
		k.t.Errorf("reuse %d keys of an image with %d: the kernel would write or read beyond its memory", k.number("sys/kernel/config/crash_dm_crypt_keys/count"), k.keysLoaded)
	}
	value := "0\n"
	if reuse {
		value = "1\n"
	}
	k.Write("sys/kernel/config/crash_dm_crypt_keys/reuse", value)
	return nil
}

// AddDiskKey behaves as config_keys_make_item and config_key_description_store of kernel/crash_dump_dm_crypt.c.
func (k *Kernel) AddDiskKey(name, description string) error {
	if k.NoDiskKeys {
		return &os.PathError{Op: "mkdir", Path: "/sys/kernel/config/crash_dm_crypt_keys/" + name, Err: unix.ENOENT}
	}
	if _, err := os.Stat(filepath.Join(k.Dir, "sys/kernel/config/crash_dm_crypt_keys", name)); err == nil {
		return unix.EEXIST
	}
	k.ConfigureDiskKey(name, description)
	return nil
}

// RemoveDiskKey behaves as config_key_release.
func (k *Kernel) RemoveDiskKey(name string) error {
	const dir = "sys/kernel/config/crash_dm_crypt_keys/"
	if _, err := os.Stat(filepath.Join(k.Dir, dir+name)); err != nil {
		return err
	}
	k.Remove(dir + name)
	k.setNumber(dir+"count", k.number(dir+"count")-1)
	return nil
}

// ConfigureDiskKey makes the next kexec_file_load ask for a key with that description.
func (k *Kernel) ConfigureDiskKey(name, description string) {
	const dir = "sys/kernel/config/crash_dm_crypt_keys/"
	count := 0
	if _, err := os.Stat(filepath.Join(k.Dir, dir, "count")); err == nil {
		count = k.number(dir + "count")
	} else {
		k.Write(dir+"reuse", "0\n")
	}
	k.Write(dir+name+"/description", description+"\n")
	k.setNumber(dir+"count", count+1)
}

// FindDiskKey looks into DiskKeys.
func (k *Kernel) FindDiskKey(description string) error {
	if !k.DiskKeys[description] {
		return unix.ENOKEY
	}
	return nil
}

// KexecFileLoad behaves as kernel/kexec_file.c, SYSCALL_DEFINE5(kexec_file_load).
func (k *Kernel) KexecFileLoad(kernel, initrd *os.File, cmdline string, flags kexec.FileFlags) error {
	return k.fail("kexec_file_load", k.fileLoad(kernel, initrd, cmdline, flags))
}

func (k *Kernel) fileLoad(kernel, initrd *os.File, cmdline string, flags kexec.FileFlags) unix.Errno {
	k.Calls++
	if k.NoFileLoad {
		return unix.ENOSYS
	}
	crash := flags&kexec.FileOnCrash != 0
	if errno := k.permitted(crash); errno != 0 {
		return errno
	}
	if done, errno := k.begin(crash, flags&kexec.FileUnload != 0); done {
		return errno
	}
	image := &Image{Cmdline: cmdline, Flags: flags}
	var errno unix.Errno
	if image.Kernel, errno = readFile(kernel); errno != 0 {
		return errno
	}
	if flags&kexec.FileNoInitramfs == 0 {
		if image.Initrd, errno = readFile(initrd); errno != 0 {
			return errno
		}
	}
	if crash && !k.hasCrashMemory() {
		return unix.EADDRNOTAVAIL
	}
	if crash {
		keys := k.diskKeyCount()
		switch reuse := keys > 0 && k.reusesDiskKeys(); {
		case reuse && keys != k.keysLoaded:
			k.t.Errorf("%d keys are loaded again of %d: the kernel would read beyond its memory", keys, k.keysLoaded)
		case !reuse && keys > 0 && (k.KeysExpired || !k.hasEachDiskKey()):
			return unix.ENOKEY
		}
		k.keysLoaded = keys
	}
	k.set(crash, image)
	return 0
}

// hasEachDiskKey is kernel/crash_dump_dm_crypt.c, build_keys_header.
func (k *Kernel) hasEachDiskKey() bool {
	files, err := filepath.Glob(filepath.Join(k.Dir, "sys/kernel/config/crash_dm_crypt_keys/*/description"))
	if err != nil {
		k.t.Fatal(err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			k.t.Fatal(err)
		}
		if !k.DiskKeys[strings.TrimSpace(string(b))] {
			return false
		}
	}
	return true
}

func (k *Kernel) reusesDiskKeys() bool {
	b, err := os.ReadFile(filepath.Join(k.Dir, "sys/kernel/config/crash_dm_crypt_keys/reuse"))
	return err == nil && strings.TrimSpace(string(b)) == "1"
}

func (k *Kernel) diskKeyCount() int {
	const count = "sys/kernel/config/crash_dm_crypt_keys/count"
	if _, err := os.Stat(filepath.Join(k.Dir, count)); err != nil {
		return 0
	}
	return k.number(count)
}

// Reboot notes that it was called.
func (k *Kernel) Reboot() error {
	if k.Boot == nil {
		return k.fail("reboot", unix.EINVAL)
	}
	k.Rebooted = true
	return nil
}

// permitted is kernel/kexec_core.c, kexec_load_permitted: the limit is counted
// down on every call, whether or not it succeeds.
func (k *Kernel) permitted(crash bool) unix.Errno {
	if len(k.FailEarly) > 0 {
		errno := k.FailEarly[0]
		k.FailEarly = k.FailEarly[1:]
		if errno != 0 {
			return errno
		}
	}
	if k.number("proc/sys/kernel/kexec_load_disabled") != 0 {
		return unix.EPERM
	}
	limit := "proc/sys/kernel/kexec_load_limit_reboot"
	if crash {
		limit = "proc/sys/kernel/kexec_load_limit_panic"
	}
	switch left := k.number(limit); {
	case left == 0:
		return unix.EPERM
	case left > 0:
		k.setNumber(limit, left-1)
	}
	return 0
}

func (k *Kernel) set(crash bool, image *Image) {
	loaded := 0
	if image != nil {
		loaded = 1
	}
	if crash {
		k.Crash = image
		if image != nil {
			k.Loading = true
			k.writeImage(image)
			if k.DuringLoad != nil {
				k.DuringLoad()
			}
			k.Loading = false
		}
		k.setNumber("sys/kernel/kexec_crash_loaded", loaded)
		return
	}
	k.Boot = image
	k.setNumber("sys/kernel/kexec_loaded", loaded)
}

// readFile is fs/kernel_read_file.c: a regular, readable file that nobody has
// open for writing. Here only the handle itself can be looked at.
func readFile(f *os.File) ([]byte, unix.Errno) {
	if f == nil {
		return nil, unix.EBADF
	}
	mode, err := unix.FcntlInt(f.Fd(), unix.F_GETFL, 0)
	if err != nil {
		return nil, unix.EBADF
	}
	if mode&unix.O_ACCMODE != unix.O_RDONLY {
		return nil, unix.ETXTBSY
	}
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Size() == 0 {
		return nil, unix.EINVAL
	}
	b, err := io.ReadAll(io.NewSectionReader(f, 0, info.Size()))
	if err != nil {
		return nil, unix.EIO
	}
	return b, 0
}

func (k *Kernel) fail(call string, errno unix.Errno) error {
	if errno == 0 {
		return nil
	}
	return &kexec.Error{Call: call, Errno: errno}
}

// begin is what both calls do once their arguments are right: it takes the lock,
// unloads, and frees the old crash image before anything is built (kernel/kexec.c,
// do_kexec_load; kernel/kexec_file.c: kimage_free(xchg(&kexec_crash_image, NULL))).
func (k *Kernel) begin(crash, unload bool) (done bool, errno unix.Errno) {
	if k.Busy > 0 {
		k.Busy--
		return true, unix.EBUSY
	}
	if unload {
		k.set(crash, nil)
		return true, 0
	}
	if crash {
		k.set(true, nil)
	}
	if len(k.FailLate) > 0 {
		errno, k.FailLate = k.FailLate[0], k.FailLate[1:]
	}
	return errno != 0, errno
}
