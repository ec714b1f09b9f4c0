package initramfs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/gokexec/gokexec/pkg/kconfig"
	"github.com/gokexec/gokexec/pkg/kmod"
)

// moduleAdder puts modules into a layout, and what they need other than modules.
type moduleAdder struct {
	layout layout
	cfg    *Config
	kernel kconfig.Config // nil if it is not known
	report *Report
	tree   *kmod.Tree
}

// addModules adds the modules and their list. The modules tell the kernel's
// architecture if its configuration did not.
func (a *moduleAdder) addModules(want *arch, known *bool) error {
	cfg := a.cfg
	if len(cfg.Modules)+len(cfg.OptionalModules) == 0 {
		if len(cfg.ModuleParams) > 0 {
			return errors.New("initramfs: parameters for modules, but no modules")
		}
		return nil
	}
	if cfg.KernelVersion == "" {
		return errors.New("initramfs: modules, but no kernel version")
	}
	var err error
	if a.tree, err = kmod.Open(cfg.Root, cfg.KernelVersion); err != nil {
		return fmt.Errorf("initramfs: %w", err)
	}
	if a.report.Modules, err = a.tree.Closure(cfg.Modules, cfg.OptionalModules); err != nil {
		return fmt.Errorf("initramfs: %w", err)
	}
	params := make(map[string]string)
	for name, p := range cfg.ModuleParams {
		params[kmod.NormalizeName(name)] = p
	}
	list := kmod.List{Kernel: cfg.KernelVersion}
	for _, m := range a.report.Modules {
		mi, err := a.tree.Modinfo(m.Module)
		if err != nil {
			return fmt.Errorf("initramfs: %w", err)
		}
		if err := mi.CheckKernel(cfg.KernelVersion); err != nil {
			return fmt.Errorf("initramfs: /%s: %w", m.Path, err)
		}
		is := arch{mi.Machine, mi.Class, mi.Order}
		if *known && is != *want {
			return fmt.Errorf("initramfs: /%s: it is for %v; kernel %s is for %v", m.Path, is, cfg.KernelVersion, *want)
		}
		*want, *known = is, true
		e := kmod.Entry{Name: m.Name, Optional: m.Optional, Params: a.params(m.Name, params[m.Name])}
		delete(params, m.Name)
		if e.Path, err = a.addModule(m.Module); err != nil {
			return err
		}
		if err := a.addFirmware(m.Name, mi.Firmware); err != nil {
			return err
		}
		list.Entries = append(list.Entries, e)
	}
	if len(params) > 0 {
		return fmt.Errorf("initramfs: parameters for modules that are not in it: %q", slices.Sorted(maps.Keys(params)))
	}
	a.report.Notes = append(a.report.Notes, a.tree.Modprobe().Notes...)
	text, err := list.AppendText(nil)
	if err != nil {
		return fmt.Errorf("initramfs: %w", err)
	}
	return a.layout.file(Bytes(kmod.ListPath, 0o644, text))
}

// params joins what modprobe.d and the caller want. Nobody can run an install command in a capture.
func (a *moduleAdder) params(name, more string) string {
	conf := a.tree.Modprobe()
	if command := conf.Install[name]; command != "" {
		a.report.Notes = append(a.report.Notes, fmt.Sprintf("modprobe.d has an install command for %s, which can't be run in the capture kernel: the module is loaded without it (%s)", name, command))
	}
	return strings.TrimSpace(conf.Options[name] + " " + more)
}

func (a *moduleAdder) addModule(m kmod.Module) (string, error) {
	packing := kmod.Plain
	read := a.tree.Image
	if !a.cfg.UnpackModules {
		b, err := a.tree.File(m)
		if err != nil {
			return "", fmt.Errorf("initramfs: %w", err)
		}
		packing = kmod.PackingOf(b)
		read = a.tree.File
	}
	name := "lib/modules/" + a.cfg.KernelVersion + "/" + m.Name + ".ko" + packing.Ext()
	// Read when it is its turn to be written: one module in memory at a time.
	return name, a.layout.add(&item{path: name, mode: 0o100644, open: func() (io.ReaderAt, int64, error) {
		b, err := read(m)
		if err != nil {
			return nil, 0, fmt.Errorf("initramfs: %w", err)
		}
		return bytes.NewReader(b), int64(len(b)), nil
	}})
}

// addFirmware adds the files that a module may ask the kernel for, and notes those that are not there.
func (a *moduleAdder) addFirmware(module string, patterns []string) error {
	var missing []string
	for _, pattern := range patterns {
		files, err := kmod.FindFirmware(a.cfg.Root, a.cfg.KernelVersion, pattern)
		if err != nil {
			return fmt.Errorf("initramfs: firmware of %s: %w", module, err)
		}
		if len(files) == 0 {
			missing = append(missing, pattern)
		}
		for _, f := range files {
			name := "lib/firmware/" + f.Name
			keep := f.Packing == kmod.Plain || a.kernel.BuiltIn(firmwareOptions[f.Packing])
			if keep {
				name += f.Packing.Ext()
			}
			if _, there := a.layout[name]; there {
				continue // another module's too
			}
			err := a.layout.add(&item{path: name, mode: 0o100644, open: func() (io.ReaderAt, int64, error) {
				b, err := f.Read(a.cfg.Root)
				if err == nil && !keep {
					b, err = kmod.Unpack(b)
				}
				if err != nil {
					return nil, 0, fmt.Errorf("initramfs: firmware /%s: %w", f.Path, err)
				}
				return bytes.NewReader(b), int64(len(b)), nil
			}})
			if err != nil {
				return err
			}
		}
	}
	if len(missing) > 0 {
		a.report.Notes = append(a.report.Notes, fmt.Sprintf("module %s names firmware that is not in /lib/firmware: %s; a device that needs it will not work in the capture kernel", module, strings.Join(missing, ", ")))
	}
	return nil
}

// firmwareOptions let the kernel load packed firmware (drivers/base/firmware_loader/Kconfig); without
// them it is put in unpacked.
var firmwareOptions = [...]string{kmod.XZ: "FW_LOADER_COMPRESS_XZ", kmod.Zstd: "FW_LOADER_COMPRESS_ZSTD"}
