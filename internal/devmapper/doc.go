// Package devmapper makes and reads maps of device mapper by the ioctls of /dev/mapper/control
// (include/uapi/linux/dm-ioctl.h, drivers/md/dm-ioctl.c): no libdevmapper, and no udev, which is not told of anything.
//
// A table may hold the key of an encrypted volume. The kernel is asked to wipe its own copy of what it is given and
// gives (DM_SECURE_DATA_FLAG), and what was encoded here is wiped after use.
package devmapper
