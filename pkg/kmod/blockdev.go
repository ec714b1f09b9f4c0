package kmod

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/gokexec/gokexec/internal/sysfs"
	"github.com/gokexec/gokexec/pkg/blkid"
)

// maxDevices bounds the devices that a block device may depend on. A path through
// PCI bridges, a controller and a RAID of many disks has some hundreds.
const maxDevices = 4096

// ModulesForBlockDevice returns the names of the modules of this tree that a
// block device of the machine at root needs: those of its driver, of the
// buses and bridges up to the root of its device tree, of suppliers (clocks,
// regulators, where firmware names them), and for stacked devices (dm, md,
// NVMe with several paths) those of all that lie below. What is built into
// the tree's kernel is left out. The result is for [Tree.Closure].
//
// dev is a kernel name (sda1), a path (/dev/sda1, /dev/disk/by-uuid/...;
// links in root's dev are followed), a number (8:1), or UUID=, LABEL=,
// PARTUUID= or PARTLABEL= with a value, which are looked up in
// dev/disk/by-*.
//
// The kernel of the tree may be another than the one that runs: a driver
// built in here may be a module there. So each device's modalias is matched
// against the tree when the module that runs is not in it.
func (t *Tree) ModulesForBlockDevice(root fs.FS, dev string) ([]string, error) {
	w, err := walkBlockDevice(root, dev)
	if err != nil {
		return nil, err
	}
	names, err := t.modulesOfAll(w)
	if err != nil {
		return nil, fmt.Errorf("block device %s: %w", dev, err)
	}
	return names, nil
}

// modulesOf prefers the modules that drive the device now over all that its
// modalias would allow.
func (t *Tree) modulesOf(d device) ([]string, error) {
	var names []string
	known := false
	for _, n := range d.modules {
		m, err := t.Lookup(n)
		if err != nil {
			return nil, err
		}
		known = known || m.Found()
		names = append(names, m.Modules...)
	}
	if known {
		return names, nil
	}
	if d.modalias == "" {
		return names, t.missingDriver(d)
	}
	m, err := t.Lookup(d.modalias)
	if err == nil && !m.Found() {
		err = t.missingDriver(d)
	}
	return t.allowed(m.Modules), err
}

// device is one directory below sys/devices.
type device struct {
	root     fs.FS
	dir      string
	modalias string   // "" if it has none
	modules  []string // of its driver, "" if that is built in; and what its kind needs
}

// byLink is the directory of the links that udev makes for a way to name a device, "" for none.
func byLink(tag string) string {
	switch tag {
	case "UUID", "LABEL", "PARTUUID", "PARTLABEL", "ID":
		return "by-" + strings.ToLower(tag)
	}
	return ""
}

// blockDir returns the directory below sys/devices of a block device.
func blockDir(root fs.FS, dev string) (string, error) {
	fail := func(err error) (string, error) {
		return "", fmt.Errorf("block device %q: %w", dev, err)
	}
	name := dev
	if tag, value, ok := strings.Cut(dev, "="); ok {
		by := byLink(tag)
		if by == "" {
			return fail(errors.New("unknown tag; want UUID=, LABEL=, PARTUUID=, PARTLABEL= or ID="))
		}
		// The value may be spelled as in the name of the link.
		name = "/dev/disk/" + by + "/" + blkid.LinkName(blkid.Unescape(strings.Trim(value, `"`)))
	}
	if major, minor, ok := strings.Cut(name, ":"); ok && isNumber(major) && isNumber(minor) {
		dir, err := resolve(root, "sys/dev/block/"+name)
		if err != nil {
			return fail(err)
		}
		return dir, nil
	}
	if p, ok := strings.CutPrefix(name, "/dev/"); ok {
		// A collected tree may have no dev; then the name is the kernel's.
		if real, err := resolve(root, "dev/"+p); err == nil {
			if name, ok = strings.CutPrefix(real, "dev/"); !ok {
				return fail(fmt.Errorf("leads to /%s, outside of /dev", real))
			}
		} else if strings.HasPrefix(p, "disk/") || strings.HasPrefix(p, "mapper/") {
			return fail(err)
		} else {
			name = p
		}
	}
	// A '/' in a kernel name is '!' in sysfs (lib/kobject.c,
	// kobject_set_name_vargs).
	name = strings.ReplaceAll(name, "/", "!")
	if name == "" || name == "." || name == ".." {
		return fail(fs.ErrInvalid)
	}
	dir, err := resolve(root, "sys/class/block/"+name)
	if err != nil {
		return fail(err)
	}
	return dir, nil
}

