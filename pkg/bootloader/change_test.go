package bootloader

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
)

const (
	want   = "crashkernel=256M"
	grubUp = "update-grub"

	grubCfg        = "menuentry 'Debian' {\n\tlinux\t/boot/vmlinuz-6.12 root=/dev/vda1 ro quiet\n\tinitrd /boot/initrd.img-6.12\n}\n"
	debianDefaults = "# If you change this file, run 'update-grub' afterwards\nGRUB_DEFAULT=0\nGRUB_TIMEOUT=5\nGRUB_CMDLINE_LINUX_DEFAULT=\"quiet\"\nGRUB_CMDLINE_LINUX=\"\"\n"
	mkconfigDebian = "#!/bin/sh\nfor x in ${sysconfdir}/default/grub.d/*.cfg ; do\n  . \"$x\"\ndone\n"
	ownDropin      = "# Made by gokexec setup, which replaces it; gokexec setup --undo removes it.\n# Memory that is reserved for the crash kernel.\nGRUB_CMDLINE_LINUX_DEFAULT=\"$GRUB_CMDLINE_LINUX_DEFAULT crashkernel=256M\"\n"
	entryText      = "title Fedora Linux\nversion 6.12\nlinux /vmlinuz-6.12\ninitrd /initramfs-6.12.img\noptions root=UUID=1 ro rhgb quiet\ngrub_users $grub_users\n"
)

// with is a tree, and more files.
func (f files) with(more files) files {
	all := maps.Clone(f)
	maps.Copy(all, more)
	return all
}

func debianGRUB() files {
	return files{"proc/cmdline": "BOOT_IMAGE=/boot/vmlinuz-6.12 root=/dev/vda1 ro quiet\n", "boot/grub/grub.cfg": grubCfg,
		"etc/default/grub": debianDefaults, "usr/sbin/grub-mkconfig": mkconfigDebian, "usr/sbin/update-grub": "x"}
}

// apply writes the files of a change.
func (f files) apply(c *Change) files {
	after := maps.Clone(f)
	for _, file := range c.Files {
		name := strings.TrimPrefix(file.Path, "/")
		if old, there := after[name]; there != (file.Old != nil) || old != string(file.Old) {
			panic("the old text of " + file.Path + " is wrong")
		}
		if file.New == nil {
			delete(after, name)
			continue
		}
		after[name] = string(file.New)
	}
	return after
}

// undo puts the files of a change back.
func (f files) undo(c *Change) files {
	after := maps.Clone(f)
	for _, file := range c.Files {
		name := strings.TrimPrefix(file.Path, "/")
		if delete(after, name); file.Old != nil {
			after[name] = string(file.Old)
		}
	}
	return after
}

func commandLines(commands [][]string) string {
	var lines []string
	for _, c := range commands {
		lines = append(lines, strings.Join(c, " "))
	}
	return strings.Join(lines, "\n")
}

// changed are the files that two trees have not alike.
func changed(before, after files) files {
	diff := files{}
	for name, text := range after {
		if old, there := before[name]; !there || old != text {
			diff[name] = text
		}
	}
	return diff
}

