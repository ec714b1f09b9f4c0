package loader

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/gokexec/gokexec/internal/uname"
	"github.com/gokexec/gokexec/pkg/kmod"
)

// CheckCapture looks at what no load refuses and a capture fails by: whether the capture kernel can
// unpack its initrd, whether that is made for it and has what the dump needs, what its
// command line lacks, and what of this machine gets into its way. root is the tree that host was read
// from. plan is nil when only the machine is looked at. It reads and unpacks the whole initrd.
func CheckCapture(root fs.FS, host *Host, plan *Plan) []Finding {
	c := &captureCheck{root: root, read: newReader(root), host: host, plan: plan}
	var findings []Finding
	if plan != nil {
		if plan.Initrd != nil {
			findings = append(findings, c.initramfs()...)
		}
		findings = append(findings, c.cmdline())
	}
	return append(findings, c.watchdogs(), c.encryption(), c.graphics(), c.reloads())
}

// captureCheck is what the checks share.
type captureCheck struct {
	root    fs.FS
	read    hostReader // of root; what can't be read is nothing to complain of
	host    *Host
	plan    *Plan
	initrd  *Initramfs // nil when there is none, or it can't be read
	release string     // of the capture kernel; "" when it doesn't tell
	tree    *kmod.Tree // of that release; nil when it isn't on this machine
}

// initramfs reads the initrd and judges it.
func (c *captureCheck) initramfs() []Finding {
	const name = "initrd"
	source := c.plan.Initrd.reader()
	if source == nil {
		return []Finding{unknown(name, "it can't be looked into")}
	}
	initrd, err := ReadInitramfs(source)
	if err != nil {
		return []Finding{{Check: name, Level: Warning,
			Detail: fmt.Sprintf("%s: %v", c.plan.Initrd.Path, err),
			Remedy: "the capture kernel may not unpack it (\"junk within compressed archive\", \"write error\"): make it anew, by gokexec initramfs or the distribution's tool"}}
	}
	c.initrd = initrd
	c.release, _ = c.plan.Image.Release()
	if c.release != "" {
		c.tree, _ = kmod.Open(c.root, c.release)
	}
	return []Finding{c.unpacked(), c.made(), c.age(), c.modules()}
}

// unpacked holds the memory that the files take against what the capture kernel has. Where the initramfs
// is the root, that is a tmpfs of half of its memory (fs/namespace.c, init_mount_tree;
// mm/shmem.c, shmem_default_max_blocks).
func (c *captureCheck) unpacked() Finding {
	const name = "unpacked initrd"
	region, found := c.host.CrashRegion()
	if !found {
		return unknown(name, "the crash memory is not known")
	}
	p, need := c.plan, c.initrd.Unpacked
	taken := p.Image.MemSize + p.initrdSize() + controlPages(c.host)
	left := region.Size() - min(taken, region.Size())
	limit, why, safe := left, "left of the crash memory", left/2
	cmdline, err := ParseCmdline(p.Cmdline)
	if err == nil && !cmdline.Has("root") && !c.takesInitramfsOptions(cmdline) && region.Size()/2 < limit {
		// Of its memory without the kernel itself, which gives back a part of MemSize.
		limit, why = region.Size()/2, "half of its memory, which a root in memory may take"
		safe = min(safe, (region.Size()-min(p.Image.MemSize, region.Size()))/2)
	}
	enough := mib(roundUp(taken+2*need+smallCrashRegion/2, 32<<20))
	switch {
	case need > limit:
		return Finding{Check: name, Level: Failure,
			Detail: fmt.Sprintf("the initrd of %s unpacks to %s; the capture kernel has at most %s (%s), and ends with \"Initramfs unpacking failed: write error\"", mib(p.initrdSize()), mib(need), mib(limit), why),
			Remedy: fmt.Sprintf("enlarge crashkernel= to %s, use a smaller initrd (gokexec initramfs makes one of a few MB), or append initramfs_options=size=90%% (Linux 6.18)", enough)}
	case need > safe:
		return Finding{Check: name, Level: Warning,
			Detail: fmt.Sprintf("the initrd of %s unpacks to %s of the %s that the capture kernel has (%s): little is left to run in", mib(p.initrdSize()), mib(need), mib(limit), why),
			Remedy: fmt.Sprintf("enlarge crashkernel= to %s, or use a smaller initrd (gokexec initramfs makes one of a few MB)", enough)}
	}
	return ok(name, "%s of %s", mib(need), mib(limit))
}

