package check

import (
	"errors"
	"fmt"
	"io/fs"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/gokexec/gokexec/internal/uname"
	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/cmdline"
	"github.com/gokexec/gokexec/pkg/initramfs"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/memmap"
	"github.com/gokexec/gokexec/pkg/plan"
)

// The checks of Initrd.
const (
	checkInitrd  advice.CheckID = "initrd"
	InitrdKernel advice.CheckID = "initrd's kernel"
)

// maxUnpacked bounds what an initrd may unpack to where the crash memory is not known, in bytes.
const maxUnpacked = 4 << 30

// Initrd reads all of a crash kernel's initrd as the kernel will, and tells what no load refuses
// and each capture fails by: a Failure is a file that is no initramfs, or a damaged one (with
// Spec.Force a Warning), a Warning one that is too large or whose modules are another kernel's. It finds nothing to say of
// an ordinary kexec, or of a plan without an initrd. in is what p was made of. With root, the tree that host was read
// from, it also tells whether the reservation is enough for a capture with such a kernel and initramfs.
func Initrd(root fs.FS, in *plan.Inputs, p *plan.Plan, host *machine.Host) []advice.Finding {
	if p.Kind != machine.Crash || p.Initrd == nil {
		return nil
	}
	contents, f := readInitrd(in, p, host)
	if contents == nil {
		return []advice.Finding{f}
	}
	release := in.Release()
	room := checkUnpacked(p, release, host, contents)
	room.Level = min(room.Level, advice.Warning) // an estimate: no reason to be without a crash kernel
	findings := []advice.Finding{f, room, checkKernelOfInitrd(p, release, contents)}
	if root != nil {
		findings = append(findings, Reservation(root, host, p, contents)...)
	}
	return findings
}

// PrepareInitrd does the part of Initrd that takes memory, and gives that back. Before a plan is made that
// keeps a load's peak down: the images are not in memory yet.
func PrepareInitrd(in *plan.Inputs, host *machine.Host) {
	if in.Spec.Kind != machine.Crash || in.Initrd == nil || in.HasReadInitrd() {
		return
	}
	_, _ = in.ReadInitrd(initrdLimit(host)) // Initrd judges the error
	debug.FreeOSMemory()
}

// initrdLimit is what an initrd may unpack to, in bytes.
func initrdLimit(host *machine.Host) uint64 {
	if region, found := host.CrashRegion(); found {
		return region.Size()
	}
	return maxUnpacked
}

// readInitrd gives no contents where the initrd can't be looked into, or has no modules to judge.
func readInitrd(in *plan.Inputs, p *plan.Plan, host *machine.Host) (*initramfs.Contents, advice.Finding) {
	if p.Initrd.Data == nil && in.Initrd == nil {
		return nil, advice.NotKnown(checkInitrd, "it can't be looked into")
	}
	contents, err := in.ReadInitrdOf(p, initrdLimit(host))
	remedy := "the capture kernel may not unpack it (\"junk within compressed archive\", \"write error\"): make it anew, by gokexec initramfs or the distribution's tool"
	switch {
	case err == nil && contents.Ramdisk != "":
		return nil, advice.Finding{Check: checkInitrd, Level: advice.Warning,
			Detail: fmt.Sprintf("%s is no initramfs but a ramdisk with %s: only a kernel with CONFIG_BLK_DEV_RAM and root=/dev/ram0 takes it, and what is in it is not known", p.Initrd.Path, contents.Ramdisk),
			Remedy: "make an initramfs: gokexec initramfs, or the distribution's tool"}
	case err == nil:
		return contents, advice.Passed(checkInitrd, "an initramfs of %d files%s", contents.Files, innerNote(contents))
	case errors.Is(err, initramfs.ErrTooLarge):
		// Told by the check of what it unpacks to; what was seen says enough of the rest.
		return contents, advice.Passed(checkInitrd, "an initramfs of over %d files", contents.Files)
	case errors.Is(err, initramfs.ErrTrailing) && contents.Init:
		return contents, advice.Finding{Check: checkInitrd, Level: advice.Warning, Err: err,
			Detail: fmt.Sprintf("%s: %v: the kernel unpacks what is before it and says \"Initramfs unpacking failed\"", p.Initrd.Path, err), Remedy: remedy}
	}
	level := advice.Failure
	if p.Spec.Force {
		level = advice.Warning
	} else {
		remedy += "; --force loads it as it is"
	}
	return nil, advice.Finding{Check: checkInitrd, Level: level, Err: err, Detail: fmt.Sprintf("%s: %v", p.Initrd.Path, err), Remedy: remedy}
}

