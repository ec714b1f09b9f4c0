# Installs Debian into disk.img of the working directory, next to the kernel and the
# index of its modules: sh -eu -c THIS debian.sh SUITE SOURCES APTCONF, as root.
#
# The initramfs is configured to hold no modules but those listed (there are none:
# NVMe and ext4 are built into cloud kernels). So it can be made here, without the
# machine that it is for, and in no time.
suite=$1 sources=$2 aptconf=$3

# shellcheck disable=SC2016 # $1 is the hooks' own
mmdebstrap --quiet --mode=root --variant=essential --format=directory \
	--aptopt="$aptconf" --aptopt='APT::Install-Recommends "false"' --aptopt='Acquire::Languages "none"' \
	--dpkgopt=force-unsafe-io --dpkgopt=path-exclude=/usr/share/man/\* \
	--dpkgopt=path-exclude=/usr/share/doc/\* --dpkgopt=path-exclude=/usr/share/locale/\* \
	--include=systemd-sysv,udev,kmod,initramfs-tools,kdump-tools,makedumpfile,linux-image-cloud-amd64,dracut-core,busybox,cpio,zstd \
	--essential-hook='mkdir -p "$1/etc/initramfs-tools/conf.d"' \
	--essential-hook='printf "MODULES=list\nCOMPRESS=gzip\n" >"$1/etc/initramfs-tools/conf.d/vmlab"' \
	--essential-hook='echo "kexec-tools kexec-tools/load_kexec boolean false" | chroot "$1" debconf-set-selections' \
	"$suite" root "$sources" >&2

release=$(basename root/lib/modules/*)
# kdump-tools leaves its initramfs to the first boot when it finds itself in a
# chroot; with a PID namespace, whose init has this root, it doesn't.
# shellcheck disable=SC2016 # the inner shell's
unshare --mount --pid --fork chroot root sh -c 'mount -t proc proc /proc && exec /etc/kernel/postinst.d/kdump-tools "$1"' sh "$release" >&2
[ -s "root/var/lib/kdump/initrd.img-$release" ]
# It was made with these settings: kdump-config need not make it again.
cp root/etc/kdump/sysctl.conf "root/var/lib/kdump/latest_sysctls-$release"
echo "$suite" >root/etc/hostname
: >root/etc/fstab
: >root/etc/machine-id
ln -sf /dev/null root/etc/systemd/system/systemd-firstboot.service
rm -rf root/var/cache/apt root/var/lib/apt/lists

mkdir -p boot "lib/modules/$release"
cp "root/boot/vmlinuz-$release" boot/
cp "root/lib/modules/$release"/modules.* "lib/modules/$release/"
truncate -s 4G disk.img
mke2fs -q -t ext4 -E lazy_itable_init=1,lazy_journal_init=1 -m 0 -d root disk.img
rm -rf root
