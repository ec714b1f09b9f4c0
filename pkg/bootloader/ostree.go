package bootloader

import (
	"slices"
	"strconv"
	"strings"
)

// ostree is an image-based system: rpm-ostree and bootc write the boot entries, for each deployment.
var ostree = row{
	name:  "ostree",
	found: func(m *machine) bool { return m.isFile("/run/ostree-booted") },
	plan: func(m *machine, e *edit) error {
		old, lacking := m.entryReservations(e, m.deployment())
		lacking = lacking && !m.staged(e)
		if len(e.remove) > 0 || !e.replace {
			old = nil
		}
		switch {
		case m.has("rpm-ostree"):
			e.change.Loader = "rpm-ostree"
			command := kargs(slices.Concat(e.remove, old), e.add)
			e.change.Manual = strings.Join(command, " ")
			if lacking {
				e.change.Commands, e.change.Undo = [][]string{command}, [][]string{kargs(e.add, old)}
			}
		case m.has("bootc"):
			e.change.Loader = "bootc"
			command := bootc(e.add)
			e.change.Manual = strings.Join(quoted(command), " ")
			if !lacking {
				break
			}
			e.change.Commands, e.change.Undo = [][]string{command}, [][]string{bootc(nil)}
			for _, w := range old {
				e.change.Notes = append(e.change.Notes, w+" was not put there by gokexec, and bootc takes out only what one source has put in: it stays")
			}
		default:
			e.change.Manual = "ostree admin kargs edit-in-place --append-if-missing=" + e.words()
			manual := e.change.Manual
			if err := m.editEntries(e); err != nil {
				return err
			}
			e.change.Manual = manual
		}
		return nil
	},
}

// deployment is the boot entry of the deployment that boots next: the one with the highest version.
func (m *machine) deployment() []entry {
	next, highest := m.entries, -1
	for i, e := range m.entries {
		if version, err := strconv.Atoi(e.version); err == nil && version > highest {
			next, highest = m.entries[i:i+1], version
		}
	}
	return next
}

// staged tells whether a deployment that gets its boot entry at the shutdown has what the edit asks for.
func (m *machine) staged(e *edit) bool {
	text := m.text("/run/ostree/staged-deployment")
	has := func(w string) bool { return strings.Contains(text, w+"\x00") }
	if len(e.remove) > 0 {
		return text != "" && !slices.ContainsFunc(e.remove, has)
	}
	return text != "" && !slices.ContainsFunc(e.add, func(w string) bool { return !has(w) })
}

// kargs is the command of rpm-ostree(1) that takes words out and adds others.
func kargs(out, in []string) []string {
	command := []string{"rpm-ostree", "kargs"}
	for _, w := range out {
		command = append(command, "--delete-if-present="+w)
	}
	for _, w := range in {
		command = append(command, "--append-if-missing="+w)
	}
	return command
}

// bootc is the command that sets the words of one source (bootc-loader-entries-set-options-for-source(8)); none takes it away.
func bootc(words []string) []string {
	command := []string{"bootc", "loader-entries", "set-options-for-source", "--source", "gokexec"}
	if len(words) > 0 {
		command = append(command, "--options", strings.Join(words, " "))
	}
	return command
}

// quoted is a command as it is typed.
func quoted(command []string) []string {
	typed := slices.Clone(command)
	for i, arg := range typed {
		if strings.ContainsAny(arg, " \t$;&|<>*?") {
			typed[i] = "'" + arg + "'"
		}
	}
	return typed
}
