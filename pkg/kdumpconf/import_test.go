package kdumpconf

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/gokexec/gokexec/pkg/config"
)

const (
	fedoraConf = "etc/kdump.conf"
	sysconfig  = "etc/sysconfig/kdump"
	debianConf = "etc/default/kdump-tools"
)

// written is what an import gives, as text: settings, the reservation, and what is not matched.
func written(in *Imported) string {
	var lines []string
	for _, s := range in.Settings {
		lines = append(lines, s.Section+"."+s.Key+"="+s.Value)
	}
	if in.Crashkernel != "" {
		lines = append(lines, "crashkernel="+in.Crashkernel)
	}
	for _, u := range in.Unmatched {
		lines = append(lines, fmt.Sprintf("%d %s: %s", u.Line, u.Directive, u.Reason))
	}
	return strings.Join(lines, "\n")
}

func read(t *testing.T, files map[string]string) *Imported {
	t.Helper()
	root := fstest.MapFS{}
	for name, text := range files {
		root[name] = &fstest.MapFile{Data: []byte(text), Mode: 0o644}
		if strings.Contains(name, ".d/") && strings.HasPrefix(text, "#!") {
			root[name].Mode = 0o755
		}
	}
	in, err := Read(root)
	if err != nil {
		t.Fatal(err)
	}
	return in
}