func innerNote(c *initramfs.Contents) string {
	if c.Inner == "" {
		return ""
	}
	return ", and the filesystem image " + c.Inner
}

// checkInitrdKernel holds the kernel that the modules are of against the one that is loaded.
func checkKernelOfInitrd(p *plan.Plan, release string, c *initramfs.Contents) advice.Finding {
	switch {
	case len(c.Releases) == 0 && c.Inner != "":
		return advice.NotKnown(InitrdKernel, "its modules are in %s, which is not looked into", c.Inner)
	case release == "" || len(c.Releases) == 0:
		return advice.Passed(InitrdKernel, "the initrd has no modules, or the kernel doesn't tell its release")
	case !slices.Contains(c.Releases, release):
		return advice.Finding{Check: InitrdKernel, Level: advice.Warning,
			Detail: fmt.Sprintf("%s has modules of %s, the kernel is %s and will not load them", p.Initrd.Path, strings.Join(c.Releases, ", "), release),
			Remedy: "make the initrd for that kernel: gokexec initramfs --kernel " + release + ", or the distribution's tool with that release"}
	}
	return advice.Passed(InitrdKernel, "made for %s", release)
}

// checkUnpacked holds the memory that the files take against what the capture kernel has. Where the initramfs
// is the root, that is a tmpfs of half of its memory (fs/namespace.c, init_mount_tree;
// mm/shmem.c, shmem_default_max_blocks).
func checkUnpacked(p *plan.Plan, release string, host *machine.Host, c *initramfs.Contents) advice.Finding {
	const name = "unpacked initrd"
	region, found := host.CrashRegion()
	if !found {
		return advice.NotKnown(name, "the crash memory is not known")
	}
	need := c.Unpacked
	taken := p.Image.MemSize + p.InitrdSize() + plan.ControlPages(host)
	left := region.Size() - min(taken, region.Size())
	limit, why, safe := left, "left of the crash memory", left/2
	cmdline, err := cmdline.Parse(p.Cmdline)
	if err == nil && !cmdline.Has("root") && !takesInitramfsOptions(release, cmdline) && region.Size()/2 < limit {
		// Of its memory without the kernel itself, which gives back a part of MemSize.
		limit, why = region.Size()/2, "half of its memory, which a root in memory may take"
		safe = min(safe, (region.Size()-min(p.Image.MemSize, region.Size()))/2)
	}
	enough := advice.MiB(memmap.RoundUp(taken+2*need+plan.SmallCrashMemory/2, 32<<20))
	switch {
	case need > limit:
		return advice.Finding{Check: name, Level: advice.Failure,
			Detail: fmt.Sprintf("the initrd of %s unpacks to %s; the capture kernel has at most %s (%s), and ends with \"Initramfs unpacking failed: write error\"", advice.MiB(p.InitrdSize()), advice.MiB(need), advice.MiB(limit), why),
			Remedy: fmt.Sprintf("enlarge crashkernel= to %s, use a smaller initrd (gokexec initramfs makes one of a few MB), or append initramfs_options=size=90%% (Linux 6.18)", enough)}
	case need > safe:
		return advice.Finding{Check: name, Level: advice.Warning,
			Detail: fmt.Sprintf("the initrd of %s unpacks to %s of the %s that the capture kernel has (%s): little is left to run in", advice.MiB(p.InitrdSize()), advice.MiB(need), advice.MiB(limit), why),
			Remedy: fmt.Sprintf("enlarge crashkernel= to %s, or use a smaller initrd (gokexec initramfs makes one of a few MB)", enough)}
	}
	return advice.Passed(name, "%s of %s", advice.MiB(need), advice.MiB(limit))
}

// takesInitramfsOptions tells whether initramfs_options= has an effect: gokexec gives
// it to every capture kernel, and before Linux 6.18 none looks at it.
func takesInitramfsOptions(release string, cmdline cmdline.Cmdline) bool {
	return cmdline.Has("initramfs_options") && (release == "" || uname.AtLeast(release, 6, 18))
}
