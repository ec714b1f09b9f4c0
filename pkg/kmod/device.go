package kmod

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"syscall"

	"github.com/gokexec/gokexec/internal/sysfs"
)

// ModulesForDevice returns the names of the modules of this tree that a device of the machine at root
// needs, as ModulesForBlockDevice does. dir is its directory in sysfs, links in it followed:
// "sys/bus/virtio/devices/virtio2".
func (t *Tree) ModulesForDevice(root fs.FS, dir string) ([]string, error) {
	real, err := resolve(root, dir)
	if err != nil {
		return nil, err
	}
	w := &walker{root: root, seen: make(map[string]bool)}
	if err := w.visit(real); err != nil {
		return nil, fmt.Errorf("device /%s: %w", dir, err)
	}
	return t.modulesOfAll(w)
}

// walkBlockDevice visits a block device and what lies below it.
func walkBlockDevice(root fs.FS, dev string) (*walker, error) {
	dir, err := blockDir(root, dev)
	if err != nil {
		return nil, err
	}
	w := &walker{root: root, seen: make(map[string]bool)}
	if err := w.visit(dir); err != nil {
		return nil, fmt.Errorf("block device %s: %w", dev, err)
	}
	return w, nil
}

// modulesOfAll gives the modules of a walk, which has gone upwards: buses come first.
func (t *Tree) modulesOfAll(w *walker) ([]string, error) {
	var names []string
	for _, d := range slices.Backward(w.devices) {
		found, err := t.modulesOf(d)
		if err != nil {
			return nil, fmt.Errorf("/%s: %w", d.dir, err)
		}
		for _, n := range found {
			if !slices.Contains(names, n) {
				names = append(names, n)
			}
		}
	}
	return names, nil
}

// missingDriver is the error for a device whose driver is a module now and is missing from the tree: the
// devices attached to it would not be found. Without modules.builtin nothing is known of other kernels than
// the one that runs.
func (t *Tree) missingDriver(d device) error {
	if len(d.modules) == 0 || !t.hasBuiltin && !t.running(d.root) {
		return nil
	}
	return fmt.Errorf("its driver: %w", t.unknown(d.modules[0]))
}

// running tells whether the tree's kernel is the one that runs at root.
func (t *Tree) running(root fs.FS) bool {
	w := &walker{root: root}
	release, err := w.attribute("proc/sys/kernel/osrelease")
	return err == nil && release == t.version
}

// DriversOfBlockDevice returns the names of the modules that drive a block device of the machine at root
// now, and the devices below it; none if all of that is built in. dev is as for
// [Tree.ModulesForBlockDevice].
func DriversOfBlockDevice(root fs.FS, dev string) ([]string, error) {
	w, err := walkBlockDevice(root, dev)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, d := range slices.Backward(w.devices) {
		for _, n := range d.modules {
			if n = NormalizeName(n); !slices.Contains(names, n) {
				names = append(names, n)
			}
		}
	}
	return names, nil
}

// virtioMem is how a virtio-mem device answers (include/uapi/linux/virtio_ids.h, VIRTIO_ID_MEM 24).
const virtioMem = "virtio:d00000018v"

// ModulesForHotMemory returns the modules that a capture kernel must have loaded before /proc/vmcore is
// opened for the first time, as long as the machine at root has virtio-mem devices: virtio_mem and
// what its transport needs. Without it unplugged memory is read, which may hang, or plugged memory is
// missing (fs/proc/vmcore.c, register_vmcore_cb). What is built in is left out.
func (t *Tree) ModulesForHotMemory(root fs.FS) ([]string, error) {
	dirs, err := HotMemory(root)
	if err != nil || len(dirs) == 0 {
		return nil, err
	}
	var names []string
	for _, dir := range dirs {
		found, err := t.ModulesForDevice(root, dir)
		if err != nil {
			return nil, err
		}
		for _, n := range found {
			if !slices.Contains(names, n) {
				names = append(names, n)
			}
		}
	}
	// The driver is wanted even where the machine's own has not been loaded and the tree has no
	// modules.alias.
	if _, ok := t.Module("virtio_mem"); ok && !slices.Contains(names, "virtio_mem") {
		names = append(names, "virtio_mem")
	}
	return names, nil
}

// HotMemory lists the virtio-mem devices of the machine at root, by their directories in sysfs.
func HotMemory(root fs.FS) ([]string, error) {
	const bus = "sys/bus/virtio/devices"
	entries, err := readDir(root, bus)
	if err != nil {
		return nil, err
	}
	w := &walker{root: root}
	var dirs []string
	for _, e := range entries {
		alias, err := w.attribute(bus + "/" + e.Name() + "/modalias")
		if err != nil {
			return nil, err
		}
		if strings.HasPrefix(alias, virtioMem) {
			dirs = append(dirs, bus+"/"+e.Name())
		}
	}
	return dirs, nil
}

// readDir lists a directory, links followed; one that is not there is empty.
func readDir(root fs.FS, name string) ([]fs.DirEntry, error) {
	real, err := resolve(root, name)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	entries, err := fs.ReadDir(root, real)
	if err != nil {
		return nil, sysfs.Rooted(err)
	}
	return entries, nil
}

// Watchdog is a hardware watchdog that runs, or may run.
type Watchdog struct {
	Name     string // "watchdog0"
	Identity string // what the driver calls it; may be empty
	Timeout  string // seconds; may be empty
	Software bool   // softdog: it ends with the kernel
	Drivers  []string
}

