package bootloader

import (
	"slices"
	"strings"
)

// grubby is GRUB or zipl with boot entries that grubby(8) edits: Fedora, RHEL and derivatives. With ALL it edits
// /etc/default/grub and /etc/kernel/cmdline too, for kernels to come.
var grubby = row{
	name: "boot entries (grubby)",
	found: func(m *machine) bool {
		return m.has("grubby") && len(m.entries) > 0 && m.maybe(byGRUB)
	},
	plan: func(m *machine, e *edit) error {
		e.change.Manual = strings.Join(grubbyCommand(e.remove, e.add), " ")
		old, lacking := m.entryReservations(e, m.entries)
		switch {
		case !lacking:
		case len(e.add) > 1 || len(old) > 0 && !e.replace:
			// grubby keeps one word of a name, and edits all entries alike.
			return m.editEntries(e)
		default:
			if len(e.remove) > 0 {
				old = nil
			}
			e.change.Commands = [][]string{grubbyCommand(slices.Concat(e.remove, old), e.add)}
			e.change.Undo = [][]string{grubbyCommand(e.add, old)}
		}
		return nil
	},
}

// grubbyCommand takes words out of all entries and adds others.
func grubbyCommand(out, in []string) []string {
	command := []string{"grubby", "--update-kernel=ALL"}
	if len(out) > 0 {
		command = append(command, "--remove-args="+strings.Join(out, " "))
	}
	if len(in) > 0 {
		command = append(command, "--args="+strings.Join(in, " "))
	}
	return command
}

// entryReservations gives the reservations of boot entries that differ from the edit's, and tells whether an entry would be
// changed. $kernelopts is a variable of GRUB's environment (RHEL 8).
func (m *machine) entryReservations(e *edit, entries []entry) (others []string, lacking bool) {
	const variable = "$kernelopts"
	kernelopts := ""
	for line := range strings.Lines(m.text("/boot/grub2/grubenv")) {
		if value, ok := strings.CutPrefix(line, "kernelopts="); ok {
			kernelopts = strings.TrimSpace(value)
		}
	}
	for _, entry := range entries {
		if entry.linux == "" {
			continue
		}
		options := strings.ReplaceAll(entry.options, variable, kernelopts)
		lacking = lacking || e.line(entry.path, options) != options
		for _, w := range reservations(options) {
			if !slices.Contains(e.add, w) && !slices.Contains(others, w) {
				others = append(others, w)
			}
		}
	}
	return others, lacking
}
