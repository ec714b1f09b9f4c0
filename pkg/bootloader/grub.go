package bootloader

import (
	"path"
	"regexp"
	"slices"
	"strings"
)

const (
	grubDefaults = "/etc/default/grub"
	grubDropins  = "/etc/default/grub.d"
	// grubOwn comes after the drop-ins of packages: kdump-tools.cfg has a crashkernel= too, and of two the kernel takes
	// the last (kernel/crash_reserve.c, get_last_crashkernel).
	grubOwn = grubDropins + "/zz-gokexec.cfg"
)

// grub is GRUB whose configuration grub-mkconfig makes: of Debian, SUSE, Arch and others.
var grub = row{
	name: "GRUB",
	found: func(m *machine) bool {
		return m.maybe(byGRUB) && (m.grubConfig() != "" || m.mkconfig() != "")
	},
	plan: func(m *machine, e *edit) error {
		after := m.grubUpdate()
		commands := [][]string{after}
		if after == nil {
			commands = nil
		}
		if m.grubReadsDropins() {
			m.grubDropin(e)
			e.manual("GRUB_CMDLINE_LINUX_DEFAULT in "+grubDefaults, strings.Join(after, " "))
		} else {
			name := m.grubVariable()
			e.manual(name+" in "+grubDefaults, strings.Join(after, " "))
			if err := m.edited(e, grubDefaults, func(text string) (string, error) { return m.editGRUB(e, text) }); err != nil {
				return err
			}
		}
		if len(e.change.Files) > 0 || m.grubStale(e) {
			e.change.Commands, e.change.Undo = commands, commands
		}
		return nil
	},
}

// grubConfig is the file that GRUB reads, "" when there is none. On the ESP it may only lead to another.
func (m *machine) grubConfig() string {
	var files []string
	for _, dir := range m.dirs {
		for _, vendor := range m.list(m.fold(dir, "EFI")) {
			files = append(files, path.Join(vendor, "grub.cfg"))
		}
	}
	usual := []string{"/boot/grub/grub.cfg", "/boot/grub2/grub.cfg"}
	if m.isDir("/sys/firmware/efi") {
		files = append(files, usual...)
	} else {
		files = append(usual, files...)
	}
	for _, name := range files {
		if text := m.text(name); strings.Contains(text, "menuentry") || strings.Contains(text, "/etc/grub.d/") {
			return name
		}
	}
	return ""
}

// mkconfig is the program that makes grub.cfg.
func (m *machine) mkconfig() string {
	for _, name := range []string{"grub2-mkconfig", "grub-mkconfig"} {
		if m.has(name) {
			return name
		}
	}
	return ""
}

// grubUpdate is the command that makes grub.cfg anew; nil when there is none.
func (m *machine) grubUpdate() []string {
	config := m.grubConfig()
	switch {
	case m.transactional():
		return []string{"transactional-update", "--continue", "grub.cfg"}
	case m.has("update-grub"):
		return []string{"update-grub"}
	case m.mkconfig() == "":
		return nil
	case config == "":
		config = "/boot/grub/grub.cfg"
		if m.mkconfig() == "grub2-mkconfig" {
			config = "/boot/grub2/grub.cfg"
		}
	}
	return []string{m.mkconfig(), "-o", config}
}

// grubReadsDropins tells whether grub-mkconfig reads /etc/default/grub.d, as Debian's does.
func (m *machine) grubReadsDropins() bool {
	name := m.mkconfig()
	return name != "" && strings.Contains(m.text(m.program(name)), "default/grub.d")
}

func anyReservation() *regexp.Regexp { return regexp.MustCompile(`crashkernel=[^\s"'\\]*`) }

func grubLinux() *regexp.Regexp { return regexp.MustCompile(`(?m)^[ \t]*linux(?:16|efi)?[ \t]+.*$`) }

// grubVariable is the variable whose words each kernel gets: the one that the file has.
func (m *machine) grubVariable() string {
	const usual, all = "GRUB_CMDLINE_LINUX_DEFAULT", "GRUB_CMDLINE_LINUX"
	if found, err := assignments(m.text(grubDefaults), usual); len(found) > 0 || err != nil {
		return usual
	}
	return all
}

// editGRUB edits both variables: a reservation in either counts.
func (m *machine) editGRUB(e *edit, text string) (string, error) {
	const usual, all = "GRUB_CMDLINE_LINUX_DEFAULT", "GRUB_CMDLINE_LINUX"
	name, second := m.grubVariable(), all
	if name == all {
		second = usual
	}
	if found, err := assignments(text, second); err != nil {
		return "", err
	} else if len(found) > 0 {
		only := *e
		only.add = nil
		if text, err = editVariable(&only, grubDefaults, text, second); err != nil {
			return "", err
		}
		if !e.replace && len(e.change.Present) > 0 {
			own := *e
			own.add = nil
			e = &own
		}
	}
	return editVariable(e, grubDefaults, text, name)
}

// grubDropin plans the drop-in.
func (m *machine) grubDropin(e *edit) {
	others := false
	for _, name := range append([]string{grubDefaults}, m.list(grubDropins)...) {
		if name != grubDefaults && path.Ext(name) != ".cfg" {
			continue
		}
		for line := range strings.Lines(m.text(name)) {
			if strings.HasPrefix(strings.TrimSpace(line), "#") {
				continue
			}
			for _, w := range anyReservation().FindAllString(line, -1) {
				if w == parameter+"=*" {
					continue // the pattern in our own file
				}
				e.change.Present = append(e.change.Present, Reservation{name, w})
				others = others || name != grubOwn
			}
		}
	}
	old, err := m.read(grubOwn)
	switch {
	case len(e.remove) > 0:
		if err == nil {
			e.change.Files = append(e.change.Files, File{Path: grubOwn, Old: []byte(old)})
		}
	case !others || e.replace:
		e.change.write(grubOwn, old, grubDropinText(e.add, others), err == nil)
	}
}

func grubDropinText(words []string, others bool) string {
	text := "# Made by gokexec setup, which replaces it; gokexec setup --undo removes it.\n" +
		"# Memory that is reserved for the crash kernel.\n"
	if others {
		text += `gokexec_others() { set -f; for w in $1; do case $w in crashkernel=*) ;; *) printf '%s ' "$w" ;; esac; done; }
GRUB_CMDLINE_LINUX="$(gokexec_others "$GRUB_CMDLINE_LINUX")"
GRUB_CMDLINE_LINUX_DEFAULT="$(gokexec_others "$GRUB_CMDLINE_LINUX_DEFAULT")"
`
	}
	return text + `GRUB_CMDLINE_LINUX_DEFAULT="$GRUB_CMDLINE_LINUX_DEFAULT ` + strings.Join(words, " ") + "\"\n"
}

// grubStale tells whether grub.cfg lacks what its sources have, so that it was not made since, or has what they lack.
func (m *machine) grubStale(e *edit) bool {
	text := m.text(m.grubConfig())
	if text == "" || m.transactional() {
		return false // there it is made in a snapshot that the next boot has
	}
	made := map[string]bool{}
	for _, line := range grubLinux().FindAllString(text, -1) {
		for _, w := range reservations(line) {
			made[w] = true
		}
	}
	if len(e.remove) > 0 {
		return slices.ContainsFunc(e.remove, func(w string) bool { return made[w] })
	}
	return len(made) == 0
}