// Each directive of each distribution's documentation, with what comes of it: settings and the beginnings of
// reasons.
func TestDirectives(t *testing.T) {
	tests := []struct{ file, text, want string }{
		// Fedora and RHEL: kdump.conf(5).
		{fedoraConf, "path /var/crash", "Capture.Target=/var/crash"},
		{fedoraConf, "path /srv/my dumps", "Capture.Target=/srv/my\\x20dumps"},
		{fedoraConf, "path crash", "1 path: bad capture configuration"},
		{fedoraConf, "raw /dev/vda5", "Capture.Target=raw:/dev/vda5"},
		{fedoraConf, "raw UUID=0f3a-1c2e\npath /x", "Capture.Target=raw:UUID=0f3a-1c2e"},
		{fedoraConf, "ext4 UUID=f15759be-89d4-46c4-9e1d-1b67e5b5da82", "Capture.Target=fs:UUID=f15759be-89d4-46c4-9e1d-1b67e5b5da82:/var/crash"},
		{fedoraConf, "xfs LABEL=\"dumps\"\npath crash", "Capture.Target=fs:LABEL=dumps:/crash"},
		{fedoraConf, "btrfs /dev/sda8\npath /", "Capture.Target=fs:/dev/sda8:/"},
		{fedoraConf, "ext2 /dev/sda1", "Capture.Target=fs:/dev/sda1:/var/crash"},
		{fedoraConf, "ext3 /dev/sda1", "Capture.Target=fs:/dev/sda1:/var/crash"},
		{fedoraConf, "minix /dev/sda1", "Capture.Target=fs:/dev/sda1:/var/crash"},
		{fedoraConf, "ext4 relative", "1 ext4: bad capture configuration"},
		{fedoraConf, "virtiofs myfs", "1 virtiofs: a filesystem of the host"},
		{fedoraConf, "nfs my.server.com:/export/tmp", "Capture.Target=nfs:my.server.com:/export/tmp"},
		{fedoraConf, "nfs4 [2001:db8::1]:/export/tmp\npath /x", "Capture.Target=nfs:[2001:db8::1]:/export/tmp\n2 path: not needed"},
		{fedoraConf, "nfs my.server.com", "1 nfs: bad capture"},
		{fedoraConf, "ssh user@my.server.com\nsshkey /root/.ssh/kdump_id_rsa", "Capture.Target=ssh://user@my.server.com/var/crash\nRemote.SSHKey=/root/.ssh/kdump_id_rsa\nRemote.RemoteKeys=memory"},
		{fedoraConf, "path crash\nsshkey /root/.ssh/x\nssh user@[2001:db8::1]", "Capture.Target=ssh://user@[2001:db8::1]/crash\nRemote.SSHKey=/root/.ssh/x\nRemote.RemoteKeys=memory"},
		{fedoraConf, "ssh my.server.com", "1 ssh: bad capture"},
		{fedoraConf, "core_collector makedumpfile -l --message-level 7 -d 31", "Capture.DumpLevel=31\nCapture.Compress=lzo"},
		{fedoraConf, "core_collector makedumpfile -F -l --message-level 7 -d 31", "Capture.DumpLevel=31\nCapture.Compress=lzo"},
		{fedoraConf, "core_collector /usr/sbin/makedumpfile -zd17 --num-threads=4", "Capture.DumpLevel=17\nCapture.Compress=zstd"},
		{fedoraConf, "core_collector makedumpfile -c", "Capture.DumpLevel=0\nCapture.Compress=zlib"},
		{fedoraConf, "core_collector makedumpfile -p -d 1,31", "Capture.DumpLevel=1,31\nCapture.Compress=snappy"},
		{fedoraConf, "core_collector makedumpfile -d 8", "Capture.DumpLevel=8\nCapture.Compress=none"},
		{fedoraConf, "core_collector makedumpfile -E -d 31", "Capture.DumpLevel=31\nCapture.Format=elf"},
		{fedoraConf, "core_collector makedumpfile -d 32", "1 core_collector: makedumpfile would refuse"},
		{fedoraConf, "core_collector makedumpfile -d 31 --split", "1 core_collector: of makedumpfile's options gokexec has no counterpart for --split"},
		{fedoraConf, "core_collector makedumpfile -l -d 31 -b 3", "Capture.DumpLevel=31\nCapture.Compress=lzo\n1 core_collector: of makedumpfile's options gokexec has no counterpart for -b; the others"},
		{fedoraConf, "core_collector scp", "1 core_collector: gokexec writes the dump itself"},
		{fedoraConf, "core_collector cp --sparse=always", "1 core_collector: gokexec writes the dump itself"},
		{fedoraConf, "kdump_pre /var/crash/scripts/kdump-pre.sh", "Hooks.Pre=/var/crash/scripts/kdump-pre.sh"},
		{fedoraConf, "kdump_post /var/crash/scripts/kdump-post.sh", "Hooks.Post=/var/crash/scripts/kdump-post.sh"},
		{fedoraConf, "kdump_emergency /x", "Hooks.Emergency=/x"},
		{fedoraConf, "kdump_post /x --now", "1 kdump_post: a hook is the absolute path"},
		{fedoraConf, "extra_bins /usr/bin/lftp /usr/bin/x", "Initramfs.Add=/usr/bin/lftp\nInitramfs.Add=/usr/bin/x"},
		{fedoraConf, "extra_modules gfs2 dm_mod", "Initramfs.Module=gfs2\nInitramfs.Module=dm_mod"},
		{fedoraConf, "failure_action poweroff", "Capture.FailureAction=poweroff"},
		{fedoraConf, "failure_action shell", "1 failure_action: a shell needs"},
		{fedoraConf, "failure_action dump_to_rootfs\next4 /dev/sda8\npath /d", "Capture.Target=fs:/dev/sda8:/d\nCapture.Target=/d"},
		{fedoraConf, "failure_action sleep", "1 failure_action: not one of"},
		{fedoraConf, "default halt", "Capture.FailureAction=halt"},
		{fedoraConf, "default halt\nfailure_action reboot", "Capture.FailureAction=reboot\n1 default: failure_action counts"},
		{fedoraConf, "final_action poweroff", "Capture.FinalAction=poweroff"},
		{fedoraConf, "force_rebuild 1\nforce_no_rebuild 1", "1 force_rebuild: not needed\n2 force_no_rebuild: not needed"},
		{fedoraConf, "dracut_args --omit-drivers \"cfg80211 snd\"", "1 dracut_args: dracut makes"},
		{fedoraConf, "fence_kdump_args -p 7410\nfence_kdump_nodes node1 node2", "Capture.FenceKdump=node1:7410\nCapture.FenceKdump=node2:7410"},
		{fedoraConf, "fence_kdump_nodes 192.0.2.1 2001:db8::1\nfence_kdump_args -p 7411 -f auto -c 0 -i 5", "Capture.FenceKdump=192.0.2.1:7411\nCapture.FenceKdump=[2001:db8::1]:7411\nCapture.FenceKdumpInterval=5"},
		{fedoraConf, "fence_kdump_nodes node1\nfence_kdump_args -c 3", "Capture.FenceKdump=node1\n2 fence_kdump_args: of fence_kdump_send's options gokexec has no counterpart for -c 3"},
		{fedoraConf, "fence_kdump_nodes node1", "Capture.FenceKdump=node1"},
		{fedoraConf, "auto_reset_crashkernel yes", "1 auto_reset_crashkernel: not needed"},
		{fedoraConf, "disk_timeout 30", "Capture.DeviceTimeout=30"},
		{fedoraConf, "net x\noptions y\nlink_delay 1\ndebug_mem_level 3\nblacklist z", "1 net: kdump-utils\n2 options: kdump-utils\n3 link_delay: kdump-utils\n4 debug_mem_level: kdump-utils\n5 blacklist: kdump-utils"},
		{fedoraConf, "# path /x\n\n  path /y # comment\n", "Capture.Target=/y"},
		{fedoraConf, "path /x\npath /y", "Capture.Target=/y\n1 path: given again in line 2"},
		{fedoraConf, "what is this", "1 what: not known"},
		{fedoraConf, "", ""},

		// Debian and Ubuntu: kdump-tools(5).
		{debianConf, "USE_KDUMP=1\nKDUMP_KERNEL=/var/lib/kdump/vmlinuz\nKDUMP_INITRD=/var/lib/kdump/initrd.img", ""},
		{debianConf, "USE_KDUMP=0", "1 USE_KDUMP: kdump is switched off"},
		{debianConf, "KDUMP_KERNEL=/boot/vmlinuz-kdump\nKDUMP_INITRD=/boot/initrd", "Kernel.Image=/boot/vmlinuz-kdump\n2 KDUMP_INITRD: not needed"},
		{debianConf, "KDUMP_COREDIR=\"/var/crash\"", "Capture.Target=/var/crash"},
		{debianConf, "KDUMP_FAIL_CMD=\"reboot -f\"", "Capture.FailureAction=reboot"},
		{debianConf, "KDUMP_FAIL_CMD='echo \"makedumpfile FAILED.\"; reboot'", "1 KDUMP_FAIL_CMD: a command for a shell"},
		{debianConf, "KDUMP_DUMP_DMESG=1", ""},
		{debianConf, "KDUMP_DUMP_DMESG=0", "1 KDUMP_DUMP_DMESG: the log is always"},
		{debianConf, "KDUMP_NUM_DUMPS=3", "Capture.KeepDumps=3"},
		{debianConf, "KDUMP_NUM_DUMPS=0", ""},
		{debianConf, "KDUMP_NUM_DUMPS=many", "1 KDUMP_NUM_DUMPS: not a number"},
		{debianConf, "KDUMP_COMPRESSION=bzip2", "1 KDUMP_COMPRESSION: the pages"},
		{debianConf, "MAKEDUMP_ARGS=\"-c -d 31\"", "Capture.DumpLevel=31\nCapture.Compress=zlib"},
		{debianConf, "MAKEDUMP_ARGS=\"-d 31 --config /x\"", "1 MAKEDUMP_ARGS: of makedumpfile's options gokexec has no counterpart for --config"},
		{debianConf, "KDUMP_KEXEC_ARGS=\"-s\"", "Kernel.Method=file"},
		{debianConf, "KDUMP_KEXEC_ARGS=-c", "Kernel.Method=segments"},
		{debianConf, "KDUMP_KEXEC_ARGS=\"--no-checks -a\"", "1 KDUMP_KEXEC_ARGS: of kexec's options gokexec has no counterpart for --no-checks"},
		{debianConf, "KDUMP_CMDLINE='root=/dev/sda1 ro'", "Kernel.Cmdline=root=/dev/sda1 ro"},
		{debianConf, "KDUMP_CMDLINE_APPEND=\"reset_devices systemd.unit=kdump-tools-dump.service nr_cpus=1 irqpoll usbcore.nousb\"", ""},
		{debianConf, "KDUMP_CMDLINE_APPEND=\"nr_cpus=4 console=ttyS0 noapic\"", "Kernel.CPUs=4\nKernel.Append=console=ttyS0 noapic"},
		{debianConf, "KDUMP_SYSCTL=kernel.panic_on_oops=1", "1 KDUMP_SYSCTL: gokexec sets no sysctl"},
		{debianConf, "NFS=\"server:/export\"\nNFS_TIMEO=600\nNFS_RETRANS=3\nNFS_MOUNT_RETRY=4", "Capture.Target=nfs:server:/export\n2 NFS_TIMEO: not needed\n3 NFS_RETRANS: not needed\n4 NFS_MOUNT_RETRY: not needed"},
		{debianConf, "FTP=ftp.x.org:/a\nFTP_USER=u\nFTP_PASSWORD=p\nFTP_PORT=21", "1 FTP: gokexec has no FTP\n2 FTP_USER: gokexec\n3 FTP_PASSWORD: gokexec\n4 FTP_PORT: gokexec"},
		{debianConf, "NFS=server:/export\nKDUMP_COREDIR=/x\nHOSTTAG=ip", "Capture.Target=nfs:server:/export\n2 KDUMP_COREDIR: not needed\n3 HOSTTAG: not needed"},
		{debianConf, "SSH=\"user@host\"\nSSH_KEY=/root/.ssh/id\nSSH_KDUMP_RETRY=5\nSSH_KDUMP_INTERVAL=1\nHOSTTAG=hostname\nKDUMP_COREDIR=/x", "Capture.Target=ssh://user@host/x\nRemote.SSHKey=/root/.ssh/id\nRemote.RemoteKeys=memory\n3 SSH_KDUMP_RETRY: not needed\n4 SSH_KDUMP_INTERVAL: not needed"},
		{debianConf, "SSH=\nNFS=\"\"", ""},

		// SUSE: kdump(5).
		{sysconfig, "KDUMP_CRASHKERNEL=\"192M,high\"\nKDUMP_UPDATE_BOOTLOADER=yes", "crashkernel=192M,high\n2 KDUMP_UPDATE_BOOTLOADER: not needed"},
		{sysconfig, "KDUMP_KERNELVER=\"6.3.1-2-default\"", "Kernel.Image=/boot/vmlinuz-6.3.1-2-default"},
		{sysconfig, "KDUMP_KERNELVER=\"/boot/Image\"", "Kernel.Image=/boot/Image"},
		{sysconfig, "KDUMP_CPUS=32", "Kernel.CPUs=32"},
		{sysconfig, "KDUMP_CPUS=1", ""},
		{sysconfig, "KDUMP_CPUS=0", "1 KDUMP_CPUS: all CPUs"},
		{sysconfig, "KDUMP_COMMANDLINE=\"root=/dev/sda2 irqpoll\"", "Kernel.Cmdline=root=/dev/sda2 irqpoll"},
		{sysconfig, "KDUMP_COMMANDLINE_APPEND=\"console=hvc0\"", "Kernel.Append=console=hvc0"},
		{sysconfig, "KEXEC_OPTIONS=\"-a\"", ""},
		{sysconfig, "MAKEDUMPFILE_OPTIONS=\"-x /vmlinux\"", "1 MAKEDUMPFILE_OPTIONS: options of makedumpfile"},
		{sysconfig, "KDUMP_AUTO_RESIZE=\"no\"", ""},
		{sysconfig, "KDUMP_AUTO_RESIZE=\"yes\"", "1 KDUMP_AUTO_RESIZE: gokexec estimate --shrink"},
		{sysconfig, "KDUMP_FADUMP=no\nKDUMP_FADUMP_SHELL=no\nKDUMP_FADUMP_COMMANDLINE_APPEND=", ""},
		{sysconfig, "KDUMP_FADUMP=yes\nKDUMP_FADUMP_SHELL=yes\nKDUMP_FADUMP_COMMANDLINE_APPEND=x", "1 KDUMP_FADUMP: firmware\n2 KDUMP_FADUMP_SHELL: firmware\n3 KDUMP_FADUMP_COMMANDLINE_APPEND: firmware"},
		{sysconfig, "KDUMP_IMMEDIATE_REBOOT=\"yes\"\nKDUMP_CONTINUE_ON_ERROR=true", ""},
		{sysconfig, "KDUMP_IMMEDIATE_REBOOT=\"no\"\nKDUMP_CONTINUE_ON_ERROR=no", "1 KDUMP_IMMEDIATE_REBOOT: a shell\n2 KDUMP_CONTINUE_ON_ERROR: a shell"},
		{sysconfig, "KDUMP_TRANSFER=\"cp x y\"", "1 KDUMP_TRANSFER: a program"},
		{sysconfig, "KDUMP_SAVEDIR=\"/var/crash\"", "Capture.Target=/var/crash"},
		{sysconfig, "KDUMP_SAVEDIR=\"file:///var/log/dump\"", "Capture.Target=/var/log/dump"},
		{sysconfig, "KDUMP_SAVEDIR=\"ftp://u:p@host/var\"", "1 KDUMP_SAVEDIR: gokexec has no FTP"},
		{sysconfig, "KDUMP_SAVEDIR=\"nfs://host/var\"", "Capture.Target=nfs:host:/var"},
		{sysconfig, "KDUMP_SAVEDIR=ssh://host/var/crash\nKDUMP_SSH_IDENTITY=\"/root/.ssh/a /root/.ssh/b\"", "Capture.Target=ssh://root@host/var/crash\nRemote.SSHKey=/root/.ssh/a\nRemote.RemoteKeys=memory"},
		{sysconfig, "KDUMP_SAVEDIR=sftp://u@host/d", "Capture.Target=ssh://u@host/d\nRemote.SSHKey=/root/.ssh/kdump_id_rsa\nRemote.RemoteKeys=memory"},
		{sysconfig, "KDUMP_SAVEDIR=ssh://u:p@host/d", "1 KDUMP_SAVEDIR: gokexec has no passwords"},
		{sysconfig, "KDUMP_SAVEDIR=cifs://host/d", "1 KDUMP_SAVEDIR: gokexec saves to"},
		{sysconfig, "KDUMP_SAVEDIR=\"crash\"", "1 KDUMP_SAVEDIR: not an absolute"},
		{sysconfig, "KDUMP_KEEP_OLD_DUMPS=5", "Capture.KeepDumps=6"},
		{sysconfig, "KDUMP_KEEP_OLD_DUMPS=-1", "1 KDUMP_KEEP_OLD_DUMPS: not a number"},
		{sysconfig, "KDUMP_FREE_DISK_SIZE=64", "Capture.KeepFree=64M"},
		{sysconfig, "KDUMP_VERBOSE=3", "1 KDUMP_VERBOSE: not needed"},
		{sysconfig, "KDUMP_DUMPLEVEL=31\nKDUMP_DUMPFORMAT=compressed", "Capture.DumpLevel=31\nCapture.Compress=zlib"},
		{sysconfig, "KDUMP_DUMPLEVEL=0\nKDUMP_DUMPFORMAT=ELF", "Capture.DumpLevel=0\nCapture.Format=elf"},
		{sysconfig, "KDUMP_DUMPLEVEL=31\nKDUMP_DUMPFORMAT=raw", "Capture.DumpLevel=0\nCapture.Format=elf"},
		{sysconfig, "KDUMP_DUMPFORMAT=zstd", "Capture.Compress=zstd"},
		{sysconfig, "KDUMP_DUMPFORMAT=lzo", "Capture.Compress=lzo"},
		{sysconfig, "KDUMP_DUMPFORMAT=snappy", "Capture.Compress=snappy"},
		{sysconfig, "KDUMP_DUMPFORMAT=none", "1 KDUMP_DUMPFORMAT: the memory"},
		{sysconfig, "KDUMP_DUMPFORMAT=what", "1 KDUMP_DUMPFORMAT: not known"},
		{sysconfig, "KDUMP_DUMPLEVEL=64", "1 KDUMP_DUMPLEVEL: not a dump level"},
		{sysconfig, "KDUMP_REQUIRED_PROGRAMS=\"/usr/bin/a /usr/bin/b\"", "Initramfs.Add=/usr/bin/a\nInitramfs.Add=/usr/bin/b"},
		{sysconfig, "KDUMP_PRESCRIPT=\"/root/pre.sh\"\nKDUMP_POSTSCRIPT=\"/root/post.sh\"", "Hooks.Pre=/root/pre.sh\nHooks.Post=/root/post.sh"},
		{sysconfig, "KDUMP_NETCONFIG=auto", ""},
		{sysconfig, "KDUMP_NETCONFIG=eth0:dhcp\nKDUMP_NET_TIMEOUT=30\nKDUMP_HOST_KEY=*\nKDUMP_SSH_IDENTITY=/x", "Capture.NetworkTimeout=30\n1 KDUMP_NETCONFIG: not needed\n3 KDUMP_HOST_KEY: not needed"},
		{sysconfig, "KDUMP_SMTP_SERVER=a\nKDUMP_SMTP_USER=b\nKDUMP_SMTP_PASSWORD=c\nKDUMP_NOTIFICATION_TO=d\nKDUMP_NOTIFICATION_CC=e", "1 KDUMP_SMTP_SERVER: gokexec sends\n2 KDUMP_SMTP_USER: gokexec\n3 KDUMP_SMTP_PASSWORD: gokexec\n4 KDUMP_NOTIFICATION_TO: gokexec\n5 KDUMP_NOTIFICATION_CC: gokexec"},
	}
	for _, tt := range tests {
		in := read(t, map[string]string{tt.file: tt.text})
		if got := written(in); !sameLines(got, tt.want) {
			t.Errorf("%s: %q\ngives\n%s\nwant\n%s", tt.file, tt.text, got, tt.want)
		}
		if len(in.Files) != 1 || in.Files[0] != "/"+tt.file {
			t.Errorf("files %v", in.Files)
		}
	}
}

