// Package kexecsys is the door to the kernel: kexec_file_load, kexec_load,
// their unloads, and reboot into a loaded kernel. It holds no policy and parses
// nothing; it is the only package of gokexec that calls these system calls.
//
// Every error is an *Error, so errors.Is(err, unix.EBUSY) works for both calls.
package kexecsys
