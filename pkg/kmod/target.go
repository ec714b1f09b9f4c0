package kmod

import (
	"fmt"
	"slices"
	"strings"
)

// filesystemExtras are modules that a filesystem asks the kernel for when it
// is mounted. A capture kernel has no modprobe to answer, so they are loaded
// beforehand, where they exist.
func filesystemExtras(fstype string) []string {
	switch fstype {
	case "vfat", "msdos":
		// fs/fat/inode.c loads the tables of its code page and of its I/O character set:
		// CONFIG_FAT_DEFAULT_CODEPAGE is 437, CONFIG_FAT_DEFAULT_IOCHARSET
		// iso8859-1 by default, ascii or utf8 in distributions.
		return []string{"nls_cp437", "nls_ascii", "nls_iso8859_1", "nls_utf8"}
	case "exfat":
		return []string{"nls_utf8"}
	}
	return nil
}

// ModulesForFilesystem returns the names of the modules of this tree that
// mounting a filesystem of the type (as in /proc/filesystems) needs: those
// required, and those that may be needed and are worth trying. Both are empty
// when it is built in.
func (t *Tree) ModulesForFilesystem(fstype string) (required, optional []string, err error) {
	if !validName(fstype) {
		return nil, nil, fmt.Errorf("filesystem %q: not a filesystem type", fstype)
	}
	// fs-TYPE is what the kernel asks for (fs/filesystems.c, get_fs_type).
	// The module usually has the type's name: try that first, so that a tree
	// without modules.alias need not be read whole.
	m, ok := t.byName(fstype)
	if !ok && t.builtinAlias("fs-"+fstype) {
		m, ok = Match{Builtin: true}, true
	}
	if !ok {
		if m, err = t.Lookup("fs-" + fstype); err != nil {
			return nil, nil, fmt.Errorf("filesystem %s: %w", fstype, err)
		}
	}
	if !m.Found() {
		return nil, nil, fmt.Errorf("filesystem %s: %w", fstype, t.unknown(fstype))
	}
	for _, n := range filesystemExtras(fstype) {
		if _, ok := t.files[n]; ok {
			optional = append(optional, n)
		}
	}
	return m.Modules, optional, nil
}

// ModulesFor returns the names of the modules of this tree that answer to a name, as modprobe(8) takes it; none where
// it is built in, and where a tree without modules.builtin does not tell.
func (t *Tree) ModulesFor(name string) ([]string, error) {
	m, err := t.Lookup(name)
	if err == nil && !m.Found() && t.hasBuiltin {
		err = t.unknown(name)
	}
	return m.Modules, err
}

// sets are the modules worth having for a kind of target when the target
// itself can't be looked at: an initramfs for another machine, or for several.
// What a kernel lacks of them, or has built in, is passed over; they are
// loaded as optional, since most of them find no device.
var sets = []struct {
	name    string
	members []string
}{
	// NVMe over PCIe. vmd: Intel's controller in front of the disks.
	{"nvme", []string{"vmd", "nvme"}},
	// virtio: both transports, and its console and block devices.
	{"virtio_blk", []string{"virtio_pci", "virtio_mmio", "virtio_blk"}},
	{"virtio_console", []string{"virtio_pci", "virtio_mmio", "virtio_console"}},
	{"virtio_scsi", []string{"virtio_pci", "virtio_mmio", "virtio_scsi", "sd_mod"}},
	{"virtiofs", []string{"virtio_pci", "virtio_mmio", "virtiofs"}},
	// SCSI disks and what they are usually attached to: SATA, SAS and RAID
	// controllers, and hypervisors' paravirtual ones.
	{"sd", []string{
		"ahci", "ata_piix", "ata_generic", "mpt3sas", "megaraid_sas", "aacraid", "smartpqi", "hpsa",
		"virtio_pci", "virtio_scsi", "vmw_pvscsi", "mptspi", "hv_vmbus", "hv_storvsc", "xen_scsifront", "sd_mod",
	}},
	{"usb", []string{"xhci_pci", "ehci_pci", "usb_storage", "uas", "sd_mod"}},
	{"mmc", []string{"sdhci_pci", "sdhci_acpi", "sdhci_iproc", "mmc_block"}},
	{"ufs", []string{"ufshcd_pci", "ufshcd_pltfrm", "sd_mod"}},
	{"xen", []string{"xen_blkfront"}},
	{"hyperv", []string{"hv_vmbus", "hv_storvsc", "sd_mod"}},
	{"vmware", []string{"vmw_pvscsi", "mptspi", "ahci", "nvme", "sd_mod"}},
	{"ec2", []string{"nvme", "xen_blkfront"}},
}

// SetNames returns the names that Set knows, sorted.
func SetNames() []string {
	var names []string
	for _, s := range sets {
		names = append(names, s.name)
	}
	slices.Sort(names)
	return names
}

// Set returns the modules of this tree that belong to a kind of target, by
// name: nvme, virtio_blk, sd and so on ([SetNames]). Pass them to
// [Tree.Closure] as optional. A set of which the kernel has nothing, neither
// as a module nor built in, is an error.
func (t *Tree) Set(name string) ([]string, error) {
	var members []string
	for _, s := range sets {
		if s.name == NormalizeName(name) {
			members = s.members
		}
	}
	if members == nil {
		return nil, fmt.Errorf("no set of modules is named %q; there are %s", name, strings.Join(SetNames(), ", "))
	}
	var found []string
	any := false
	for _, m := range members {
		if _, ok := t.files[m]; ok {
			found = append(found, m)
			any = true
		}
		any = any || t.builtin[m]
	}
	if !any {
		return nil, fmt.Errorf("set %s: %w in kernel %s: none of %s", name, ErrUnknownModule, t.version, strings.Join(members, ", "))
	}
	return found, nil
}
