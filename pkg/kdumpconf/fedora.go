package kdumpconf

import (
	"cmp"
	"path"
	"strings"

	"github.com/gokexec/gokexec/pkg/capture"
	"github.com/gokexec/gokexec/pkg/cmdline"
)

// defaultPath is where distributions save.
const defaultPath = "/var/crash"

// filesystems are the directives of kdump.conf that name a target by its filesystem.
var filesystems = []string{"ext2", "ext3", "ext4", "xfs", "btrfs", "minix"}

// fedoraDirectives are those of kdump.conf(5) and of /etc/sysconfig/kdump of Fedora and RHEL (kdump-utils).
func fedoraDirectives() []directive {
	return []directive{
		noted("path", "raw", "failure_action", "default"), noted(filesystems...),
		noted("nfs", "nfs4", "ssh", "sshkey", "fence_kdump_args", "fence_kdump_nodes"),
		lost("a filesystem of the host of a virtual machine is no block device: not there yet", "virtiofs"),
		{names: []string{"core_collector"}, apply: coreCollector},
		action("final_action", "FinalAction"),
		programs("kdump_pre", "Pre"), programs("kdump_post", "Post"), programs("kdump_emergency", "Emergency"),
		words("extra_bins", sectionInitramfs, "Add"), words("extra_modules", sectionInitramfs, "Module"),
		number("disk_timeout", sectionCapture, "DeviceTimeout", "", 0),
		lost(rebuilt, "force_rebuild", "force_no_rebuild"),
		lost("not needed: gokexec setup sets crashkernel=, and gokexec estimate tells how large", "auto_reset_crashkernel"),
		lost("dracut makes no initramfs of gokexec: name modules and files in [Initramfs]", "dracut_args"),
		lost("kdump-utils does not take it any longer either", "net", "options", "link_delay", "debug_mem_level", "blacklist"),

		noted("KDUMP_KERNELVER", "KDUMP_BOOTDIR", "KDUMP_IMG", "KDUMP_IMG_EXT"),
		key("KDUMP_COMMANDLINE", sectionKernel, "Cmdline"),
		{names: []string{"KDUMP_COMMANDLINE_REMOVE"}, apply: removed},
		{names: []string{"KDUMP_COMMANDLINE_APPEND"}, apply: (*importer).appended},
		kexecOptions("KEXEC_ARGS"),
		lost(noFadump, "FADUMP_COMMANDLINE_APPEND"),
		lost(noMail, "VMCORE_CREATION_NOTIFICATION"),
		lost(ownLog, "KDUMP_STDLOGLVL", "KDUMP_SYSLOGLVL", "KDUMP_KMSGLOGLVL"),
		lost(rebuilt, "MKDUMPRD_ARGS"),
	}
}

// coreCollector reads a command line of which the first word is the program.
func coreCollector(in *importer, a assigned) string {
	fields := strings.Fields(a.value)
	if len(fields) == 0 {
		return ""
	}
	if path.Base(fields[0]) != "makedumpfile" {
		return "gokexec writes the dump itself; DumpLevel=, Format= and Compress= say how"
	}
	return in.collector(fields[1:], a)
}

// removed looks whether gokexec drops the words by itself: it has a table of those that harm a capture.
func removed(_ *importer, a assigned) string {
	line, err := cmdline.ParseClosed(a.value)
	if err != nil {
		return err.Error()
	}
	var kept []string
	for _, word := range line.Args {
		if !dropped(word.Name) {
			kept = append(kept, word.Name)
		}
	}
	if len(kept) == 0 {
		return ""
	}
	return "gokexec does not leave these words of the running kernel out: " + strings.Join(kept, " ") + "; set [Kernel] Cmdline= to a line without them"
}

// dropped tells whether a parameter of the running kernel is left out, of some value.
func dropped(name string) bool {
	for _, p := range cmdline.DroppedParams() {
		prefix, any := strings.CutSuffix(p.Name, "*")
		if p.Name != "" && (cmdline.Same(name, p.Name) || any && len(name) >= len(prefix) && cmdline.Same(name[:len(prefix)], prefix)) {
			return true
		}
	}
	return false
}

// finishFedora finds the targets: where the directory is depends on what else is given.
func finishFedora(in *importer) {
	dir, pathLine := in.text("path")
	relative := cmp.Or(dir, defaultPath)
	found := false
	use := func(t capture.Target, a assigned) {
		found = true
		in.target(t.String(), a)
	}
	for _, name := range filesystems {
		if device, a := in.text(name); device != "" {
			use(capture.Target{Type: capture.TargetFilesystem, Device: unquote(device), Path: path.Join("/", relative)}, a)
		}
	}
	if device, a := in.text("raw"); device != "" {
		use(capture.Target{Type: capture.TargetRaw, Device: unquote(device)}, a)
	}
	elsewhere := false // a target whose directories are not named by path
	for _, name := range []string{"nfs", "nfs4"} {
		if export, a := in.text(name); export != "" {
			in.target("nfs:"+export, a)
			elsewhere = true
		}
	}
	if host, a := in.text("ssh"); host != "" {
		key, keyLine := in.text("sshkey")
		in.ssh(host, relative, a, key, keyLine)
		found = true
	}
	if shared, _ := in.text("virtiofs"); shared != "" {
		elsewhere = true
	}
	switch {
	case found || dir == "":
	case elsewhere:
		in.unmatched(pathLine, ownDirectory)
	default:
		in.directory(dir, pathLine)
	}
	in.fence()
	in.failure(relative)
	in.kernel(cmp.Or(first(in.text("KDUMP_BOOTDIR")), "/boot"), cmp.Or(first(in.text("KDUMP_IMG")), "vmlinuz"), first(in.text("KDUMP_IMG_EXT")))
	for _, h := range []struct{ dir, key string }{{"etc/kdump/pre.d", "Pre"}, {"etc/kdump/post.d", "Post"}, {"etc/kdump/emergency.d", "Emergency"}} {
		in.hooks(h.dir, h.key)
	}
}

func first(s string, _ assigned) string { return s }

// unquote drops the quotes of LABEL="x" and the like.
func unquote(device string) string { return strings.NewReplacer(`"`, "", "'", "").Replace(device) }

// failure is failure_action, or default, its old name.
func (in *importer) failure(dir string) {
	value, a := in.text("failure_action")
	if value == "" {
		value, a = in.text("default")
	} else if old, b := in.text("default"); old != "" {
		in.unmatched(b, "failure_action counts")
	}
	switch value {
	case "":
	case "dump_to_rootfs":
		// A second target, where the first fails.
		in.directory(path.Join("/", dir), a)
	default:
		if reason := in.action("FailureAction", value, a); reason != "" {
			in.unmatched(a, reason)
		}
	}
}

// kernel names the file of a kernel that was named by its release or its path.
func (in *importer) kernel(dir, image, extension string) {
	version, a := in.text("KDUMP_KERNELVER")
	switch {
	case version == "":
	case path.IsAbs(version):
		in.set(sectionKernel, "Image", version, a)
	default:
		in.set(sectionKernel, "Image", path.Join(dir, image+"-"+version+extension), a)
	}
}
