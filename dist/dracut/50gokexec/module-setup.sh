#!/bin/bash
# dracut module: gokexec, under the names kexec and vmcore-dmesg too where the system
# has them so, and with it the saving of a crashed kernel's memory if targets are
# named (GOKEXEC_CAPTURE_TARGETS, in /etc/default/gokexec or in the environment).
#
#   dracut --add gokexec /boot/gokexec-capture.img
#
# Beside 99kdumpbase it needs nothing: that copies /sbin/vmcore-dmesg and /sbin/kexec,
# and dracut takes the target of a link along.

# shellcheck disable=SC2154 # dracut's own variables
gokexec_targets() {
	local targets=${GOKEXEC_CAPTURE_TARGETS-}
	if [[ -z $targets && -r ${dracutsysrootdir-}/etc/default/gokexec ]]; then
		# shellcheck source=/dev/null
		targets=$(. "${dracutsysrootdir-}/etc/default/gokexec" && printf '%s' "${GOKEXEC_CAPTURE_TARGETS-}")
	fi
	printf '%s' "$targets"
}

check() {
	require_binaries @SBINDIR@/gokexec || return 1
	# Only if it is asked for.
	return 255
}

depends() {
	return 0
}

install() {
	local name target targets
	inst_binary @SBINDIR@/gokexec /usr/sbin/gokexec
	for name in kexec vmcore-dmesg; do
		if [[ $(readlink -f "${dracutsysrootdir-}@SBINDIR@/$name") == */gokexec ]]; then
			ln -sfn gokexec "$initdir/usr/sbin/$name"
		fi
	done
	targets=$(gokexec_targets)
	[[ $targets ]] || return 0
	inst_script @LIBDIR@/gokexec-capture /usr/sbin/gokexec-capture
	mkdir -p "$initdir/etc/gokexec"
	set -f # a target is no pattern of file names
	for target in $targets; do
		printf '%s\n' "$target"
	done >"$initdir/etc/gokexec/targets"
	set +f
	# Once the disks' drivers are there: before the root is mounted, or while it is
	# still waited for, since it may never come.
	inst_hook pre-mount 05 "$moddir/gokexec-hook.sh"
	inst_hook initqueue/settled 05 "$moddir/gokexec-hook.sh"
}

installkernel() {
	# The disks are those of the dump, not only that of the root.
	hostonly='' instmods nvme sd_mod virtio_blk virtio_scsi virtio_pci ext4 xfs btrfs vfat
}
