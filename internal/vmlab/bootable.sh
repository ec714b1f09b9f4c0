# Installs a Debian that its own boot loader starts into disk.img of the working directory,
# next to the kernel: sh -eu -c THIS bootable.sh SUITE SOURCES APTCONF LOADER, as root.
# LOADER is grub (BIOS) or uki (UEFI, systemd-boot, a unified kernel image).
#
# NVMe and ext4 are built into cloud kernels, so the initramfs holds no modules, as in debian.sh.
suite=$1 sources=$2 aptconf=$3 loader=$4
root_id=0c1f3a52-7d4e-4f1b-9a36-5be0d2c1aa01
# What the laboratory needs on the kernel's command line, and what a boot is faster without.
cmdline="console=ttyS0 panic=3 lab.channel=virtio:lab.channel systemd.mask=ldconfig.service systemd.mask=systemd-journal-catalog-update.service systemd.mask=getty-static.service systemd.mask=serial-getty@ttyS0.service systemd.mask=e2scrub_reap.service modprobe.blacklist=ahci,kvm_amd,powernow_k8,aesni_intel,ghash_clmulni_intel,drm"

case $loader in
grub)
	packages=grub-pc,grub-pc-bin,grub2-common
	kind=21686148-6449-6E6F-744E-656564454649
	;;
uki)
	packages=systemd-boot,systemd-boot-efi,systemd-ukify,mtools,dosfstools
	kind=C12A7328-F81F-11D2-BA4B-00A0C93EC93B
	;;
esac

# shellcheck disable=SC2016 # $1 is the hooks' own
mmdebstrap --quiet --mode=root --variant=essential --format=directory \
	--aptopt="$aptconf" --aptopt='APT::Install-Recommends "false"' --aptopt='Acquire::Languages "none"' \
	--dpkgopt=force-unsafe-io --dpkgopt=path-exclude=/usr/share/man/\* \
	--dpkgopt=path-exclude=/usr/share/doc/\* --dpkgopt=path-exclude=/usr/share/locale/\* \
	--include="apt,systemd-sysv,udev,kmod,initramfs-tools,linux-image-cloud-amd64,busybox,cpio,zstd,fdisk,$packages" \
	--essential-hook='mkdir -p "$1/etc/initramfs-tools/conf.d" "$1/etc/kernel"' \
	--essential-hook='printf "MODULES=list\nCOMPRESS=gzip\n" >"$1/etc/initramfs-tools/conf.d/vmlab"' \
	--essential-hook='printf "layout=uki\nuki_generator=ukify\nBOOT_ROOT=/efi\n" >"$1/etc/kernel/install.conf"; echo lab >"$1/etc/kernel/entry-token"; mkdir -p "$1/efi/EFI/Linux" "$1/efi/EFI/BOOT"' \
	--essential-hook="echo 'root=PARTUUID=$root_id ro $cmdline' >\"\$1/etc/kernel/cmdline\"" \
	"$suite" root "$sources" >&2

