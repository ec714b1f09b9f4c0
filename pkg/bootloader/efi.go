package bootloader

import (
	"encoding/binary"
	"path"
	"slices"
	"strings"
	"unicode/utf16"

	"github.com/gokexec/gokexec/internal/sysfs"
	"github.com/gokexec/gokexec/pkg/storage"
)

const (
	efivars = "/sys/firmware/efi/efivars"
	// loaderGUID is the vendor of the variables that boot loaders set for the system (Boot Loader
	// Interface, systemd.io/BOOT_LOADER_INTERFACE).
	loaderGUID = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
	// globalGUID is the vendor of the variables of the UEFI specification (EFI_GLOBAL_VARIABLE).
	globalGUID = "8be4df61-93ca-11d2-aa0d-00e098032b8c"

	maxVariable = 64 << 10 // bytes
	// attributes is the length of what efivarfs puts before a value (Documentation/filesystems/efivarfs.rst).
	attributes = 4
)

// variable reads an EFI variable, without its attributes; nil when there is none.
func (t tree) variable(name, vendor string) []byte {
	b, err := sysfs.ReadFile(t.root, inside(path.Join(efivars, name+"-"+vendor)), maxVariable)
	if err != nil || len(b) < attributes {
		return nil
	}
	return b[attributes:]
}

// loaderText reads a variable of the boot loader, which is UTF-16 and ends with a NUL; "" when there is none.
func (t tree) loaderText(name string) string {
	b := t.variable(name, loaderGUID)
	var units []uint16
	for ; len(b) >= 2; b = b[2:] {
		u := binary.LittleEndian.Uint16(b)
		if u == 0 {
			break
		}
		units = append(units, u)
	}
	return string(utf16.Decode(units))
}

// secureBoot tells whether the firmware verifies what it starts.
func (t tree) secureBoot() bool {
	b := t.variable("SecureBoot", globalGUID)
	return len(b) == 1 && b[0] == 1
}

// mounts are this machine's; none when they can't be read.
func (t tree) mounts() storage.Mounts {
	f, err := t.root.Open("proc/self/mountinfo")
	if err != nil {
		return nil
	}
	defer f.Close()
	mounts, err := storage.ParseMountinfo(f)
	if err != nil {
		return nil
	}
	return mounts
}

// partition is the mount point of the partition with a GPT identity, "" when it is not mounted.
func (t tree) partition(uuid string, mounts storage.Mounts) string {
	if uuid == "" {
		return ""
	}
	device := path.Base(t.real("/dev/disk/by-partuuid/" + strings.ToLower(uuid)))
	if device == "." {
		return ""
	}
	number, _ := sysfs.ReadString(t.root, inside("/sys/class/block/"+device+"/dev"))
	for _, m := range mounts {
		if m.Root == "/" && (m.Dev == number || path.Base(m.Source) == device) {
			return m.Point
		}
	}
	return ""
}

// bootDirs are the directories that the partitions a boot loader reads are mounted on, the most likely first: the
// one that the firmware or the loader names, those by the Discoverable Partitions Specification and by habit, and
// every other FAT.
func (t tree) bootDirs() []string {
	mounts := t.mounts()
	var dirs []string
	add := func(dir string) {
		if dir != "" && !slices.Contains(dirs, dir) && t.isDir(dir) {
			dirs = append(dirs, dir)
		}
	}
	for _, name := range []string{"StubDevicePartUUID", "LoaderDevicePartUUID"} {
		add(t.partition(t.loaderText(name), mounts))
	}
	for _, dir := range []string{"/boot", "/efi", "/boot/efi", "/boot/firmware"} {
		add(dir)
	}
	for _, m := range mounts {
		if m.FSType == "vfat" {
			add(m.Point)
		}
	}
	return dirs
}
