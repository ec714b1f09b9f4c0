#!/bin/bash
# dracut module: installs gokexec, also as kexec, vmcore-dmesg and makedumpfile if the system has
# it under these names. It saves the memory of a crashed kernel if targets are named: Target= in
# gokexec.conf(5), or GOKEXEC_CAPTURE_TARGETS in the environment. The module is not needed for gokexec arm.
#
#   dracut --add gokexec /boot/gokexec-capture.img
#
# 99kdumpbase does not need this module: it copies /sbin/vmcore-dmesg, /sbin/kexec and makedumpfile,
# and dracut copies the target of a link, too.

# shellcheck disable=SC2154 # dracut's own variables
gokexec_targets() {
	if [[ ${GOKEXEC_CAPTURE_TARGETS-} || ${dracutsysrootdir-} ]]; then
		printf '%s' "${GOKEXEC_CAPTURE_TARGETS-}"
	else
		@SBINDIR@/gokexec config --targets
	fi
}

check() {
	require_binaries @SBINDIR@/gokexec || return 1
	# Only on request.
	return 255
}

depends() {
	return 0
}

install() {
	local file target targets
	inst_binary @SBINDIR@/gokexec /usr/sbin/gokexec
	for file in @SBINDIR@/kexec @SBINDIR@/vmcore-dmesg @SBINDIR@/makedumpfile /usr/bin/makedumpfile; do
		if [[ $(readlink -f "${dracutsysrootdir-}$file") == */gokexec ]]; then
			ln -sfn gokexec "$initdir/usr/sbin/${file##*/}"
		fi
	done
	targets=$(gokexec_targets) || return 1
	[[ $targets ]] || return 0
	inst_script @LIBDIR@/gokexec-capture /usr/sbin/gokexec-capture
	mkdir -p "$initdir/etc/gokexec"
	set -f # a target is no pattern of file names
	for target in $targets; do
		printf '%s\n' "$target"
	done >"$initdir/etc/gokexec/targets"
	set +f
	# When the disks' drivers are loaded: before the root is mounted, or while dracut
	# waits for it, since it may never appear.
	inst_hook pre-mount 05 "$moddir/gokexec-hook.sh"
	inst_hook initqueue/settled 05 "$moddir/gokexec-hook.sh"
}

installkernel() {
	# Drivers for the disks of the dump, not only for that of the root.
	hostonly='' instmods nvme sd_mod virtio_blk virtio_scsi virtio_pci ext4 xfs btrfs vfat
}