release=$(basename root/lib/modules/*)
echo "$suite" >root/etc/hostname
echo "PARTUUID=$root_id / ext4 defaults 0 1" >root/etc/fstab
: >root/etc/machine-id
ln -sf /dev/null root/etc/systemd/system/systemd-firstboot.service
rm -rf root/var/cache/apt/* root/var/lib/apt/lists/*

# The laboratory's files, and its agent, come on a disk that is a cpio archive.
cat >root/etc/systemd/system/lab-agent.service <<'UNIT'
[Unit]
Description=Agent of the VM laboratory
ConditionPathExists=!/proc/vmcore
[Service]
ExecStartPre=/bin/sh -c 'until [ -e /dev/disk/by-id/virtio-vmlab ]; do sleep 0.2; done; cd / && cpio -idu --quiet </dev/disk/by-id/virtio-vmlab'
ExecStart=/var/lib/vmlab/agent
OOMScoreAdjust=-1000
TimeoutStartSec=300
StandardOutput=journal+console
StandardError=journal+console
[Install]
WantedBy=multi-user.target
UNIT
ln -sf /etc/systemd/system/lab-agent.service root/etc/systemd/system/multi-user.target.wants/lab-agent.service

truncate -s 4G disk.img
mkdir root/mnt/lab
inside() { # runs a program of the installation, with the working directory at /mnt/lab
	# shellcheck disable=SC2016 # the inner shell's
	unshare --mount sh -eu -c 'mount --bind . root/mnt/lab && exec chroot root "$@"' sh "$@"
}
inside sfdisk -q /mnt/lab/disk.img >&2 <<LAYOUT
label: gpt
start=1MiB, size=255MiB, type=$kind
start=256MiB, type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709, uuid=$root_id
LAYOUT

if [ "$loader" = grub ]; then
	cat >root/etc/default/grub <<CONFIG
GRUB_DEFAULT=0
GRUB_TIMEOUT=0
GRUB_CMDLINE_LINUX_DEFAULT=""
GRUB_CMDLINE_LINUX="$cmdline"
GRUB_TERMINAL=serial
CONFIG
	mkdir -p root/boot/grub
	cp -r root/usr/lib/grub/i386-pc root/boot/grub/
	inside grub-mkimage -O i386-pc -o /mnt/lab/core.img -p '(hd0,gpt2)/boot/grub' biosdisk part_gpt ext2 >&2
	# grub-install's work, on a file: GRUB's boot.img is told where core.img begins, which is
	# told where it goes on and how long it is (grub-core/boot/i386/pc/boot.S, diskboot.S).
	le() { # a number, in so many bytes
		n=$1
		for _ in $(seq "$2"); do
			# shellcheck disable=SC2059 # that is the format
			printf "\\$(printf %03o $((n & 255)))"
			n=$((n >> 8))
		done
	}
	sectors=$((($(stat -c %s core.img) + 511) / 512))
	{ le 2049 8; le $((sectors - 1)) 2; } | dd of=core.img bs=1 seek=500 conv=notrunc status=none
	dd if=core.img of=disk.img seek=2048 conv=notrunc status=none
	dd if=root/usr/lib/grub/i386-pc/boot.img of=disk.img bs=440 count=1 conv=notrunc status=none
	le 2048 8 | dd of=disk.img bs=1 seek=92 conv=notrunc status=none
	# What update-grub would write, if it could find the disk.
	cat >root/boot/grub/grub.cfg <<CONFIG
linux /boot/vmlinuz-$release root=PARTUUID=$root_id ro $cmdline
initrd /boot/initrd.img-$release
boot
CONFIG
	rm core.img
else
	# bootctl install's work.
	cp root/usr/lib/systemd/boot/efi/systemd-bootx64.efi root/efi/EFI/BOOT/BOOTX64.EFI
	mkdir -p root/efi/EFI/systemd root/efi/loader
	cp root/usr/lib/systemd/boot/efi/systemd-bootx64.efi root/efi/EFI/systemd/
	echo "timeout 0" >root/efi/loader/loader.conf
	inside kernel-install add "$release" "/boot/vmlinuz-$release" "/boot/initrd.img-$release" >&2
	[ -s "root/efi/EFI/Linux/lab-$release.efi" ]
	truncate -s 255M esp.img
	inside mkfs.vfat -F 32 -n ESP /mnt/lab/esp.img >&2
	inside sh -c 'mcopy -s -i /mnt/lab/esp.img /efi/* ::/' >&2
	rm -rf root/efi/*
	dd if=esp.img of=disk.img bs=1M seek=1 conv=notrunc,sparse status=none
	rm esp.img
fi
rmdir root/mnt/lab

mkdir -p boot "lib/modules/$release"
cp "root/boot/vmlinuz-$release" boot/
cp "root/lib/modules/$release"/modules.* "lib/modules/$release/"
mke2fs -q -t ext4 -O '^metadata_csum_seed,^orphan_file' -E lazy_itable_init=1,lazy_journal_init=1,offset=268435456 -m 0 -d root disk.img 3838M
rm -rf root
