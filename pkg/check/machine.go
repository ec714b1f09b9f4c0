package check

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/cmdline"
	"github.com/gokexec/gokexec/pkg/kmod"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/plan"
)

// cmdline looks for words that a capture kernel needs, or that hurt it. What
// gokexec completes lacks nothing; one given with CmdlineExact, or by kexec(8), may.
func (c *captureCheck) cmdline() advice.Finding {
	const name = "capture command line"
	words, err := cmdline.Parse(c.plan.Cmdline)
	if err != nil {
		return advice.NotKnown(name, "%v", err)
	}
	var lacks, harmful, why []string
	_, changes := cmdline.Complete(words, c.host.CmdlineTraits())
	for _, change := range changes {
		lacks = append(lacks, change.Text)
		why = append(why, change.Text+": "+change.Why)
	}
	_, changes = cmdline.DropEnding(words, c.host.Arch.Machine)
	for _, change := range changes {
		harmful = append(harmful, change.Text)
		why = append(why, change.Text+": "+change.Why)
	}
	if c.plan.Initrd == nil && !words.Has("root") {
		lacks = append(lacks, "root=")
		why = append(why, "root=: there is no initrd either, so there is nothing to run")
	}
	var parts []string
	if len(lacks) > 0 {
		parts = append(parts, "it lacks "+strings.Join(lacks, " "))
	}
	if len(harmful) > 0 {
		parts = append(parts, "it has "+strings.Join(harmful, " "))
	}
	if len(parts) == 0 {
		return advice.Passed(name, "it has what a capture kernel needs")
	}
	return advice.Finding{Check: name, Level: advice.Warning, Detail: strings.Join(parts, ", and "),
		Remedy: "leave --cmdline-exact out, or repair it (" + strings.Join(why, "; ") + ")"}
}

// watchdogs looks for those that run: after the panic nobody feeds them.
func (c *captureCheck) watchdogs() advice.Finding {
	const name = "watchdog"
	dogs, err := kmod.Watchdogs(c.root)
	if err != nil {
		return advice.NotKnown(name, "%v", err)
	}
	var guarded []string
	for _, dog := range dogs {
		if dog.Software {
			continue
		}
		what := fmt.Sprintf("%s (%s) runs, and resets the machine", dog.Name, dog.Identity)
		if dog.Timeout != "" {
			what += " " + dog.Timeout + " s after the panic"
		}
		missing := c.missingModules(dog.Drivers)
		if len(dog.Drivers) > 0 && len(missing) == 0 && c.initrd != nil {
			guarded = append(guarded, fmt.Sprintf("%s; its driver %s is in the initrd", what, strings.Join(dog.Drivers, ", ")))
			continue
		}
		remedy := "a capture kernel must pet it: gokexec initramfs --watchdog"
		for _, module := range missing {
			remedy += " --module " + module
		}
		return advice.Finding{Check: name, Level: advice.Warning, Detail: what + ", in the middle of a dump",
			Remedy: remedy + ", or the driver in the distribution's capture initramfs"}
	}
	if len(guarded) > 0 {
		return advice.Passed(name, "%s", strings.Join(guarded, "; "))
	}
	return advice.Passed(name, "none runs")
}

// missingModules are those that the initrd lacks, as far as they are not built into the capture kernel.
func (c *captureCheck) missingModules(names []string) []string {
	var missing []string
	for _, n := range names {
		if c.initrd != nil && c.initrd.Modules[n] || c.tree != nil && c.tree.Builtin(n) {
			continue
		}
		missing = append(missing, n)
	}
	return missing
}

// hotMemory looks for virtio-mem devices, whose driver the capture kernel needs before it reads the
// old memory (fs/proc/vmcore.c, register_vmcore_cb).
func (c *captureCheck) hotMemory() advice.Finding {
	const name = "virtio-mem"
	devices, err := kmod.HotMemory(c.root)
	switch {
	case err != nil:
		return advice.NotKnown(name, "%v", err)
	case len(devices) == 0:
		return advice.Passed(name, "no such memory")
	case c.initrd == nil || c.initrd.Inner != "" || c.tree == nil:
		return advice.NotKnown(name, "whether the capture kernel has its driver virtio_mem")
	}
	if missing := c.missingModules([]string{"virtio_mem"}); len(missing) > 0 {
		return advice.Finding{Check: name, Level: advice.Warning,
			Detail: fmt.Sprintf("%s lacks virtio_mem: the capture kernel reads memory that the host has unplugged, or misses what it has plugged", c.plan.Initrd.Path),
			Remedy: "make the initrd anew: gokexec initramfs finds the driver by itself; or dracut --add-drivers virtio_mem"}
	}
	return advice.Passed(name, "the capture kernel has its driver")
}

// argonMemory is what cryptsetup lets Argon2 use by default to unlock a LUKS2 disk, in
// bytes (cryptsetup(8), --pbkdf-memory).
const argonMemory = 1 << 30

