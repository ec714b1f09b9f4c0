package bootloader

import (
	"fmt"
	"path"
	"regexp"
	"strings"
)

// raspberryPi is the firmware of a Raspberry Pi, which reads one line from cmdline.txt (config.txt may name another).
var raspberryPi = row{
	name:  "Raspberry Pi",
	found: func(m *machine) bool { return m.by == byUnknown && m.piCmdline() != "" },
	plan: func(m *machine, e *edit) error {
		name := m.piCmdline()
		e.manual("the one line of "+name, "")
		return m.edited(e, name, func(text string) (string, error) {
			line := lineAt(text, 0) // the firmware reads no other
			return e.line(name, line) + text[len(line):], nil
		})
	},
}

// piCmdline is the file with the command line, "" when this is no Raspberry Pi's boot directory.
func (m *machine) piCmdline() string {
	for _, dir := range []string{"/boot/firmware", "/boot"} {
		config := m.fold(dir, "config.txt")
		if config == "" {
			continue
		}
		prefix, name := "", "cmdline.txt"
		for line := range strings.Lines(m.text(config)) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			switch key {
			case "os_prefix":
				prefix = value
			case "cmdline":
				name = value
			}
		}
		if file := m.fold(dir, prefix+name); file != "" {
			return file
		}
		if file := m.fold(dir, name); file != "" {
			return file
		}
	}
	return ""
}

// armbian is Armbian's boot script for U-Boot, which reads variables.
var armbian = row{
	name:  "Armbian",
	found: func(m *machine) bool { return m.by == byUnknown && m.isFile(armbianEnv) },
	plan: func(m *machine, e *edit) error {
		e.manual("the line extraargs= of "+armbianEnv, "")
		return m.edited(e, armbianEnv, func(text string) (string, error) {
			return editKeyed(e, armbianEnv, text, extraargs(), "extraargs="), nil
		})
	},
}

const armbianEnv = "/boot/armbianEnv.txt"

func extraargs() *regexp.Regexp { return regexp.MustCompile(`(?m)^extraargs=`) }

// extlinux is a menu of SYSLINUX, which U-Boot reads too.
var extlinux = row{
	name:  "extlinux",
	found: func(m *machine) bool { return m.by != byGRUB && m.by != bySystemdBoot && m.extlinuxMenu() != "" },
	plan: func(m *machine, e *edit) error {
		name := m.extlinuxMenu()
		e.manual("each line \"append\" of "+name, "")
		return m.edited(e, name, func(text string) (string, error) { return editEach(e, name, text, appendLine()), nil })
	},
}

func appendLine() *regexp.Regexp { return regexp.MustCompile(`(?mi)^[ \t]*append(?:[ \t]+|$)`) }

func (m *machine) extlinuxMenu() string {
	for _, dir := range []string{"/boot/extlinux", "/boot", "/boot/syslinux", "/boot/efi/extlinux", "/extlinux"} {
		for _, name := range []string{"extlinux.conf", "syslinux.cfg"} {
			if file := path.Join(dir, name); appendLine().MatchString(m.text(file)) {
				return file
			}
		}
	}
	return ""
}

// variableRow is a program that makes the menu of a shell variable in a file.
func variableRow(name, program, file, variable string) row {
	return row{
		name: name,
		found: func(m *machine) bool {
			return m.by != byGRUB && m.by != bySystemdBoot && m.has(program) && m.isFile(file)
		},
		plan: func(m *machine, e *edit) error {
			e.manual(variable+" in "+file, program)
			err := m.edited(e, file, func(text string) (string, error) { return editVariable(e, file, text, variable) })
			e.afterFiles([]string{program})
			return err
		},
	}
}

// updateExtlinux is Alpine's.
func updateExtlinux() row {
	return variableRow("extlinux (update-extlinux)", "update-extlinux", "/etc/update-extlinux.conf", "default_kernel_opts")
}

// flashKernel is Debian's for machines whose U-Boot runs a script.
func flashKernel() row {
	return variableRow("U-Boot (flash-kernel)", "flash-kernel", "/etc/default/flash-kernel", "LINUX_KERNEL_CMDLINE")
}

// ubootMenu is Debian's u-boot-menu, which makes extlinux.conf. Without a variable for them, kernels get what is in
// /etc/kernel/cmdline, or else "ro quiet" (u-boot-update).
var ubootMenu = row{
	name:  "U-Boot (u-boot-menu)",
	found: func(m *machine) bool { return m.by != byGRUB && m.by != bySystemdBoot && m.has("u-boot-update") },
	plan: func(m *machine, e *edit) error {
		const file, variable, usual, program = "/etc/default/u-boot", "U_BOOT_PARAMETERS", "ro quiet", "u-boot-update"
		e.manual(variable+" in "+file, program)
		text, err := m.read(file)
		exists := err == nil
		all, err := assignments(text, variable)
		switch {
		case err != nil:
			return fmt.Errorf("%s: %w", file, err)
		case len(all) == 0 && m.isFile(kernelCmdline):
			err = m.editKernelCmdline(e)
		case len(all) == 0 && len(e.remove) == 0:
			e.change.write(file, text, closed(text)+variable+`="`+e.line(file, usual)+"\"\n", exists)
		case len(all) > 0:
			err = m.edited(e, file, func(text string) (string, error) { return editVariable(e, file, text, variable) })
		}
		e.afterFiles([]string{program})
		return err
	},
}

// zipl is the boot loader of s390x, which is written anew after each change (zipl(8)).
var zipl = row{
	name:  "zipl",
	found: func(m *machine) bool { return m.has("zipl") && m.isFile(ziplConf) && m.by == byUnknown },
	plan: func(m *machine, e *edit) error {
		e.manual("each line \"parameters\" of "+ziplConf, "zipl")
		err := m.edited(e, ziplConf, func(text string) (string, error) { return editParameters(e, text), nil })
		if err != nil {
			return err
		}
		for _, entry := range m.entries {
			text := m.text(entry.path)
			e.change.write(entry.path, text, editKeyed(e, entry.path, text, optionsLine(), "options "), true)
		}
		e.afterFiles([]string{"zipl"})
		return nil
	},
}

const ziplConf = "/etc/zipl.conf"

func parametersLine() *regexp.Regexp { return regexp.MustCompile(`(?m)^[ \t]*parameters[ \t]*=[ \t]*`) }

// editParameters edits the values of zipl.conf, which may be quoted.
func editParameters(e *edit, text string) string {
	for i := len(text); ; {
		at := parametersLine().FindAllStringIndex(text[:i], -1)
		if len(at) == 0 {
			return text
		}
		last := at[len(at)-1]
		line := lineAt(text, last[1])
		value, quote := line, ""
		for _, q := range []string{`"`, `'`} {
			if len(line) >= 2 && strings.HasPrefix(line, q) && strings.HasSuffix(line, q) {
				value, quote = line[1:len(line)-1], q
			}
		}
		if changed := e.line(ziplConf, value); changed != value {
			text = text[:last[1]] + quote + changed + quote + text[last[1]+len(line):]
		}
		i = last[0]
	}
}
