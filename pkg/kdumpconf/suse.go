package kdumpconf

import (
	"path"
	"strconv"
	"strings"
)

// suseDirectives are those of SUSE's kdump(5).
func suseDirectives() []directive {
	return []directive{
		{names: []string{"KDUMP_CRASHKERNEL"}, apply: func(in *importer, a assigned) string {
			in.out.Crashkernel = strings.TrimSpace(a.value)
			return ""
		}},
		lost("not needed: gokexec setup changes the boot loader, once", "KDUMP_UPDATE_BOOTLOADER"),
		noted("KDUMP_KERNELVER"),
		{names: []string{"KDUMP_CPUS"}, apply: suseCPUs},
		key("KDUMP_COMMANDLINE", sectionKernel, "Cmdline"),
		{names: []string{"KDUMP_COMMANDLINE_APPEND"}, apply: (*importer).appended},
		kexecOptions("KEXEC_OPTIONS"),
		noted("MAKEDUMPFILE_OPTIONS", "KDUMP_DUMPLEVEL", "KDUMP_DUMPFORMAT"),
		unless("gokexec estimate --shrink gives back what is not needed, when it is called", "KDUMP_AUTO_RESIZE", "no", "false"),
		unless(noFadump, "KDUMP_FADUMP", "no", "false"),
		unless(noFadump, "KDUMP_FADUMP_SHELL", "no", "false"),
		lost(noFadump, "KDUMP_FADUMP_COMMANDLINE_APPEND"),
		unless(needsShell, "KDUMP_IMMEDIATE_REBOOT", "yes", "true"),
		unless(needsShell, "KDUMP_CONTINUE_ON_ERROR", "yes", "true"),
		lost("a program that saves the dump instead: gokexec writes it itself", "KDUMP_TRANSFER"),
		noted("KDUMP_SAVEDIR", "KDUMP_SSH_IDENTITY"),
		// It counts the old ones, beside the new one.
		number("KDUMP_KEEP_OLD_DUMPS", sectionCapture, "KeepDumps", "", 1),
		number("KDUMP_FREE_DISK_SIZE", sectionCapture, "KeepFree", "M", 0),
		lost(ownLog, "KDUMP_VERBOSE"),
		words("KDUMP_REQUIRED_PROGRAMS", sectionInitramfs, "Add"),
		programs("KDUMP_PRESCRIPT", "Pre"), programs("KDUMP_POSTSCRIPT", "Post"),
		unless(ownNetwork, "KDUMP_NETCONFIG", "auto"),
		number("KDUMP_NET_TIMEOUT", sectionCapture, "NetworkTimeout", "", 0),
		lost(pinnedHostKey, "KDUMP_HOST_KEY"),
		lost(noMail, "KDUMP_SMTP_SERVER", "KDUMP_SMTP_USER", "KDUMP_SMTP_PASSWORD", "KDUMP_NOTIFICATION_TO", "KDUMP_NOTIFICATION_CC"),
		lost("not needed: the dump has a directory of its own, and each file is whole when it has its name", "KDUMP_COPY_KERNEL", "KDUMP_DUMPDEV", "KDUMP_RUNLEVEL"),
	}
}

func suseCPUs(in *importer, a assigned) string {
	n, err := strconv.ParseUint(strings.TrimSpace(a.value), 10, 16)
	switch {
	case strings.TrimSpace(a.value) == "":
		return ""
	case err != nil:
		return "not a number"
	case n == 0:
		return "all CPUs: name a number by CPUs=, since each takes memory of its own"
	case n > 1:
		in.set(sectionKernel, "CPUs", strconv.FormatUint(n, 10), a)
	}
	return ""
}

// saveDir reads a URL or a path.
func (in *importer) saveDir() {
	v, a := in.text("KDUMP_SAVEDIR")
	if v == "" {
		return
	}
	scheme, rest, isURL := strings.Cut(v, "://")
	if isURL && scheme == "file" {
		v, isURL = rest, false
	}
	host, dir, _ := strings.Cut(rest, "/")
	switch {
	case !isURL && path.IsAbs(v):
		in.directory(path.Clean(v), a)
	case !isURL:
		in.unmatched(a, "not an absolute path")
	case scheme == "nfs":
		in.target("nfs:"+host+":/"+dir, a)
	case scheme == "ssh" || scheme == "sftp":
		if !strings.Contains(host, "@") {
			host = "root@" + host
		}
		identities, b := in.text("KDUMP_SSH_IDENTITY")
		key, _, _ := strings.Cut(identities, " ")
		in.ssh(host, dir, a, key, b)
	case scheme == "ftp":
		in.unmatched(a, noFTP)
	default:
		in.unmatched(a, "gokexec saves to directories, NFS, SSH, S3 and HTTPS")
	}
}

func finishSUSE(in *importer) {
	in.saveDir()
	in.kernel("/boot", "vmlinuz", "")
	level, a := in.text("KDUMP_DUMPLEVEL")
	if format, b := in.text("KDUMP_DUMPFORMAT"); format == "raw" { // the memory as it is
		level, a = "0", b
	}
	if level != "" {
		if n, err := strconv.ParseUint(level, 10, 8); err != nil || n > 31 {
			in.unmatched(a, "not a dump level from 0 to 31")
		} else {
			in.set(sectionCapture, "DumpLevel", level, a)
		}
	}
	switch format, a := in.text("KDUMP_DUMPFORMAT"); format {
	case "":
	case "ELF", "raw":
		in.set(sectionCapture, "Format", "elf", a)
	case "compressed":
		in.set(sectionCapture, "Compress", "zlib", a)
	case "lzo", "snappy", "zstd":
		in.set(sectionCapture, "Compress", format, a)
	case "none":
		in.unmatched(a, "the memory is always saved, not the log alone")
	default:
		in.unmatched(a, "not known")
	}
	if options, a := in.text("MAKEDUMPFILE_OPTIONS"); options != "" {
		in.unmatched(a, "options of makedumpfile: DumpLevel=, Format= and Compress= are what gokexec has")
	}
}
