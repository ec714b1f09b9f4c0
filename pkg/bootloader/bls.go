package bootloader

import (
	"path"
	"regexp"
	"strings"
)

// entry is a boot entry of type 1 (UAPI Group's Boot Loader Specification): a text file.
type entry struct {
	path    string // of the file
	base    string // the directory that paths in it begin at
	version string
	linux   string // a kernel, or a UKI: keys linux and uki
	efi     string // any EFI program
	options string // of all its lines
}

// counter is what boot counting puts at the end of an entry's name (systemd.io/AUTOMATIC_BOOT_ASSESSMENT).
func counter() *regexp.Regexp { return regexp.MustCompile(`\+[0-9]+(-[0-9]+)?$`) }

// id is the name of the entry as the boot loader tells it.
func (e entry) id() string { return entryID(path.Base(e.path)) }

func entryID(name string) string {
	for _, ext := range []string{".conf", ".efi"} {
		if len(name) > len(ext) && strings.EqualFold(name[len(name)-len(ext):], ext) {
			name = name[:len(name)-len(ext)]
		}
	}
	return counter().ReplaceAllString(name, "")
}

// entries reads the entries of type 1 below the directories of bootDirs.
func (t tree) entries(dirs []string) []entry {
	var all []entry
	for _, base := range dirs {
		dir := t.fold(base, "loader/entries")
		if dir == "" {
			continue
		}
		for _, name := range t.list(dir) {
			if !strings.EqualFold(path.Ext(name), ".conf") {
				continue
			}
			if text, err := t.read(name); err == nil {
				all = append(all, parseEntry(name, base, text))
			}
		}
	}
	return all
}

// parseEntry reads an entry. Keys that it does not know are left out.
func parseEntry(name, base, text string) entry {
	e := entry{path: name, base: base}
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.Join(strings.Fields(line), " "), " ")
		switch key {
		case "version":
			e.version = value
		case "linux", "uki":
			e.linux = value
		case "efi":
			e.efi = value
		case "options":
			e.options = strings.TrimSpace(e.options + " " + value)
		}
	}
	return e
}
