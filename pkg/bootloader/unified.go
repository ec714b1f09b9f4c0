package bootloader

import (
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// addonStub is the first systemd-stub that reads addons for all UKIs (systemd-stub(7)).
const addonStub = 254

// unifiedImage is a UKI: its command line is inside of it. Where this machine builds its UKIs, they are built anew; else an addon
// is built for them.
var unifiedImage = row{
	name:  "unified kernel image",
	found: func(m *machine) bool { return m.by == byStub },
	plan: func(m *machine, e *edit) error {
		switch {
		case m.installLayout() == "uki" && m.has("kernel-install"):
			e.change.Loader = "unified kernel images (kernel-install)"
			return m.rebuildUKIs(e, m.kernelInstalls())
		case m.presetsMakeUKIs():
			e.change.Loader = "unified kernel images (mkinitcpio)"
			return m.rebuildUKIs(e, [][]string{{"mkinitcpio", "-P"}})
		case m.dracutMakesUKIs():
			e.change.Loader = "unified kernel images (dracut)"
			return m.dracutUKIs(e)
		default:
			return m.addon(e)
		}
	},
}

// installLayout is layout= of kernel-install's configuration.
func (m *machine) installLayout() string {
	for _, dir := range []string{"/etc/kernel", "/run/kernel", "/usr/local/lib/kernel", "/usr/lib/kernel"} {
		if text, err := m.read(dir + "/install.conf"); err == nil {
			return sysconfig(text, "layout")
		}
	}
	return ""
}

// kernelInstalls are the commands that install each kernel anew. "kernel-install add-all" does not exist before systemd 255.
func (m *machine) kernelInstalls() [][]string {
	var commands [][]string
	for _, dir := range m.list("/usr/lib/modules") {
		release := path.Base(dir)
		for _, image := range []string{"/boot/vmlinuz-" + release, dir + "/vmlinuz"} {
			if m.isFile(image) {
				commands = append(commands, []string{"kernel-install", "add", release, image})
				break
			}
		}
	}
	return commands
}

// rebuildUKIs edits /etc/kernel/cmdline, which is built into UKIs, and builds them.
func (m *machine) rebuildUKIs(e *edit, commands [][]string) error {
	var typed []string
	for _, c := range commands {
		typed = append(typed, strings.Join(c, " "))
	}
	e.manual(kernelCmdline, strings.Join(typed, ", "))
	if err := m.editKernelCmdline(e); err != nil {
		return err
	}
	if len(e.change.Files) > 0 || !m.configuredRuns(e.change.Present) {
		e.change.Commands, e.change.Undo = commands, commands
	}
	return nil
}

// configuredRuns tells whether the running kernel, or a UKI on the ESP, has what is configured: whether it was built since.
func (m *machine) configuredRuns(configured []Reservation) bool {
	built := reservations(m.cmdline)
	s := &search{tree: m.tree, dirs: m.dirs}
	for _, name := range s.ukis() {
		if img, _, err := s.open(s.real(name)); err == nil {
			built = append(built, reservations(img.Cmdline)...)
		}
	}
	for _, c := range configured {
		if !slices.Contains(built, c.Word) {
			return false
		}
	}
	return true
}

func presetUKI() *regexp.Regexp {
	return regexp.MustCompile(`(?m)^[ \t]*[a-z0-9_]+_(?:uki|efi_image)=`)
}

// presetsMakeUKIs tells whether mkinitcpio's presets (Arch) name UKIs.
func (m *machine) presetsMakeUKIs() bool {
	for _, name := range m.list("/etc/mkinitcpio.d") {
		if strings.HasSuffix(name, ".preset") && presetUKI().MatchString(m.text(name)) {
			return m.has("mkinitcpio")
		}
	}
	return false
}

func dracutUEFI() *regexp.Regexp { return regexp.MustCompile(`(?m)^[ \t]*uefi=["']?yes`) }

// dracutMakesUKIs tells whether dracut is configured to build UKIs (dracut.conf(5)).
func (m *machine) dracutMakesUKIs() bool {
	for _, name := range append([]string{"/etc/dracut.conf"}, m.list("/etc/dracut.conf.d")...) {
		if dracutUEFI().MatchString(m.text(name)) {
			return m.has("dracut")
		}
	}
	return false
}

func (m *machine) dracutUKIs(e *edit) error {
	const own = "/etc/dracut.conf.d/gokexec-crashkernel.conf"
	command := []string{"dracut", "--regenerate-all", "--force"}
	e.manual("kernel_cmdline in /etc/dracut.conf.d", strings.Join(command, " "))
	for _, name := range append([]string{"/etc/dracut.conf"}, m.list("/etc/dracut.conf.d")...) {
		if all, err := assignments(m.text(name), "kernel_cmdline"); err == nil && name != own {
			for _, a := range all {
				e.line(name, a.value)
			}
		}
	}
	others := len(e.change.Present) > 0
	old, err := m.read(own)
	switch {
	case len(e.remove) > 0 && err == nil:
		e.change.Files = append(e.change.Files, File{Path: own, Old: []byte(old)})
	case len(e.remove) == 0 && (!others || e.replace):
		e.change.write(own, old, "# Made by gokexec setup; gokexec setup --undo removes it.\nkernel_cmdline+=\" "+e.words()+" \"\n", err == nil)
	}
	e.afterFiles(command)
	return nil
}

func stubVersion() *regexp.Regexp { return regexp.MustCompile(`^systemd-stub ([0-9]+)`) }

// addon plans an addon that systemd-stub reads with every UKI: a PE file with a command line.
func (m *machine) addon(e *edit) error {
	esp := m.addonDir()
	file := path.Join(esp, "loader/addons/gokexec.addon.efi")
	build := []string{"ukify", "build", "--cmdline=" + e.words(), "--output=" + file}
	e.change.Manual = "mkdir -p " + path.Dir(file) + " && " + strings.Join(quoted(build), " ")
	for _, w := range reservations(m.cmdline) {
		e.change.Present = append(e.change.Present, Reservation{"/proc/cmdline", w})
	}
	there := m.isFile(file)
	if m.secureBoot() {
		e.change.Notes = append(e.change.Notes, "Secure Boot is on: an addon counts only if it is signed by a key that the firmware or the shim knows (ukify --secureboot-private-key, --secureboot-certificate)")
	}
	version := stubVersion().FindStringSubmatch(m.loaderText("StubInfo"))
	number := 0
	if version != nil {
		number, _ = strconv.Atoi(version[1]) // 0, of digits, only if it is too long
	}
	switch {
	case len(e.remove) > 0:
		if there {
			e.change.Commands = [][]string{{"rm", file}}
		}
		e.change.Manual = "rm " + file
	case len(e.change.Present) > 0 && !e.replace || there && m.addonHas(file, e.add):
	case number < addonStub:
		e.change.ByHand = true
		e.change.Manual = "build the unified kernel image with " + e.words() + " in its command line; its systemd-stub reads no addons for all images before version " + strconv.Itoa(addonStub)
	case esp == "" || !m.has("ukify") || m.secureBoot():
		e.change.ByHand = true
	default:
		e.change.Loader = "unified kernel images (addon)"
		e.change.Commands = [][]string{{"mkdir", "-p", path.Dir(file)}, build}
		e.change.Undo = [][]string{{"rm", "-f", file}}
	}
	return nil
}

// addonDir is where the ESP is mounted, the directory with EFI/Linux or EFI/systemd.
func (m *machine) addonDir() string {
	for _, dir := range m.dirs {
		if m.fold(dir, "EFI") != "" {
			return dir
		}
	}
	return ""
}

// addonHas tells whether an addon holds the words.
func (m *machine) addonHas(file string, words []string) bool {
	return strings.Contains(m.text(file), strings.Join(words, " "))
}