// encryption looks for disks that a capture kernel has to unlock.
func (c *captureCheck) encryption() advice.Finding {
	const name = "encrypted disks"
	names, err := fs.Glob(c.root, "sys/class/block/dm-*/dm/uuid")
	if err != nil {
		return advice.NotKnown(name, "%v", err)
	}
	for _, uuid := range names {
		kind, found := strings.CutPrefix(machine.ReadText(c.root, uuid), "CRYPT-")
		if !found {
			continue
		}
		disk := machine.ReadText(c.root, path.Dir(uuid)+"/name")
		kind, _, _ = strings.Cut(kind, "-")
		if machine.HasDiskKeys(c.root) || len(plan.DiskKeysOf(c.initrd)) > 0 {
			return advice.Passed(name, "%s (%s); its key goes into the crash memory", disk, kind)
		}
		f := advice.Finding{Check: name, Level: advice.Warning,
			Detail: fmt.Sprintf("%s is encrypted (%s): a capture kernel that saves to it needs its key", disk, kind),
			Remedy: "save to a disk or host that needs none, let gokexec arm put the key into the crash memory (DiskKeys=memory), or the kernel (DiskKeys=kernel, by /sys/kernel/config/crash_dm_crypt_keys of Linux 6.16)"}
		if region, found := c.host.CrashRegion(); found && kind == "LUKS2" && region.Size() < argonMemory+plan.SmallCrashMemory {
			f.Detail += fmt.Sprintf(", and Argon2 up to %s to unlock it by a passphrase; %s are reserved", advice.MiB(argonMemory), advice.MiB(region.Size()))
			f.Remedy += ", or crashkernel=1536M"
		}
		return f
	}
	return advice.Passed(name, "none")
}

// graphics looks for drivers whose hardware a capture kernel takes over in the state the crashed kernel
// left it in.
func (c *captureCheck) graphics() advice.Finding {
	const name = "graphics"
	words := cmdline.Cmdline{}
	if c.plan != nil {
		words, _ = cmdline.Parse(c.plan.Cmdline)
	}
	if c.initrd != nil && !words.Has("nomodeset") {
		for _, driver := range []string{"nouveau", "amdgpu", "radeon", "i915", "xe", "nvidia", "nvidia_drm"} {
			if c.initrd.Modules[driver] {
				return advice.Finding{Check: name, Level: advice.Warning,
					Detail: fmt.Sprintf("the initrd has the graphics driver %s: it takes tens of MiB and may hang on hardware that was left running", driver),
					Remedy: "append nomodeset, or make an initrd without it (dracut --omit-drivers " + driver + ", gokexec initramfs)"}
			}
		}
	}
	for line := range strings.Lines(machine.ReadText(c.root, "proc/fb")) {
		_, driver, _ := strings.Cut(strings.TrimSpace(line), " ")
		if !strings.HasSuffix(driver, "drmfb") || strings.HasPrefix(driver, "simpledrm") || strings.HasPrefix(driver, "efidrm") || strings.HasPrefix(driver, "vesadrm") {
			continue
		}
		if c.plan != nil && !words.Has("console") {
			return advice.Finding{Check: name, Level: advice.Warning,
				Detail: fmt.Sprintf("the screen is driven by %s, and a capture kernel without that driver has no framebuffer: it stays black, and console= names nothing else", strings.TrimSuffix(driver, "drmfb")),
				Remedy: "append the serial console, console=ttyS0,115200 for example, to see what the capture does"}
		}
	}
	return advice.Passed(name, "nothing in the way")
}

// ruleDirs are where udev reads rules (udev(7)); a file hides those of its name in later ones.
var ruleDirs = []string{"etc/udev/rules.d", "run/udev/rules.d", "usr/local/lib/udev/rules.d", "usr/lib/udev/rules.d", "lib/udev/rules.d"}

// reloads looks for udev rules that reload the crash kernel for each CPU and each block of memory that comes
// or goes: beside gokexec's own, or although the kernel updates the header in place
// (Documentation/ABI/testing/sysfs-devices-memory, crash_hotplug).
func (c *captureCheck) reloads() advice.Finding {
	const name = "hotplug rules"
	rules := c.reloadRules()
	ours := slices.ContainsFunc(rules, func(r udevRule) bool { return path.Base(r.file) == ownRule })
	if !ours && c.host.ElfcorehdrSize == 0 && !c.host.Arch.OwnHeader {
		return advice.Passed(name, "this kernel can't update a loaded header, so that reloads are needed")
	}
	for _, r := range rules {
		const hide = "hide it by an empty file of its name in /etc/udev/rules.d (/usr/lib/gokexec/gokexec-hide-rules hide does so)"
		switch {
		case path.Base(r.file) == ownRule:
		case ours:
			return advice.Finding{Check: name, Level: advice.Warning,
				Detail: fmt.Sprintf("/%s reloads the crash kernel for every CPU and block of memory that is hot-added or hot-removed, beside gokexec's own %s: some of these unload it first, and undo what gokexec has done", r.file, ownRule),
				Remedy: hide}
		case !strings.Contains(r.text, "crash_hotplug"):
			return advice.Finding{Check: name, Level: advice.Warning,
				Detail: fmt.Sprintf("/%s reloads the crash kernel for every CPU and block of memory that is hot-added or hot-removed, without asking crash_hotplug whether that is needed", r.file),
				Remedy: hide + " and use gokexec's " + ownRule + ", or have it skip devices with ATTRS{crash_hotplug}==\"1\""}
		}
	}
	return advice.Passed(name, "none that reloads without need")
}

// ownRule is the udev rule that gokexec's packages bring.
const ownRule = "60-gokexec.rules"

type udevRule struct{ file, text string }

// reloadRules lists the rules in force that have to do with the crash kernel and with CPUs or memory.
func (c *captureCheck) reloadRules() []udevRule {
	var found []udevRule
	seen := map[string]bool{}
	for _, dir := range ruleDirs {
		files, _ := fs.Glob(c.root, dir+"/*.rules") // the pattern is good
		for _, file := range files {
			if seen[path.Base(file)] {
				continue
			}
			seen[path.Base(file)] = true
			text := machine.ReadText(c.root, file)
			about := strings.Contains(text, "kdump") || strings.Contains(text, "kexec")
			if about && (strings.Contains(text, `"memory`) || strings.Contains(text, `"cpu"`)) {
				found = append(found, udevRule{file, text})
			}
		}
	}
	return found
}
