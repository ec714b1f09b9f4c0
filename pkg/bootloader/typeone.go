package bootloader

import (
	"regexp"
	"strings"
)

const (
	kernelCmdline = "/etc/kernel/cmdline" // kernel-install(8)
	// generated marks the entries that kernel-install writes (90-loaderentry.install).
	generated = "# Boot Loader Specification type#1 entry"
)

// typeOne is a boot loader that reads boot entries of type 1: systemd-boot, and GRUB with blscfg where grubby is not
// installed. The entries are edited themselves, and what later ones are made of.
var typeOne = row{
	name: "boot entries (systemd-boot)",
	found: func(m *machine) bool {
		return len(m.entries) > 0 && (m.by == bySystemdBoot || m.by == byUnknown && m.grubConfig() == "" || m.by != byStub && m.grubReadsEntries())
	},
	plan: func(m *machine, e *edit) error {
		if m.grubReadsEntries() {
			e.change.Loader = "GRUB, with boot entries"
		}
		return m.editEntries(e)
	},
}

// grubReadsEntries tells whether GRUB shows entries of type 1, by Fedora's command blscfg or its successor.
func (m *machine) grubReadsEntries() bool {
	return blscfg().MatchString(m.text(m.grubConfig()))
}

func blscfg() *regexp.Regexp { return regexp.MustCompile(`(?m)^[ \t]*(blscfg|blsuki)\b`) }

func (m *machine) editEntries(e *edit) error {
	e.manual("each line \"options\" below loader/entries, and to "+kernelCmdline, "")
	made := false
	for _, entry := range m.entries {
		text, err := m.read(entry.path)
		if err != nil {
			return err
		}
		made = made || strings.HasPrefix(text, generated)
		if entry.linux == "" {
			continue // a program, such as a memory test
		}
		e.change.write(entry.path, text, editKeyed(e, entry.path, text, optionsLine(), "options "), true)
	}
	return m.editSources(e, made)
}

// editSources edits what the command lines of kernels to come are made of.
func (m *machine) editSources(e *edit, made bool) error {
	if m.grubReadsEntries() && m.isFile(grubDefaults) {
		if err := m.edited(e, grubDefaults, func(text string) (string, error) { return m.editGRUB(e, text) }); err != nil {
			return err
		}
	}
	if m.isFile(kernelCmdline) || made && m.has("kernel-install") {
		return m.editKernelCmdline(e)
	}
	return nil
}

// editKernelCmdline edits /etc/kernel/cmdline. If it is missing, it gets what kernel-install uses without it: the command
// line of the running kernel, or the one of the distribution.
func (m *machine) editKernelCmdline(e *edit) error {
	if m.isFile(kernelCmdline) {
		return m.edited(e, kernelCmdline, func(text string) (string, error) { return editLines(e, kernelCmdline, text), nil })
	}
	if len(e.remove) > 0 {
		return nil
	}
	base := strings.TrimSpace(m.text("/usr/lib/kernel/cmdline"))
	if base == "" {
		base = without(m.cmdline, func(w string) bool {
			return strings.HasPrefix(w, "BOOT_IMAGE=") || strings.HasPrefix(w, "initrd=") || isReservation(w)
		})
	}
	if base != "" {
		e.change.write(kernelCmdline, "", with(base, e.add)+"\n", false)
	}
	return nil
}

func optionsLine() *regexp.Regexp { return regexp.MustCompile(`(?m)^[ \t]*options(?:[ \t]+|$)`) }