func isNumber(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// walker collects the devices that one device depends on.
type walker struct {
	root    fs.FS
	seen    map[string]bool
	devices []device
}

// visit adds dir and its parents below sys/devices.
func (w *walker) visit(dir string) error {
	if !strings.HasPrefix(dir, "sys/devices/") {
		return fmt.Errorf("/%s is not below /sys/devices (was the tree collected without its links?)", dir)
	}
	for d := dir; strings.HasPrefix(d, "sys/devices/"); d = path.Dir(d) {
		if w.seen[d] {
			continue
		}
		w.seen[d] = true
		if len(w.seen) > maxDevices {
			return fmt.Errorf("rests on more than %d devices", maxDevices)
		}
		if err := w.device(d); err != nil {
			return err
		}
	}
	return nil
}

func (w *walker) device(dir string) error {
	d := device{root: w.root, dir: dir}
	var err error
	if d.modalias, err = w.attribute(dir + "/modalias"); err != nil {
		return err
	}
	// driver/module is a link to sys/module/NAME, and is missing for a
	// driver that is built in (drivers/base/module.c, module_add_driver).
	if mod, err := resolve(w.root, dir+"/driver/module"); err == nil {
		d.modules = append(d.modules, path.Base(mod))
	}
	kind, err := w.kind(dir)
	if err != nil {
		return err
	}
	d.modules = append(d.modules, kind...)
	if d.modalias != "" || len(d.modules) > 0 {
		w.devices = append(w.devices, d)
	}
	return w.below(dir)
}

// below visits what a device depends on, apart from its parents.
func (w *walker) below(dir string) error {
	entries, err := fs.ReadDir(w.root, dir)
	if err != nil {
		return sysfs.Rooted(err)
	}
	for _, e := range entries {
		var link string
		switch {
		case e.Name() == "slaves":
			if err := w.slaves(dir + "/slaves"); err != nil {
				return err
			}
			continue
		case strings.HasPrefix(e.Name(), "supplier:"):
			// drivers/base/core.c, devlink_add_symlinks
			link = dir + "/" + e.Name() + "/supplier"
		case path.Base(path.Dir(dir)) == "nvme-subsystem" && isController(e.Name()):
			// The disk of a subsystem with several paths hangs below no
			// controller (drivers/nvme/host/core.c, nvme_init_subsystem).
			link = dir + "/" + e.Name()
		default:
			continue
		}
		target, err := resolve(w.root, link)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if strings.HasPrefix(target, "sys/devices/") {
			if err := w.visit(target); err != nil {
				return err
			}
		}
	}
	return nil
}

func isController(name string) bool {
	n, ok := strings.CutPrefix(name, "nvme")
	return ok && isNumber(n)
}

func (w *walker) slaves(dir string) error {
	entries, err := fs.ReadDir(w.root, dir)
	if err != nil {
		return sysfs.Rooted(err)
	}
	for _, e := range entries {
		target, err := resolve(w.root, dir+"/"+e.Name())
		if err != nil {
			return err
		}
		if err := w.visit(target); err != nil {
			return err
		}
	}
	return nil
}

// dmTargets are the modules that a device-mapper device needs in addition to dm_mod,
// by the beginning of its UUID, which the program that made it chose. linear
// and striped are part of dm_mod.
var dmTargets = []struct {
	prefix  string
	modules []string
}{
	{"CRYPT-", []string{"dm_crypt"}},
	{"mpath-", []string{"dm_multipath", "dm_service_time", "dm_queue_length", "dm_round_robin"}},
	{"DMRAID-", []string{"dm_mirror", "dm_raid"}},
}

// mdLevel is the module of a level of md (md/level), "" for none
// (drivers/md/*.c, MODULE_ALIAS("md-level-...")).
func mdLevel(level string) string {
	switch level {
	case "raid0", "raid1", "raid10":
		return level
	case "raid4", "raid5", "raid6":
		return "raid456"
	case "linear":
		return "md_linear"
	}
	return ""
}

// kind returns the modules of block devices that have no driver in sysfs.
func (w *walker) kind(dir string) ([]string, error) {
	base := path.Base(dir)
	switch {
	case exists(w.root, dir+"/dm"):
		uuid, err := w.attribute(dir + "/dm/uuid")
		if err != nil {
			return nil, err
		}
		modules := []string{"dm_mod"}
		for _, t := range dmTargets {
			if strings.HasPrefix(uuid, t.prefix) {
				modules = append(modules, t.modules...)
			}
		}
		return modules, nil
	case exists(w.root, dir+"/md/level"):
		level, err := w.attribute(dir + "/md/level")
		if err != nil {
			return nil, err
		}
		modules := []string{"md_mod"}
		if m := mdLevel(level); m != "" {
			modules = append(modules, m)
		}
		return modules, nil
	case strings.HasPrefix(base, "bcache") && exists(w.root, dir+"/bcache"):
		return []string{"bcache"}, nil
	case strings.HasPrefix(base, "loop") && exists(w.root, dir+"/loop"):
		return []string{"loop"}, nil
	}
	return nil, nil
}

// attribute reads a sysfs file of one line; a missing one is "".
func (w *walker) attribute(name string) (string, error) {
	b, err := readFile(w.root, name, 64<<10)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return strings.TrimRight(string(b), "\n"), nil
}
