// Package kexecsys makes the system calls: kexec_file_load, kexec_load, their unloads,
// and reboot into a loaded kernel. It contains no policy and parses nothing; no other
// package of gokexec makes these calls.
//
// reboot(2) is made by Reboot of github.com/u-root/u-root/pkg/boot/kexec, the package of the
// Go boot loader u-root. The two loads are made here: its FileLoad takes no flags, and
// without them the kernel neither loads for a crash nor unloads; its Load copies and merges
// all segments first (see KexecLoad).
//
// Every error is a *kexec.Error, so errors.Is(err, unix.EBUSY) works for both calls.
package kexecsys