// watchdogDriver is the module of a watchdog that has no device in sysfs, by identity; "" if that is
// not known.
func watchdogDriver(identity string) string {
	switch identity {
	case "IPMI":
		return "ipmi_watchdog"
	case "HP Watchdog Timer", "HPE iLO2+ HW Watchdog Timer":
		return "hpwdt"
	case "i6300ESB timer":
		return "i6300esb"
	case "SP5100 TCO timer":
		return "sp5100_tco"
	case "Software Watchdog":
		return "softdog"
	case "Intel MEI WDT", "iamt_wdt":
		return "mei_wdt"
	}
	return ""
}

// watchdogNeeds are modules that a driver works through and doesn't name.
func watchdogNeeds(driver string) []string {
	if driver == "ipmi_watchdog" {
		return []string{"ipmi_si", "ipmi_ssif", "ipmi_powernv"}
	}
	return nil
}

// Watchdogs lists the watchdogs of the machine at root that run, and those that don't tell
// (CONFIG_WATCHDOG_SYSFS). Drivers are the names of modules that are loaded now: the device's own and
// those of its parents; of one without a device the module of that name, or else all watchdog modules
// that are in use. It is empty where the driver is built in.
func Watchdogs(root fs.FS) ([]Watchdog, error) {
	const class = "sys/class/watchdog"
	entries, err := readDir(root, class)
	if err != nil {
		return nil, err
	}
	read := &walker{root: root, seen: make(map[string]bool)}
	var dogs []Watchdog
	for _, e := range entries {
		dir := class + "/" + e.Name()
		state, err := read.attribute(dir + "/state")
		if err != nil {
			return nil, err
		}
		if state != "" && state != "active" {
			continue
		}
		dog := Watchdog{Name: e.Name()}
		if dog.Identity, err = read.attribute(dir + "/identity"); err != nil {
			return nil, err
		}
		if dog.Timeout, err = read.attribute(dir + "/timeout"); err != nil {
			return nil, err
		}
		dog.Software = dog.Identity == "Software Watchdog"
		if dog.Drivers, err = watchdogModules(root, dir, dog.Identity); err != nil {
			return nil, err
		}
		dogs = append(dogs, dog)
	}
	return dogs, nil
}

func watchdogModules(root fs.FS, dir, identity string) ([]string, error) {
	var names []string
	if driver, err := resolve(root, dir+"/device/driver"); err == nil {
		// A collected tree may have the link and not what it leads to.
		mod, err := fs.ReadLink(root, driver+"/module")
		if err != nil {
			return nil, nil // built in
		}
		names = append(names, NormalizeName(path.Base(mod)))
	}
	loaded := func(name string) bool { return isDir(root, "sys/module/"+name) }
	if known := watchdogDriver(identity); len(names) == 0 && known != "" && loaded(known) {
		names = append(names, known)
	}
	if own := NormalizeName(identity); len(names) == 0 && validName(own) && loaded(own) && isDir(root, "sys/module/"+own+"/holders") {
		names = append(names, own)
	}
	if len(names) == 0 {
		var err error
		if names, err = usedWatchdogs(root); err != nil {
			return nil, err
		}
	}
	for _, n := range names {
		for _, need := range watchdogNeeds(n) {
			if loaded(need) {
				names = append(names, need)
			}
		}
	}
	return names, nil
}

// usedWatchdogs are the loaded modules that look like a watchdog's and are in use: an open device
// holds its driver.
func usedWatchdogs(root fs.FS) ([]string, error) {
	entries, err := readDir(root, "sys/module")
	if err != nil {
		return nil, err
	}
	read := &walker{root: root}
	var names []string
	for _, e := range entries {
		name := e.Name()
		if !strings.HasSuffix(name, "wdt") && !strings.Contains(name, "watchdog") && !strings.HasSuffix(name, "_tco") && !strings.HasSuffix(name, "dog") || name == "watchdog" || name == "softdog" {
			continue
		}
		count, err := read.attribute("sys/module/" + name + "/refcnt")
		if err != nil {
			return nil, err
		}
		if count != "" && count != "0" {
			names = append(names, name)
		}
	}
	return names, nil
}

// ModulesForWatchdog returns the modules of this tree that a watchdog of the machine at root needs, those
// of its buses included. With known false nothing tells whether its driver is built in.
func (t *Tree) ModulesForWatchdog(root fs.FS, dog Watchdog) (names []string, known bool, err error) {
	dir := "sys/class/watchdog/" + dog.Name + "/device"
	if exists(root, dir) {
		if names, err = t.ModulesForDevice(root, dir); err != nil {
			return nil, false, err
		}
	}
	known = len(dog.Drivers) > 0
	for _, d := range dog.Drivers {
		m, err := t.Lookup(d)
		if err != nil {
			return nil, false, err
		}
		known = known && m.Found()
		for _, n := range m.Modules {
			if !slices.Contains(names, n) {
				names = append(names, n)
			}
		}
	}
	if own := NormalizeName(dog.Identity); !known && t.Builtin(own) {
		known = true
	}
	if builtin := watchdogDriver(dog.Identity); !known && t.Builtin(builtin) {
		known = true
	}
	return names, known || len(dog.Drivers) == 0 && isDir(root, dir+"/driver"), nil
}
