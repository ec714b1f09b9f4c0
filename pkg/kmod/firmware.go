package kmod

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// maxFirmware bounds one firmware file in bytes.
const maxFirmware = 256 << 20

// Firmware is a file that a module may ask for.
type Firmware struct {
	Name    string // as the module asks for it, without the packing's ending
	Path    string // inside the root
	Packing Packing
}

// Read returns the file as it is stored.
func (f Firmware) Read(root fs.FS) ([]byte, error) { return readFile(root, f.Path, maxFirmware) }

// firmwareDirs are where the kernel looks (drivers/base/firmware_loader/main.c, fw_path), the
// machine's own path first (firmware_class.path=).
func firmwareDirs(root fs.FS, version string) []string {
	var dirs []string
	w := &walker{root: root}
	if own, err := w.attribute("sys/module/firmware_class/parameters/path"); err == nil {
		if own = strings.TrimPrefix(path.Clean(own), "/"); strings.Trim(own, ".") != "" && fs.ValidPath(own) {
			dirs = append(dirs, own)
		}
	}
	for _, base := range []string{"lib/firmware", "usr/lib/firmware"} {
		dirs = append(dirs, base+"/updates/"+version, base+"/updates", base+"/"+version, base)
	}
	return dirs
}

// FindFirmware finds the files for a name of a module's .modinfo, which may be a pattern as of path.Match:
// as the kernel version's loader would, the first directory wins, and a plain file over packed ones. A
// name that nothing answers to, or that leads out of the directories, gives none.
func FindFirmware(root fs.FS, version, pattern string) ([]Firmware, error) {
	if !fs.ValidPath(pattern) {
		return nil, nil
	}
	var found []Firmware
	for _, packing := range []Packing{Plain, Zstd, XZ} {
		for _, dir := range firmwareDirs(root, version) {
			names, err := matchFirmware(root, dir, pattern+packing.Ext())
			if err != nil {
				return nil, err
			}
			for _, name := range names {
				f := Firmware{Name: strings.TrimSuffix(name, packing.Ext()), Path: dir + "/" + name, Packing: packing}
				if packing == Plain && (strings.HasSuffix(name, ".xz") || strings.HasSuffix(name, ".zst")) {
					continue // of a pattern that ends in '*'
				}
				if !slices.ContainsFunc(found, func(o Firmware) bool { return o.Name == f.Name }) {
					found = append(found, f)
				}
			}
		}
	}
	return found, nil
}

// matchFirmware lists the regular files below dir that a pattern covers.
func matchFirmware(root fs.FS, dir, pattern string) ([]string, error) {
	if !strings.ContainsAny(pattern, `*?[\`) {
		if isFile(root, dir+"/"+pattern) {
			return []string{pattern}, nil
		}
		return nil, nil
	}
	below, last := path.Split(pattern)
	if strings.ContainsAny(below, `*?[\`) {
		return nil, nil // no module has that
	}
	entries, err := readDir(root, path.Join(dir, below))
	if err != nil {
		return nil, fmt.Errorf("firmware %s: %w", pattern, err)
	}
	var names []string
	for _, e := range entries {
		if ok, err := path.Match(last, e.Name()); err == nil && ok && isFile(root, path.Join(dir, below, e.Name())) {
			names = append(names, below+e.Name())
		}
	}
	return names, nil
}

// isFile reports whether name is a regular file of root, links followed.
func isFile(root fs.FS, name string) bool {
	real, err := resolve(root, name)
	if err != nil {
		return false
	}
	info, err := fs.Stat(root, real)
	return err == nil && info.Mode().IsRegular()
}
