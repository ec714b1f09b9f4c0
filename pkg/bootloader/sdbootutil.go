package bootloader

import "strings"

// sdbootutil is SUSE's systemd-boot or GRUB with boot entries (grub2-bls): sdbootutil makes the entries of each snapshot of
// /etc/kernel/cmdline, and what the TPM expects of them.
var sdbootutil = row{
	name: "boot entries (sdbootutil)",
	found: func(m *machine) bool {
		if !m.has("sdbootutil") || len(m.entries) == 0 {
			return false
		}
		loader := sysconfig(m.text("/etc/sysconfig/bootloader"), "LOADER_TYPE")
		return loader == "systemd-boot" || loader == "grub2-bls" || loader == "" && m.maybe(bySystemdBoot)
	},
	plan: func(m *machine, e *edit) error {
		command := []string{"sdbootutil", "update-all-entries"}
		e.manual(kernelCmdline, strings.Join(command, " "))
		if err := m.editKernelCmdline(e); err != nil {
			return err
		}
		kept := e.change.Present
		_, lacking := m.entryReservations(e, m.entries)
		if len(kept) > 0 && !e.replace && len(e.remove) == 0 && len(e.change.Files) == 0 {
			// What is configured stays: have the entries any of it?
			lacking = false
			for _, entry := range m.entries {
				lacking = lacking || entry.linux != "" && len(reservations(entry.options)) == 0
			}
		}
		if len(e.change.Files) > 0 || lacking {
			e.change.Commands = [][]string{command}
			e.change.Undo = e.change.Commands
		}
		return nil
	},
}

// sysconfig reads a variable of a file below /etc/sysconfig; "" when there is none.
func sysconfig(text, name string) string {
	all, err := assignments(text, name)
	if err != nil || len(all) == 0 {
		return ""
	}
	return all[len(all)-1].value
}
