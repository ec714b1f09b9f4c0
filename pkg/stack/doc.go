// Package stack describes what a block device is made of (logical volumes, arrays, encrypted volumes, multipath
// devices, down to the disks), as data, and sets the same up again in a capture kernel by system calls: without
// lvm, mdadm, cryptsetup or udev.
//
// The running machine has everything assembled already. pkg/storage records it as a [Stack] when the capture
// initramfs is built; the capture kernel finds the disks by their identities, looks at what they hold, and makes
// the same devices. What it finds must be what was recorded: a disk of another identity, content or size is not
// written to.
package stack
