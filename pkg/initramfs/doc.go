// Package initramfs builds the initramfs of a capture kernel: one static
// program as /init, its configuration, the kernel modules it has to load, and
// nothing else. Building it runs no other program.
//
// [Build] is reproducible: equal inputs give equal bytes, whatever the time,
// the user and the order of the inputs. The archive is "newc" cpio
// (Documentation/driver-api/early-userspace/buffer-format.rst), compressed in
// a way the kernel is known to unpack.
//
// The writer of archives makes what u-root's pkg/cpio makes, to the byte (FuzzCPIO); that
// one would bring the packages with which it lists files into the capture kernel.
//
// The modules lie in lib/modules/VERSION, without subdirectories, and
// [kmod.ListPath] lists them in load order for [kmod.Load]; no depmod index is
// needed at boot.
package initramfs
