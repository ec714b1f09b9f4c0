package check

import (
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/gokexec/gokexec/pkg/advice"
	"github.com/gokexec/gokexec/pkg/cmdline"
	"github.com/gokexec/gokexec/pkg/initramfs"
	"github.com/gokexec/gokexec/pkg/kmod"
	"github.com/gokexec/gokexec/pkg/machine"
	"github.com/gokexec/gokexec/pkg/plan"
)

// Capture looks at what no load refuses and a capture fails by: whether the capture kernel can
// unpack its initrd, whether that is made for it and has what the dump needs, what its
// command line lacks, and what of this machine gets into its way. root is the tree that host was read
// from. plan, and in that it was made of, are nil when only the machine is looked at. It reads and unpacks the
// whole initrd.
func Capture(root fs.FS, host *machine.Host, in *plan.Inputs, plan *plan.Plan) []advice.Finding {
	c := &captureCheck{root: root, host: host, inputs: in, plan: plan}
	var findings []advice.Finding
	if plan != nil {
		if plan.Initrd != nil {
			findings = append(findings, c.initramfs()...)
		}
		findings = append(findings, c.cmdline())
	}
	findings = append(findings, Reservation(root, host, plan, c.initrd)...)
	return append(findings, c.watchdogs(), c.hotMemory(), c.encryption(), c.graphics(), c.reloads())
}

// captureCheck is what the checks share.
type captureCheck struct {
	root    fs.FS
	host    *machine.Host
	inputs  *plan.Inputs
	plan    *plan.Plan
	initrd  *initramfs.Contents // nil when there is none, or it can't be read
	release string              // of the capture kernel; "" when it doesn't tell
	tree    *kmod.Tree          // of that release; nil when it isn't on this machine
}

// initramfs reads the initrd and judges it.
func (c *captureCheck) initramfs() []advice.Finding {
	initrd, f := readInitrd(c.inputs, c.plan, c.host)
	if initrd == nil {
		return []advice.Finding{f}
	}
	c.initrd = initrd
	c.release = c.inputs.Release()
	if c.release != "" {
		c.tree, _ = kmod.Open(c.root, c.release)
	}
	return []advice.Finding{f, checkUnpacked(c.plan, c.release, c.host, initrd), checkKernelOfInitrd(c.plan, c.release, initrd), c.age(), c.modules()}
}

// age compares the initrd with the modules it was made of.
func (c *captureCheck) age() advice.Finding {
	const name = "initrd's age"
	made := c.plan.Initrd.ID.Modified
	if c.tree == nil || made.IsZero() {
		return advice.NotKnown(name, "no modules of the capture kernel on this machine to compare it with")
	}
	info, err := fs.Stat(c.root, c.tree.Dir()+"/modules.dep")
	if err != nil {
		return advice.NotKnown(name, "%v", err)
	}
	if changed := info.ModTime(); changed.After(made.Add(time.Second)) {
		return advice.Finding{Check: name, Level: advice.Warning,
			Detail: fmt.Sprintf("%s is of %s, older than the modules of %s (%s): it may hold modules that were replaced since", c.plan.Initrd.Path, made.UTC().Format(time.DateTime), c.release, changed.UTC().Format(time.DateTime)),
			Remedy: "make it anew, by gokexec initramfs or the distribution's tool"}
	}
	return advice.Passed(name, "as new as the modules of %s", c.release)
}

// modules looks for what the disk that root= names needs.
func (c *captureCheck) modules() advice.Finding {
	const name = "initrd's modules"
	cmdline, err := cmdline.Parse(c.plan.Cmdline)
	if err != nil || c.tree == nil {
		return advice.NotKnown(name, "no modules of the capture kernel on this machine to compare them with")
	}
	device := ""
	for _, a := range cmdline.Args {
		if a.Name == "root" {
			device = a.Value
		}
	}
	if device == "" {
		return advice.Passed(name, "no root= to look for")
	}
	required, err := c.tree.ModulesForBlockDevice(c.root, device)
	if err != nil {
		return advice.NotKnown(name, "root=%s: %v", device, err)
	}
	needed, err := c.tree.Closure(required, nil)
	if err != nil {
		return advice.NotKnown(name, "root=%s: %v", device, err)
	}
	var missing []string
	for _, n := range needed {
		if !n.Optional && !c.initrd.Modules[kmod.NormalizeName(n.Name)] {
			missing = append(missing, n.Name)
		}
	}
	if len(missing) > 0 && c.initrd.Inner != "" {
		return advice.NotKnown(name, "%s for root=%s may be in %s, which is not looked into", strings.Join(missing, ", "), device, c.initrd.Inner)
	}
	if len(missing) > 0 {
		return advice.Finding{Check: name, Level: advice.Warning,
			Detail: fmt.Sprintf("%s lacks %s, without which the capture kernel does not find root=%s", c.plan.Initrd.Path, strings.Join(missing, ", "), device),
			Remedy: "make an initrd with them: gokexec initramfs with the dump's target, which finds them by itself, or dracut --add-drivers"}
	}
	return advice.Passed(name, "what root=%s needs is there", device)
}