// sameLines compares; a line of want that tells a reason may end early.
func sameLines(got, want string) bool {
	a, b := strings.Split(got, "\n"), strings.Split(want, "\n")
	return slices.EqualFunc(a, b, func(a, b string) bool {
		return a == b || strings.Contains(b, ": ") && strings.HasPrefix(a, b)
	})
}

// Fedora has two files; what its sysconfig has is not SUSE's.
func TestFedoraSysconfig(t *testing.T) {
	in := read(t, map[string]string{
		fedoraConf: "path /var/crash\n",
		sysconfig: `# comment
KDUMP_KERNELVER=""
KDUMP_COMMANDLINE=""
KDUMP_COMMANDLINE_REMOVE="hugepages hugepagesz slub_debug quiet log_buf_len swiotlb cma hugetlb_cma ignition.firstboot rd.znet_ifname"
KDUMP_COMMANDLINE_APPEND="irqpoll nr_cpus=1 reset_devices cgroup_disable=memory mce=off numa=off panic=10 acpi_no_memhotplug transparent_hugepage=never nokaslr hest_disable novmcoredd cma=0 hugetlb_cma=0 pcie_ports=compat rd.shell=0"
KEXEC_ARGS="-s"
KDUMP_IMG="vmlinuz"
KDUMP_IMG_EXT=""
FADUMP_COMMANDLINE_APPEND="x"
VMCORE_CREATION_NOTIFICATION=""
KDUMP_STDLOGLVL=3
KDUMP_SYSLOGLVL=0
KDUMP_KMSGLOGLVL=0
MKDUMPRD_ARGS="-v"
`,
		"etc/kdump/pre.d/10-a":       "#!/bin/sh\n",
		"etc/kdump/pre.d/README":     "text",
		"etc/kdump/post.d/p":         "#!/bin/sh\n",
		"etc/kdump/emergency.d/e.sh": "#!/bin/sh\n",
	})
	const want = `Kernel.Append=rd.shell=0
Kernel.Method=file
Capture.Target=/var/crash
Hooks.Pre=/etc/kdump/pre.d/10-a
Hooks.Post=/etc/kdump/post.d/p
Hooks.Emergency=/etc/kdump/emergency.d/e.sh
4 KDUMP_COMMANDLINE_REMOVE: gokexec does not leave these words of the running kernel out: `
	got := written(in)
	if !strings.HasPrefix(got, want) || !strings.Contains(got, "rd.znet_ifname; set [Kernel]") || in.Distribution != "Fedora" {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for _, name := range []string{"hugepages", "slub_debug", "swiotlb"} {
		if strings.Contains(got, name) {
			t.Errorf("%s is dropped by gokexec, and named:\n%s", name, got)
		}
	}
	for _, directive := range []string{"FADUMP_COMMANDLINE_APPEND", "KDUMP_STDLOGLVL", "KDUMP_SYSLOGLVL", "KDUMP_KMSGLOGLVL", "MKDUMPRD_ARGS"} {
		if !strings.Contains(got, " "+directive+": ") {
			t.Errorf("%s is not named:\n%s", directive, got)
		}
	}
	in = read(t, map[string]string{fedoraConf: "", sysconfig: "KDUMP_KERNELVER=6.1\nKDUMP_BOOTDIR=/efi\nKDUMP_IMG=Image\nKDUMP_IMG_EXT=.gz"})
	if got := written(in); got != "Kernel.Image=/efi/Image-6.1.gz" {
		t.Errorf("the kernel is %s", got)
	}
}

func TestShell(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{`A=1`, "1 A=1"},
		{"A=1\nB=2 # c\n  C = 3\n", "1 A=1|2 B=2|3 C!"},
		{`A="a b" B=2`, "1 A!"},
		{`export A='it''s'`, "1 A=its"},
		{`A=a\ b"c d"'e f'`, "1 A=a bc de f"},
		{`A="x \" \\ \$ \n"`, `1 A=x " \ $ \n`},
		{"A=\"two\nlines\"\nB=1", "1 A=two\nlines|3 B=1"},
		{"A='two\nlines'\nB=1", "1 A=two\nlines|3 B=1"},
		{"A=one\\\ntwo\nB=1", "1 A=onetwo|3 B=1"},
		{`A="$B x"`, "1 A!"},
		{`A=$(rm -rf /)`, "1 A!"},
		{"A=`id`", "1 A!"},
		{"A=~/x", "1 A!"},
		{`A='$B'`, "1 A=$B"},
		{`A+=x`, "1 A+=x!"},
		{"if [ x ]; then\nA=1\nfi", "1 if!|2 A=1|3 fi!"},
		{". /etc/other", "1 .!"},
		{`A="open`, "1 A!"},
		{`A='open`, "1 A!"},
		{"A=;B=2", "1 A=|1 B=2"},
		{"A=x&", "1 A!"},
		{"A=#no", "1 A=#no"},
		{"#A=1", ""},
		{"1A=2", "1 1A=2!"},
		{"A=1\r\nB=2\r\n", "1 A=1|2 B=2"},
		{`A=\`, "1 A="},
		{`A="\`, "1 A!"},
	} {
		var got []string
		for _, a := range readShell(tt.text) {
			if a.bad != "" {
				got = append(got, fmt.Sprintf("%d %s!", a.line, a.name))
				continue
			}
			got = append(got, fmt.Sprintf("%d %s=%s", a.line, a.name, a.value))
		}
		if s := strings.Join(got, "|"); s != tt.want {
			t.Errorf("%q reads as %q; want %q", tt.text, s, tt.want)
		}
	}
}

// What a shell would have to work out is named, and does not count.
func TestExpansion(t *testing.T) {
	in := read(t, map[string]string{debianConf: "DIR=/x\nKDUMP_COREDIR=$DIR/crash\nMAKEDUMP_ARGS=\"-c\"\n[ -f /x ] && . /x\n"})
	if got := written(in); !sameLines(got, "Capture.DumpLevel=0\nCapture.Compress=zlib\n1 DIR: not known\n2 KDUMP_COREDIR: an expansion\n4 [: no assignment") {
		t.Errorf("%s", got)
	}
}

func TestNothing(t *testing.T) {
	if _, err := Read(fstest.MapFS{}); !errors.Is(err, ErrNothing) {
		t.Errorf("error %v; want ErrNothing", err)
	}
	root := fstest.MapFS{debianConf: {Data: make([]byte, maxFile+1)}}
	if _, err := Read(root); err == nil || !strings.Contains(err.Error(), "/"+debianConf+": larger than") {
		t.Errorf("error %v; want one about the size", err)
	}
}

// Whatever is in the files, what comes of it can be written as gokexec.conf and read back, and what is not
// matched has a line of its file.
func FuzzRead(f *testing.F) {
	f.Add("path /x\next4 LABEL=a b\ncore_collector makedumpfile -l -d 31\n", "KDUMP_COMMANDLINE='a\nb'\n", true)
	f.Add("KDUMP_COREDIR=\"/x \\\\\"\nSSH=$x\n", "KDUMP_SAVEDIR=/a\\\\\nKDUMP_CPUS=3", false)
	f.Fuzz(func(t *testing.T, first, second string, fedora bool) {
		name := debianConf
		if fedora {
			name = fedoraConf
		}
		for _, files := range []map[string]string{{name: first, sysconfig: second}, {sysconfig: second}} {
			root := fstest.MapFS{}
			for name, text := range files {
				root[name] = &fstest.MapFile{Data: []byte(text)}
			}
			in, err := Read(root)
			if err != nil {
				t.Fatal(err)
			}
			text, err := config.Format(in.Settings, "")
			if err != nil {
				t.Fatalf("%q: %v", in.Settings, err)
			}
			back, err := config.Read(fstest.MapFS{"etc/gokexec.conf": &fstest.MapFile{Data: text}})
			if err != nil || !slices.EqualFunc(back.Settings(), in.Settings, func(a, b config.Setting) bool {
				return a.Section == b.Section && a.Key == b.Key && a.Value == b.Value
			}) {
				t.Fatalf("%q reads back as %v, %v", text, back, err)
			}
			for _, u := range in.Unmatched {
				lines := strings.Count(files[strings.TrimPrefix(u.File, "/")], "\n") + 1
				if u.Line < 1 || u.Line > lines || u.Directive == "" || u.Reason == "" {
					t.Fatalf("%+v of a file with %d lines", u, lines)
				}
			}
		}
	})
}
