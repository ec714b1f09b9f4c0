package bootloader

import (
	"io/fs"
	"slices"
	"strings"
)

// What booted a machine.
type booted int

const (
	byUnknown     booted = iota
	byStub               // a UKI
	bySystemdBoot        // an entry of type 1
	byGRUB
)

// machine is what the boot loaders are told apart by.
type machine struct {
	tree
	dirs    []string // of bootDirs
	entries []entry  // of type 1
	cmdline string   // of the running kernel
	by      booted
}

func newMachine(root fs.FS) *machine {
	m := &machine{tree: tree{root}}
	m.dirs = m.bootDirs()
	m.entries = m.tree.entries(m.dirs)
	m.cmdline = strings.TrimSpace(m.text("/proc/cmdline"))
	m.by = m.whatBooted()
	return m
}

// whatBooted asks the variables of the Boot Loader Interface, then what loaders put on the command line.
func (m *machine) whatBooted() booted {
	loader := m.loaderText("LoaderInfo")
	switch {
	case m.loaderText("StubInfo") != "" || m.loaderText("StubImageIdentifier") != "":
		return byStub
	case strings.HasPrefix(loader, "systemd-boot"):
		return bySystemdBoot
	case strings.HasPrefix(loader, "GRUB"):
		return byGRUB
	}
	for word := range strings.FieldsSeq(m.cmdline) {
		if strings.HasPrefix(word, `initrd=\`) {
			return bySystemdBoot
		}
		if image, ok := strings.CutPrefix(word, "BOOT_IMAGE="); ok && (strings.HasPrefix(image, "(") || strings.HasPrefix(image, "/") && m.grubConfig() != "") {
			return byGRUB
		}
	}
	return byUnknown
}

// maybe tells whether the machine was booted by this, as far as is known.
func (m *machine) maybe(by booted) bool { return m.by == by || m.by == byUnknown }

// program finds a program by its name; "" when it is not installed.
func (m *machine) program(name string) string {
	for _, dir := range []string{"/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/sbin", "/usr/local/bin"} {
		if m.isFile(dir + "/" + name) {
			return dir + "/" + name
		}
	}
	return ""
}

// has tells whether a program is installed.
func (m *machine) has(name string) bool { return m.program(name) != "" }

// transactional tells whether the root is a read-only snapshot, and transactional-update (SUSE) makes the next one.
func (m *machine) transactional() bool {
	root, ok := m.mounts().At("/")
	return ok && slices.Contains(strings.Split(root.Options, ","), "ro") && m.has("transactional-update")
}
