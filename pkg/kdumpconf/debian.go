package kdumpconf

import (
	"cmp"
	"strings"
)

// debianDirectives are those of kdump-tools(5) and of /etc/default/kdump-tools.
func debianDirectives() []directive {
	const ownKernel = "not needed: gokexec takes the running kernel, and makes its initramfs"
	return []directive{
		unless("kdump is switched off; the configuration is taken over all the same", "USE_KDUMP", "1"),
		noted("KDUMP_COREDIR", "NFS", "SSH", "SSH_KEY"),
		{names: []string{"KDUMP_KERNEL"}, apply: func(in *importer, a assigned) string {
			switch v := strings.TrimSpace(a.value); v {
			case "", "/var/lib/kdump/vmlinuz": // kdump-tools' own link to the running kernel
			default:
				in.set(sectionKernel, "Image", v, a)
			}
			return ""
		}},
		unless(ownKernel, "KDUMP_INITRD", "/var/lib/kdump/initrd.img"),
		{names: []string{"KDUMP_FAIL_CMD"}, apply: failCommand},
		unless("the log is always saved", "KDUMP_DUMP_DMESG", "1"),
		number("KDUMP_NUM_DUMPS", sectionCapture, "KeepDumps", "", 0),
		unless("the pages in a dump are compressed (Compress=), not the file", "KDUMP_COMPRESSION", "none"),
		{names: []string{"MAKEDUMP_ARGS"}, apply: func(in *importer, a assigned) string {
			if strings.TrimSpace(a.value) == "" {
				return ""
			}
			return in.collector(strings.Fields(a.value), a)
		}},
		kexecOptions("KDUMP_KEXEC_ARGS"),
		key("KDUMP_CMDLINE", sectionKernel, "Cmdline"),
		{names: []string{"KDUMP_CMDLINE_APPEND"}, apply: debianAppend},
		lost("gokexec sets no sysctl: put it into a file in /etc/sysctl.d", "KDUMP_SYSCTL"),
		lost("not needed: gokexec loads by systemd alone", "KDUMP_CONFIG", "KDUMP_SCRIPT"),
		lost(ownWaits, "NFS_TIMEO", "NFS_RETRANS", "NFS_MOUNT_RETRY", "SSH_KDUMP_RETRY", "SSH_KDUMP_INTERVAL"),
		lost(noFTP, "FTP", "FTP_USER", "FTP_PASSWORD", "FTP_PORT"),
		unless(ownDirectory, "HOSTTAG", "hostname"),
	}
}

// debianAppend leaves out what starts kdump-tools' own service in the capture kernel.
func debianAppend(in *importer, a assigned) string {
	var rest []string
	for _, w := range strings.Fields(a.value) {
		if w != "systemd.unit=kdump-tools-dump.service" && w != "usbcore.nousb" && w != "ata_piix.prefer_ms_hyperv=0" {
			rest = append(rest, w)
		}
	}
	a.value = strings.Join(rest, " ")
	return in.appended(a)
}

// failCommand takes a command that only ends the machine over.
func failCommand(in *importer, a assigned) string {
	fields := strings.Fields(a.value)
	if len(fields) == 0 {
		return ""
	}
	if len(fields) == 1 || len(fields) == 2 && fields[1] == "-f" {
		switch fields[0] {
		case "reboot", "poweroff", "halt":
			return in.action("FailureAction", fields[0], a)
		}
	}
	return "a command for a shell: name a program by [Hooks] Emergency=, and say how to end by FailureAction="
}

func finishDebian(in *importer) {
	dir, a := in.text("KDUMP_COREDIR")
	export, nfsLine := in.text("NFS")
	host, sshLine := in.text("SSH")
	key, keyLine := in.text("SSH_KEY")
	ftp, _ := in.text("FTP")
	if export != "" {
		in.target("nfs:"+export, nfsLine)
	}
	if host != "" {
		in.ssh(host, cmp.Or(dir, defaultPath), sshLine, key, keyLine)
	}
	switch {
	case dir == "" || host != "":
	case export != "" || ftp != "":
		in.unmatched(a, ownDirectory)
	default:
		in.directory(dir, a)
	}
}