// takesInitramfsOptions tells whether initramfs_options= has an effect: gokexec gives
// it to every capture kernel, and before Linux 6.18 none looks at it.
func (c *captureCheck) takesInitramfsOptions(cmdline Cmdline) bool {
	return cmdline.Has("initramfs_options") && (c.release == "" || uname.AtLeast(c.release, 6, 18))
}

// made holds the kernel that the modules are of against the one that is loaded.
func (c *captureCheck) made() Finding {
	const name = "initrd's kernel"
	if c.release == "" || len(c.initrd.Releases) == 0 {
		return ok(name, "the initrd has no modules, or the kernel doesn't tell its release")
	}
	if !slices.Contains(c.initrd.Releases, c.release) {
		return Finding{Check: name, Level: Warning,
			Detail: fmt.Sprintf("%s has modules of %s, the kernel is %s and will not load them", c.plan.Initrd.Path, strings.Join(c.initrd.Releases, ", "), c.release),
			Remedy: "make the initrd for that kernel: gokexec initramfs --kernel " + c.release + ", or the distribution's tool with that release"}
	}
	return ok(name, "made for %s", c.release)
}

// age compares the initrd with the modules it was made of.
func (c *captureCheck) age() Finding {
	const name = "initrd's age"
	made, known := c.plan.Initrd.modified()
	if c.tree == nil || !known {
		return unknown(name, "no modules of the capture kernel on this machine to compare it with")
	}
	info, err := fs.Stat(c.root, c.tree.Dir()+"/modules.dep")
	if err != nil {
		return unknown(name, "%v", err)
	}
	if changed := info.ModTime(); changed.After(made.Add(time.Second)) {
		return Finding{Check: name, Level: Warning,
			Detail: fmt.Sprintf("%s is of %s, older than the modules of %s (%s): it may hold modules that were replaced since", c.plan.Initrd.Path, made.UTC().Format(time.DateTime), c.release, changed.UTC().Format(time.DateTime)),
			Remedy: "make it anew, by gokexec initramfs or the distribution's tool"}
	}
	return ok(name, "as new as the modules of %s", c.release)
}

// modules looks for what the disk that root= names needs.
func (c *captureCheck) modules() Finding {
	const name = "initrd's modules"
	cmdline, err := ParseCmdline(c.plan.Cmdline)
	if err != nil || c.tree == nil {
		return unknown(name, "no modules of the capture kernel on this machine to compare them with")
	}
	device := ""
	for _, a := range cmdline.Args {
		if a.Name == "root" {
			device = a.Value
		}
	}
	if device == "" {
		return ok(name, "no root= to look for")
	}
	required, err := c.tree.ModulesForBlockDevice(c.root, device)
	if err != nil {
		return unknown(name, "root=%s: %v", device, err)
	}
	needed, err := c.tree.Closure(required, nil)
	if err != nil {
		return unknown(name, "root=%s: %v", device, err)
	}
	var missing []string
	for _, n := range needed {
		if !n.Optional && !c.initrd.Modules[kmod.NormalizeName(n.Name)] {
			missing = append(missing, n.Name)
		}
	}
	if len(missing) > 0 {
		return Finding{Check: name, Level: Warning,
			Detail: fmt.Sprintf("%s lacks %s, without which the capture kernel does not find root=%s", c.plan.Initrd.Path, strings.Join(missing, ", "), device),
			Remedy: "make an initrd with them: gokexec initramfs with the dump's target, which finds them by itself, or dracut --add-drivers"}
	}
	return ok(name, "what root=%s needs is there", device)
}

// reader gives what the kernel will unpack; nil if there is nothing to read.
func (p *Payload) reader() io.Reader {
	switch {
	case p.data != nil:
		return bytes.NewReader(p.data)
	case p.source != nil:
		return io.NewSectionReader(p.source, 0, p.source.Size)
	}
	return nil
}

// modified is when the file was written last.
func (p *Payload) modified() (time.Time, bool) {
	if p.source == nil || p.source.file == nil {
		return time.Time{}, false
	}
	info, err := p.source.file.Stat()
	if err != nil {
		return time.Time{}, false
	}
	return info.ModTime(), true
}