func TestSet(t *testing.T) {
	both := func(options string) string { return strings.ReplaceAll(entryText, "quiet", options) }
	for _, tt := range []struct {
		name    string
		files   files
		words   []string // want, if none are given
		replace bool

		loader   string
		changed  files
		commands string
		undo     string // commands, if others
		present  string // the words that are there before
		made     files  // what the commands write
	}{
		{name: "Debian", files: debianGRUB(), loader: "GRUB", changed: files{"etc/default/grub.d/zz-gokexec.cfg": ownDropin}, commands: grubUp,
			made: files{"boot/grub/grub.cfg": strings.ReplaceAll(grubCfg, "quiet", "quiet "+want)}},
		{name: "Debian on EFI, with a /boot of its own", files: debianGRUB().with(files{"sys/firmware/efi/runtime": "0x1", "boot/efi/EFI/debian/grub.cfg": "search.fs_uuid 1 root\nset prefix=($root)'/grub'\nconfigfile $prefix/grub.cfg\n",
			"proc/cmdline": "BOOT_IMAGE=/vmlinuz-6.12 ro quiet\n"}), loader: "GRUB", changed: files{"etc/default/grub.d/zz-gokexec.cfg": ownDropin}, commands: grubUp,
			made: files{"boot/grub/grub.cfg": strings.ReplaceAll(grubCfg, "quiet", "quiet "+want)}},
		{name: "Debian, grub.cfg was not made since", files: debianGRUB().with(files{"etc/default/grub.d/zz-gokexec.cfg": ownDropin}), loader: "GRUB", changed: files{}, commands: grubUp, present: want,
			made: files{"boot/grub/grub.cfg": strings.ReplaceAll(grubCfg, "quiet", "quiet "+want)}},
		{name: "kdump-tools has its own", files: debianGRUB().with(files{"etc/default/grub.d/kdump-tools.cfg": "GRUB_CMDLINE_LINUX_DEFAULT=\"$GRUB_CMDLINE_LINUX_DEFAULT crashkernel=384M-:128M\"\n",
			"boot/grub/grub.cfg": strings.ReplaceAll(grubCfg, "quiet", "quiet crashkernel=384M-:128M")}), loader: "GRUB", changed: files{}, present: "crashkernel=384M-:128M"},
		{name: "the user's own stays", files: debianGRUB().with(files{"etc/default/grub": strings.ReplaceAll(debianDefaults, `"quiet"`, `"quiet crashkernel=1G"`),
			"boot/grub/grub.cfg": strings.ReplaceAll(grubCfg, "quiet", "quiet crashkernel=1G")}), loader: "GRUB", changed: files{}, present: "crashkernel=1G"},
		{name: "the user's own is replaced when asked", files: debianGRUB().with(files{"etc/default/grub": strings.ReplaceAll(debianDefaults, `"quiet"`, `"quiet crashkernel=1G"`),
			"boot/grub/grub.cfg": strings.ReplaceAll(grubCfg, "quiet", "quiet crashkernel=1G")}), replace: true, loader: "GRUB", present: "crashkernel=1G", commands: grubUp,
			changed: files{"etc/default/grub.d/zz-gokexec.cfg": grubDropinText([]string{want}, true)},
			made:    files{"boot/grub/grub.cfg": strings.ReplaceAll(grubCfg, "quiet", "quiet "+want)}},
		{name: "a comment is no reservation", files: debianGRUB().with(files{"etc/default/grub": debianDefaults + "#GRUB_CMDLINE_LINUX=\"crashkernel=1G\"\n"}), loader: "GRUB", changed: files{"etc/default/grub.d/zz-gokexec.cfg": ownDropin}, commands: grubUp,
			made: files{"boot/grub/grub.cfg": strings.ReplaceAll(grubCfg, "quiet", "quiet "+want)}},
		{name: "SUSE", files: files{"proc/cmdline": "BOOT_IMAGE=/boot/vmlinuz-6.4 root=/dev/vda2 splash=silent\n", "boot/grub2/grub.cfg": grubCfg, "usr/sbin/grub2-mkconfig": "#!/bin/sh\n",
			"etc/default/grub": "GRUB_CMDLINE_LINUX_DEFAULT='splash=silent mitigations=auto'\nGRUB_CMDLINE_LINUX=\"\"\n"}, loader: "GRUB",
			changed: files{"etc/default/grub": "GRUB_CMDLINE_LINUX_DEFAULT='splash=silent mitigations=auto crashkernel=256M'\nGRUB_CMDLINE_LINUX=\"\"\n"}, commands: "grub2-mkconfig -o /boot/grub2/grub.cfg",
			made: files{"boot/grub2/grub.cfg": strings.ReplaceAll(grubCfg, "quiet", "quiet "+want)}},
		{name: "SUSE MicroOS", files: files{"proc/cmdline": "BOOT_IMAGE=/boot/vmlinuz-6.4 root=/dev/vda2\n", "boot/grub2/grub.cfg": grubCfg, "usr/sbin/grub2-mkconfig": "#!/bin/sh\n", "usr/sbin/transactional-update": "x",
			"proc/self/mountinfo": "22 1 0:20 /@/.snapshots/1/snapshot / ro,relatime - btrfs /dev/vda2 rw,subvolid=266,subvol=/@/.snapshots/1/snapshot\n",
			"etc/default/grub":    "GRUB_CMDLINE_LINUX_DEFAULT=\"quiet\"\n"}, loader: "GRUB",
			changed: files{"etc/default/grub": "GRUB_CMDLINE_LINUX_DEFAULT=\"quiet crashkernel=256M\"\n"}, commands: "transactional-update --continue grub.cfg",
			made: files{"boot/grub2/grub.cfg": strings.ReplaceAll(grubCfg, "quiet", "quiet "+want)}},
		{name: "Arch, GRUB", files: files{"proc/cmdline": "BOOT_IMAGE=/vmlinuz-linux root=/dev/sda2\n", "boot/grub/grub.cfg": grubCfg, "usr/bin/grub-mkconfig": "#!/bin/sh\n. /etc/default/grub\n",
			"etc/default/grub": "GRUB_DEFAULT=0\nGRUB_CMDLINE_LINUX_DEFAULT=\"loglevel=3 quiet\"\nGRUB_CMDLINE_LINUX=\"\"\n"}, loader: "GRUB",
			changed: files{"etc/default/grub": "GRUB_DEFAULT=0\nGRUB_CMDLINE_LINUX_DEFAULT=\"loglevel=3 quiet crashkernel=256M\"\nGRUB_CMDLINE_LINUX=\"\"\n"}, commands: "grub-mkconfig -o /boot/grub/grub.cfg",
			made: files{"boot/grub/grub.cfg": strings.ReplaceAll(grubCfg, "quiet", "quiet "+want)}},
		{name: "RHEL 7 on EFI, where the ESP has the whole grub.cfg", files: files{"proc/cmdline": "BOOT_IMAGE=/vmlinuz-3.10 ro\n", "sys/firmware/efi/runtime": "", "boot/efi/EFI/redhat/grub.cfg": grubCfg, "sbin/grub2-mkconfig": "x",
			"etc/default/grub": "GRUB_CMDLINE_LINUX=rhgb\n"}, loader: "GRUB", changed: files{"etc/default/grub": "GRUB_CMDLINE_LINUX=\"rhgb crashkernel=256M\"\n"}, commands: "grub2-mkconfig -o /boot/efi/EFI/redhat/grub.cfg",
			made: files{"boot/efi/EFI/redhat/grub.cfg": strings.ReplaceAll(grubCfg, "quiet", "quiet "+want)}},
		{name: "Fedora", files: files{"proc/cmdline": "BOOT_IMAGE=(hd0,gpt2)/vmlinuz-6.12 root=UUID=1 ro\n", "boot/grub2/grub.cfg": "### BEGIN /etc/grub.d/10_linux ###\nblscfg\n", "usr/sbin/grubby": "x",
			"boot/loader/entries/0af-6.12.conf": entryText, "boot/loader/entries/0af-0-rescue.conf": entryText}, loader: "boot entries (grubby)", changed: files{},
			commands: "grubby --update-kernel=ALL --args=crashkernel=256M", undo: "grubby --update-kernel=ALL --remove-args=crashkernel=256M",
			made: files{"boot/loader/entries/0af-6.12.conf": both("quiet " + want), "boot/loader/entries/0af-0-rescue.conf": both("quiet " + want)}},
		{name: "RHEL 9, replaced", files: files{"proc/cmdline": "BOOT_IMAGE=(hd0,gpt2)/vmlinuz-5.14 ro\n", "usr/sbin/grubby": "x", "boot/loader/entries/a.conf": both("crashkernel=1G-4G:192M,4G-64G:256M,64G-:512M")}, replace: true,
			loader: "boot entries (grubby)", changed: files{}, present: "crashkernel=1G-4G:192M,4G-64G:256M,64G-:512M",
			commands: "grubby --update-kernel=ALL --remove-args=crashkernel=1G-4G:192M,4G-64G:256M,64G-:512M --args=crashkernel=256M",
			undo:     "grubby --update-kernel=ALL --remove-args=crashkernel=256M --args=crashkernel=1G-4G:192M,4G-64G:256M,64G-:512M",
			made:     files{"boot/loader/entries/a.conf": both(want)}},
		{name: "RHEL 9, kept", files: files{"proc/cmdline": "BOOT_IMAGE=(hd0,gpt2)/vmlinuz-5.14 ro\n", "usr/sbin/grubby": "x", "boot/loader/entries/a.conf": both("crashkernel=1G-:192M")},
			loader: "boot entries (grubby)", changed: files{}, present: "crashkernel=1G-:192M"},
		{name: "RHEL 8, whose entries have a variable", files: files{"proc/cmdline": "BOOT_IMAGE=(hd0,gpt2)/vmlinuz-4.18 ro\n", "usr/sbin/grubby": "x", "boot/loader/entries/a.conf": "linux /vmlinuz-4.18\noptions $kernelopts $tuned_params\n",
			"boot/grub2/grubenv": "# GRUB Environment Block\nkernelopts=root=/dev/x ro crashkernel=auto \n####"}, loader: "boot entries (grubby)", changed: files{}, present: "crashkernel=auto"},
		{name: "high and low memory are two words, which grubby can't keep", files: files{"proc/cmdline": "BOOT_IMAGE=(hd0,gpt2)/vmlinuz ro\n", "usr/sbin/grubby": "x", "boot/loader/entries/a.conf": entryText, "etc/kernel/cmdline": "ro quiet\n"},
			words: []string{"crashkernel=1G,high", "crashkernel=64M,low"}, loader: "boot entries (grubby)", changed: files{"boot/loader/entries/a.conf": both("quiet crashkernel=1G,high crashkernel=64M,low"), "etc/kernel/cmdline": "ro quiet crashkernel=1G,high crashkernel=64M,low\n"}},
		{name: "Fedora without grubby", files: files{"proc/cmdline": "BOOT_IMAGE=(hd0,gpt2)/vmlinuz ro\n", "boot/grub2/grub.cfg": "### BEGIN /etc/grub.d/10_linux ###\nblscfg\n", "usr/sbin/grub2-mkconfig": "x", "boot/loader/entries/a.conf": entryText,
			"etc/default/grub": "GRUB_CMDLINE_LINUX=\"rhgb quiet\"\nGRUB_ENABLE_BLSCFG=true\n"}, loader: "GRUB, with boot entries",
			changed: files{"boot/loader/entries/a.conf": both("quiet " + want), "etc/default/grub": "GRUB_CMDLINE_LINUX=\"rhgb quiet crashkernel=256M\"\nGRUB_ENABLE_BLSCFG=true\n"}},
		{name: "Arch, systemd-boot", files: files{"proc/cmdline": `initrd=\initramfs-linux.img root=UUID=1 rw` + "\n", "boot/EFI/systemd/systemd-bootx64.efi": "MZ", "boot/loader/entries/arch.conf": "title Arch\nlinux /vmlinuz-linux\ninitrd /initramfs-linux.img\noptions root=UUID=1 rw",
			"boot/loader/entries/memtest.conf": "title Memory\nefi /memtest.efi\n", "usr/bin/kernel-install": "x"}, loader: "boot entries (systemd-boot)",
			changed: files{"boot/loader/entries/arch.conf": "title Arch\nlinux /vmlinuz-linux\ninitrd /initramfs-linux.img\noptions root=UUID=1 rw crashkernel=256M"}},
		{name: "Debian, systemd-boot", files: files{"proc/cmdline": "initrd=\\debian\\6.12\\initrd.img-6.12 root=UUID=1 ro\n", loaderVariable("LoaderInfo"): efiText("systemd-boot 257.9-1"), "usr/bin/kernel-install": "x", "boot/grub/grub.cfg": grubCfg, "usr/sbin/update-grub": "x",
			"boot/efi/loader/entries/debian-6.12.conf": generated + "\n# File created by kernel-install\nlinux /debian/6.12/linux\noptions    root=UUID=1 ro systemd.machine_id=1\n"}, loader: "boot entries (systemd-boot)",
			changed: files{"etc/kernel/cmdline": "root=UUID=1 ro crashkernel=256M\n", "boot/efi/loader/entries/debian-6.12.conf": generated + "\n# File created by kernel-install\nlinux /debian/6.12/linux\noptions    root=UUID=1 ro systemd.machine_id=1 crashkernel=256M\n"}},
		{name: "SUSE, sdbootutil", files: files{"proc/cmdline": "root=UUID=1 splash\n", "usr/bin/sdbootutil": "x", "etc/sysconfig/bootloader": "LOADER_TYPE=\"grub2-bls\"\n", "etc/kernel/cmdline": "root=UUID=1 splash\n", "boot/efi/loader/entries/suse-1.conf": entryText},
			loader: "boot entries (sdbootutil)", changed: files{"etc/kernel/cmdline": "root=UUID=1 splash crashkernel=256M\n"}, commands: "sdbootutil update-all-entries", made: files{"boot/efi/loader/entries/suse-1.conf": both("splash " + want)}},
		{name: "rpm-ostree", files: files{"run/ostree-booted": "", "usr/bin/rpm-ostree": "x", "usr/bin/bootc": "x", "boot/loader/entries/ostree-1.conf": strings.ReplaceAll(entryText, "version 6.12", "version 1"), "boot/loader/entries/ostree-2.conf": strings.ReplaceAll(entryText, "version 6.12", "version 2")},
			loader: "rpm-ostree", changed: files{}, commands: "rpm-ostree kargs --append-if-missing=crashkernel=256M", undo: "rpm-ostree kargs --delete-if-present=crashkernel=256M",
			made: files{"boot/loader/entries/ostree-2.conf": strings.ReplaceAll(both("quiet "+want), "version 6.12", "version 2")}},
		{name: "bootc, until the shutdown", files: files{"run/ostree-booted": "", "usr/bin/bootc": "x", "boot/loader/entries/ostree-1.conf": strings.ReplaceAll(entryText, "version 6.12", "version 1")},
			loader: "bootc", changed: files{}, commands: "bootc loader-entries set-options-for-source --source gokexec --options crashkernel=256M", undo: "bootc loader-entries set-options-for-source --source gokexec",
			made: files{"run/ostree/staged-deployment": "kargs\x00ro\x00crashkernel=256M\x00"}},
		{name: "ostree alone", files: files{"run/ostree-booted": "", "boot/loader/entries/ostree-1.conf": entryText}, loader: "ostree", changed: files{"boot/loader/entries/ostree-1.conf": both("quiet " + want)}},
		{name: "UKI, kernel-install", files: files{"proc/cmdline": "root=UUID=1 ro\n", loaderVariable("StubInfo"): efiText("systemd-stub 257.9-1"), loaderVariable("LoaderInfo"): efiText("systemd-boot 257.9-1"), "etc/kernel/install.conf": "layout=uki\n",
			"usr/bin/kernel-install": "x", "usr/lib/modules/6.12/x": "", "boot/vmlinuz-6.12": "MZ", "usr/lib/modules/6.13/vmlinuz": "MZ", "usr/lib/modules/gone/x": ""}, loader: "unified kernel images (kernel-install)",
			changed: files{"etc/kernel/cmdline": "root=UUID=1 ro crashkernel=256M\n"}, commands: "kernel-install add 6.12 /boot/vmlinuz-6.12\nkernel-install add 6.13 /usr/lib/modules/6.13/vmlinuz",
			made: files{"boot/EFI/Linux/debian-6.12.efi": string(ukiCmdline(want))}},
		{name: "UKI, mkinitcpio", files: files{loaderVariable("StubInfo"): efiText("systemd-stub 257"), "etc/mkinitcpio.d/linux.preset": "PRESETS=('default')\ndefault_uki=\"/efi/EFI/Linux/arch-linux.efi\"\n", "usr/bin/mkinitcpio": "x", "etc/kernel/cmdline": "# mine\nroot=UUID=1 rw\nquiet\n", "efi/EFI/x": ""},
			loader: "unified kernel images (mkinitcpio)", changed: files{"etc/kernel/cmdline": "# mine\nroot=UUID=1 rw\nquiet crashkernel=256M\n"}, commands: "mkinitcpio -P", made: files{"efi/EFI/Linux/arch-linux.efi": string(ukiCmdline(want))}},
		{name: "UKI, dracut", files: files{loaderVariable("StubInfo"): efiText("systemd-stub 257"), "etc/dracut.conf.d/uefi.conf": "uefi=\"yes\"\nkernel_cmdline=\"root=UUID=1 ro\"\n", "usr/bin/dracut": "x"}, loader: "unified kernel images (dracut)",
			changed: files{"etc/dracut.conf.d/gokexec-crashkernel.conf": "# Made by gokexec setup; gokexec setup --undo removes it.\nkernel_cmdline+=\" crashkernel=256M \"\n"}, commands: "dracut --regenerate-all --force"},
		{name: "UKI of the vendor, an addon", files: files{"proc/cmdline": "root=UUID=1\n", loaderVariable("StubInfo"): efiText("systemd-stub 257"), "efi/EFI/Linux/v.efi": uki(running), "usr/bin/ukify": "x"}, loader: "unified kernel images (addon)", changed: files{},
			commands: "mkdir -p /efi/loader/addons\nukify build --cmdline=crashkernel=256M --output=/efi/loader/addons/gokexec.addon.efi", undo: "rm -f /efi/loader/addons/gokexec.addon.efi",
			made: files{"efi/loader/addons/gokexec.addon.efi": "MZ\x00crashkernel=256M\x00"}},
		{name: "Raspberry Pi", files: files{"proc/cmdline": "coherent_pool=1M console=tty1 root=PARTUUID=1\n", "boot/firmware/config.txt": "arm_64bit=1\n", "boot/firmware/cmdline.txt": "console=tty1 root=PARTUUID=1 rootwait\n"}, loader: "Raspberry Pi",
			changed: files{"boot/firmware/cmdline.txt": "console=tty1 root=PARTUUID=1 rootwait crashkernel=256M\n"}},
		{name: "Raspberry Pi of Ubuntu, without a line end", files: files{"boot/firmware/config.txt": "[all]\nos_prefix=current/\ncmdline=cmdline.txt\n", "boot/firmware/current/cmdline.txt": "root=LABEL=writable"}, loader: "Raspberry Pi",
			changed: files{"boot/firmware/current/cmdline.txt": "root=LABEL=writable crashkernel=256M"}},
		{name: "Armbian", files: files{"boot/armbianEnv.txt": "verbosity=1\nrootdev=UUID=1\n", "boot/boot.scr": "x"}, loader: "Armbian", changed: files{"boot/armbianEnv.txt": "verbosity=1\nrootdev=UUID=1\nextraargs=crashkernel=256M\n"}},
		{name: "Armbian with arguments", files: files{"boot/armbianEnv.txt": "extraargs=cma=64M\nrootdev=UUID=1\n"}, loader: "Armbian", changed: files{"boot/armbianEnv.txt": "extraargs=cma=64M crashkernel=256M\nrootdev=UUID=1\n"}},
		{name: "extlinux", files: files{"boot/extlinux/extlinux.conf": "label a\n\tlinux /Image\n\tAPPEND root=/dev/a rw\nlabel b\n\tlinux /Image.old\n\tappend\n"}, loader: "extlinux",
			changed: files{"boot/extlinux/extlinux.conf": "label a\n\tlinux /Image\n\tAPPEND root=/dev/a rw crashkernel=256M\nlabel b\n\tlinux /Image.old\n\tappend crashkernel=256M\n"}},
		{name: "u-boot-menu", files: files{"usr/sbin/u-boot-update": "x", "boot/extlinux/extlinux.conf": "append x\n"}, loader: "U-Boot (u-boot-menu)", changed: files{"etc/default/u-boot": "U_BOOT_PARAMETERS=\"ro quiet crashkernel=256M\"\n"}, commands: "u-boot-update"},
		{name: "u-boot-menu, of /etc/kernel/cmdline", files: files{"usr/sbin/u-boot-update": "x", "etc/default/u-boot": "#U_BOOT_PARAMETERS=x\n", "etc/kernel/cmdline": "root=/dev/a ro\n"}, loader: "U-Boot (u-boot-menu)", changed: files{"etc/kernel/cmdline": "root=/dev/a ro crashkernel=256M\n"}, commands: "u-boot-update"},
		{name: "Alpine", files: files{"sbin/update-extlinux": "x", "etc/update-extlinux.conf": "default_kernel_opts=\"quiet rootfstype=ext4\"\n", "boot/extlinux.conf": "APPEND x\n"}, loader: "extlinux (update-extlinux)", changed: files{"etc/update-extlinux.conf": "default_kernel_opts=\"quiet rootfstype=ext4 crashkernel=256M\"\n"}, commands: "update-extlinux"},
		{name: "flash-kernel", files: files{"usr/sbin/flash-kernel": "x", "etc/default/flash-kernel": "LINUX_KERNEL_CMDLINE=\"quiet\"\n"}, loader: "U-Boot (flash-kernel)", changed: files{"etc/default/flash-kernel": "LINUX_KERNEL_CMDLINE=\"quiet crashkernel=256M\"\n"}, commands: "flash-kernel"},
		{name: "zipl", files: files{"usr/sbin/zipl": "x", "proc/cmdline": "root=/dev/dasda1 BOOT_IMAGE=0\n", "etc/zipl.conf": "[defaultboot]\ndefault = linux\n[linux]\ntarget = /boot\n  parameters=\"root=/dev/dasda1\"\n[old]\nparameters = root=/dev/dasda1 quiet\n"}, loader: "zipl",
			changed: files{"etc/zipl.conf": "[defaultboot]\ndefault = linux\n[linux]\ntarget = /boot\n  parameters=\"root=/dev/dasda1 crashkernel=256M\"\n[old]\nparameters = root=/dev/dasda1 quiet crashkernel=256M\n"}, commands: "zipl"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			words := tt.words
			if words == nil {
				words = []string{want}
			}
			c, err := Set(tt.files.FS(), words, tt.replace)
			if err != nil {
				t.Fatalf("Set: %v", err)
			}
			after := tt.files.apply(c)
			if diff := changed(tt.files, after); c.Loader != tt.loader || !maps.Equal(diff, tt.changed) || commandLines(c.Commands) != tt.commands || c.ByHand {
				t.Errorf("Set: %s, changes %q, runs %q; want %s, %q, %q", c.Loader, diff, commandLines(c.Commands), tt.loader, tt.changed, tt.commands)
			}
			if undo := commandLines(c.Undo); undo != tt.undo && (tt.undo != "" || undo != tt.commands) {
				t.Errorf("undo runs %q; want %q", undo, tt.undo)
			}
			var present []string
			for _, p := range c.Present {
				if !slices.Contains(present, p.Word) {
					present = append(present, p.Word)
				}
			}
			if strings.Join(present, " ") != tt.present || c.Manual == "" {
				t.Errorf("Present = %v, Manual = %q; want %q, and how to do it by hand", c.Present, c.Manual, tt.present)
			}
			if back := after.undo(c); !reflect.DeepEqual(back, tt.files) {
				t.Errorf("undone, it differs by %q", changed(tt.files, back))
			}
			made := after.with(tt.made)
			if again, err := Set(made.FS(), words, tt.replace); err != nil || !again.Nothing() {
				t.Errorf("Set again: changes %+v, runs %q, %v; want nothing", again.Files, again.Commands, err)
			}
			removed, err := Remove(made.FS(), words)
			if err != nil || len(tt.changed) > 0 && len(removed.Files) == 0 {
				t.Errorf("Remove: %+v, %v; want the files to change", removed, err)
			}
			for _, f := range removed.Files {
				if strings.Contains(string(f.New), words[0]) {
					t.Errorf("Remove leaves %q in %s: %s", words[0], f.Path, f.New)
				}
			}
		})
	}
}
